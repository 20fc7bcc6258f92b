"""ColBERT on Vespa: convert a checkpoint, generate the application package, prove the scores."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
