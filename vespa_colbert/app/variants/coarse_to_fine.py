"""Two widths of the same token vectors: the short ones rank all matches, the long ones the best."""

from __future__ import annotations

from vespa_colbert.app.profile import Input, RankProfile, Rerank
from vespa_colbert.app.variants.max_sim import MAX_SIM, functions
from vespa_colbert.app.variants.part import Design, Part
from vespa_colbert.app.variants.tokens import TokenField
from vespa_colbert.tensor import CellType

__all__ = ["coarse_to_fine"]

COARSE_MAX_SIM = f"{MAX_SIM}_coarse"


def coarse_to_fine(design: Design) -> Part:
    """Return a rank profile for each cell type whose vectors are stored in several widths."""
    by_cells: dict[CellType, list[TokenField]] = {}
    for each in design.tokens:
        by_cells.setdefault(each.cell_type, []).append(each)
    pairs = [
        (min(fields, key=lambda each: each.dim), max(fields, key=lambda each: each.dim))
        for fields in by_cells.values()
        if len(fields) > 1
    ]
    return Part(
        profiles=tuple(_profile(coarse, fine, design) for coarse, fine in pairs),
        queries=tuple(
            design.query(
                profile=_name(fine),
                inputs=((coarse.query_name, design.asked), (fine.query_name, design.asked)),
            )
            for coarse, fine in pairs
        ),
    )


def _name(fine: TokenField) -> str:
    return f"coarse_to_fine_{fine.cell_type.value}"


def _profile(coarse: TokenField, fine: TokenField, design: Design) -> RankProfile:
    """Return the profile whose first phase takes the short vectors and whose second the long."""
    return RankProfile(
        name=_name(fine),
        inputs=tuple(Input(name=each.query_name, type=each.query_type) for each in (coarse, fine)),
        functions=(*functions(coarse, COARSE_MAX_SIM), *functions(fine)),
        first_phase=COARSE_MAX_SIM,
        second_phase=Rerank(expression=MAX_SIM, rerank_count=design.options.rerank_count),
        match_features=(COARSE_MAX_SIM, MAX_SIM),
    )
