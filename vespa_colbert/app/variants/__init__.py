"""The ways of running ColBERT on Vespa: each adds its part to the package, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from vespa_colbert.app.variants.coarse_to_fine import coarse_to_fine
from vespa_colbert.app.variants.cross_encode import cross_encode
from vespa_colbert.app.variants.dense import dense
from vespa_colbert.app.variants.hybrid import hybrid
from vespa_colbert.app.variants.lexical import lexical
from vespa_colbert.app.variants.max_sim import max_sim
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.residual import residual
from vespa_colbert.app.variants.texts import texts
from vespa_colbert.app.variants.token_retrieval import token_retrieval
from vespa_colbert.app.variants.tokens import COMPONENTS_A_CELL, field_name

__all__ = ["COMPONENTS_A_CELL", "VARIANTS", "Design", "Part", "field_name"]

VARIANTS: tuple[Callable[[Design], Part], ...] = (
    texts,
    max_sim,
    coarse_to_fine,
    token_retrieval,
    residual,
    dense,
    lexical,
    hybrid,
    cross_encode,
)
"""In the order in which their parts are printed."""
