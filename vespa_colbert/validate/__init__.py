"""What is wrong with an application package, each thing with file, line, reason and remedy."""

from vespa_colbert.validate.findings import Fault, Finding, Findings, Place, Severity
from vespa_colbert.validate.validate import validate_application

__all__ = ["Fault", "Finding", "Findings", "Place", "Severity", "validate_application"]
