"""A running Vespa: what is uploaded to it, and by whom."""

from __future__ import annotations

from vespa_colbert.cluster.archive import package_files, package_root, write_archive
from vespa_colbert.cluster.deployment import Deployment, Step, changes_by_hand, deploy_package
from vespa_colbert.cluster.through_pyvespa import deploy_through_pyvespa
from vespa_colbert.cluster.vespa_cli import VespaCli, find_vespa_cli

__all__ = [
    "Deployment",
    "Step",
    "VespaCli",
    "changes_by_hand",
    "deploy_package",
    "deploy_through_pyvespa",
    "find_vespa_cli",
    "package_files",
    "package_root",
    "write_archive",
]
