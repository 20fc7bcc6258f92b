"""Cell types and dims side by side: what a field of token vectors would need and cost."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.app.field import Field
from vespa_colbert.app.profile import Input, RankProfile
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.variants import COMPONENTS_A_CELL
from vespa_colbert.plan.measure import Lengths, mean
from vespa_colbert.plan.memory import stored_tensor, subspace_bytes
from vespa_colbert.plan.work import MaxSimWork, Tokens, profile_work
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["WIDTHS", "Choice", "choices"]

PROFILE = "max_sim"

WIDTHS = (128, 96, 64, 48, 32)
"""Dims that published models have, and those that they are cut to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One cell type with one number of dims.

    Attributes:
        type: Type of the field.
        dims: Components of a token vector.
        vector_bytes: Bytes of the cells of a vector.
        document_bytes: Bytes of a document's attribute in memory.
        work: MaxSim over it.
    """

    type: TensorType
    dims: int
    vector_bytes: int
    document_bytes: float
    work: MaxSimWork


def choices(dims: int, lengths: Lengths) -> tuple[Choice, ...]:
    """Return the cell types that Vespa's embedder fills, at the model's dims and below.

    Args:
        dims: Components of the model's vectors.
        lengths: How long documents and queries are.
    """
    widths = sorted({dims, *(each for each in WIDTHS if each < dims)}, reverse=True)
    return tuple(
        _choice(cell_type, width, lengths)
        for width in widths
        for cell_type, components in COMPONENTS_A_CELL.items()
        if width % components == 0
    )


def _choice(cell_type: CellType, dims: int, lengths: Lengths) -> Choice:
    components = COMPONENTS_A_CELL[cell_type]
    kind = TensorType(cell_type, (Dimension("dt"), Dimension("x", dims // components)))
    counts = lengths.longest
    total = sum(stored_tensor(kind, each).memory * number for each, number in counts.items())
    tokens = Tokens(document=mean(counts), query=lengths.query)
    (phase,) = profile_work(_schema(kind, dims), PROFILE, tokens).phases
    return Choice(
        type=kind,
        dims=dims,
        vector_bytes=subspace_bytes(kind),
        document_bytes=total / sum(counts.values()),
        work=phase.max_sims[0],
    )


def _schema(kind: TensorType, dims: int) -> Schema:
    """Return a schema that ranks by MaxSim over a field of that type."""
    rows = "attribute(rows)"
    vectors = f"unpack_bits({rows})" if kind.cell_type is CellType.INT8 else rows
    query = TensorType(CellType.FLOAT, (Dimension("qt"), Dimension("x", dims)))
    profile = RankProfile(
        name=PROFILE,
        inputs=(Input(name="qt", type=query),),
        first_phase=f"sum(reduce(sum(query(qt) * {vectors}, x), max, dt), qt)",
    )
    rows_field = Field(name="rows", type=str(kind), indexing=("attribute",))
    return Schema(name="choice", fields=(rows_field,), rank_profiles=(profile,))
