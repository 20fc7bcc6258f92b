"""From one package to the next: what differs, and a new model put beside the old."""

from __future__ import annotations

from vespa_colbert.app.change.differences import Comparison, Difference, compare_packages
from vespa_colbert.app.change.edited import OVERRIDES_FILE
from vespa_colbert.app.change.inventory import Item
from vespa_colbert.app.change.steps import write_final, write_step
from vespa_colbert.app.change.upgrade import SchemaUpgrade, Upgrade, plan_upgrade

__all__ = [
    "OVERRIDES_FILE",
    "Comparison",
    "Difference",
    "Item",
    "SchemaUpgrade",
    "Upgrade",
    "compare_packages",
    "plan_upgrade",
    "write_final",
    "write_step",
]
