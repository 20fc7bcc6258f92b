"""What a package needs before it is deployed: memory, disk and the work of a query."""

from __future__ import annotations

from vespa_colbert.plan.measure import Lengths, measured_lengths
from vespa_colbert.plan.plan import FieldPlan, Plan, SchemaPlan, plan_application
from vespa_colbert.plan.pooling import Pooled, poolings
from vespa_colbert.plan.table import Choice, choices
from vespa_colbert.plan.work import MaxSimWork, PhaseWork, ProfileWork

__all__ = [
    "Choice",
    "FieldPlan",
    "Lengths",
    "MaxSimWork",
    "PhaseWork",
    "Plan",
    "Pooled",
    "ProfileWork",
    "SchemaPlan",
    "choices",
    "measured_lengths",
    "plan_application",
    "poolings",
]
