"""The ways of running ColBERT on Vespa: each adds its part to the package, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from vespa_colbert.app.variants.max_sim import max_sim
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.texts import texts
from vespa_colbert.app.variants.tokens import COMPONENTS_A_CELL, field_name

__all__ = ["COMPONENTS_A_CELL", "VARIANTS", "Design", "Part", "field_name"]

VARIANTS: tuple[Callable[[Design], Part], ...] = (texts, max_sim)
"""In the order in which their parts are printed."""
