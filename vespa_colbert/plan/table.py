"""Cell types, residuals and dims side by side: what token vectors would need and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vespa_colbert.app.field import Field
from vespa_colbert.app.profile import Constant, Input, RankProfile
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.variants import COMPONENTS_A_CELL
from vespa_colbert.app.variants.residual import (
    FIELD,
    centroids_constant,
    rebuilding_profile,
    residual_type,
)
from vespa_colbert.codec.residual import BITS
from vespa_colbert.plan.measure import Lengths, mean
from vespa_colbert.plan.memory import stored_tensor, subspace_bytes
from vespa_colbert.plan.work import MaxSimWork, Tokens, profile_work
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["WIDTHS", "Choice", "choices"]

PROFILE = "max_sim"

WIDTHS = (128, 96, 64, 48, 32)
"""Dims that published models have, and those that they are cut to."""


ROWS = "rows"
"""Name of the field of whole vectors that is planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way of storing token vectors with one number of dims.

    Attributes:
        type: Type of the field.
        dims: Components of a token vector.
        bits: Bits a component of the residual that is stored; 0 where vectors are.
        vector_bytes: Bytes of the cells of a vector.
        document_bytes: Bytes of a document's attribute in memory.
        work: MaxSim over it.
    """

    type: TensorType
    dims: int
    bits: int = 0
    vector_bytes: int
    document_bytes: float
    work: MaxSimWork


def choices(dims: int, lengths: Lengths) -> tuple[Choice, ...]:
    """Return cell types and residuals of a codec, at the model's dims and below.

    The centroids of residuals, which every node has once, are not in it.

    Args:
        dims: Components of the model's vectors.
        lengths: How long documents and queries are.
    """
    widths = sorted({dims, *(each for each in WIDTHS if each < dims)}, reverse=True)
    return tuple(each for width in widths for each in _of_width(width, lengths))


def _of_width(dims: int, lengths: Lengths) -> Iterator[Choice]:
    """Yield the choices of one number of dims: cells, then residuals, largest first."""
    query = Input(
        name="qt", type=TensorType(CellType.FLOAT, (Dimension("qt"), Dimension("x", dims)))
    )
    for cell_type, components in COMPONENTS_A_CELL.items():
        if dims % components == 0:
            kind = TensorType(cell_type, (Dimension("dt"), Dimension("x", dims // components)))
            yield _choice(_whole(kind, query), ROWS, dims, lengths)
    for bits in reversed(BITS):
        if dims * bits % 8 == 0:
            yield _choice(_rebuilt(query, dims, bits), FIELD, dims, lengths, bits=bits)


def _choice(schema: Schema, name: str, dims: int, lengths: Lengths, *, bits: int = 0) -> Choice:
    kind, counts = schema.attribute_types[name], lengths.longest
    total = sum(stored_tensor(kind, each).memory * number for each, number in counts.items())
    tokens = Tokens(document=mean(counts), query=lengths.query)
    (profile,) = schema.rank_profiles
    return Choice(
        type=kind,
        dims=dims,
        bits=bits,
        vector_bytes=subspace_bytes(kind),
        document_bytes=total / sum(counts.values()),
        work=profile_work(schema, profile.name, tokens).phases[0].max_sims[0],
    )


def _whole(kind: TensorType, query: Input) -> Schema:
    """Return a schema that ranks by MaxSim over a field of that type."""
    rows = f"attribute({ROWS})"
    vectors = f"unpack_bits({rows})" if kind.cell_type is CellType.INT8 else rows
    profile = RankProfile(
        name=PROFILE,
        inputs=(query,),
        first_phase=f"sum(reduce(sum(query({query.name}) * {vectors}, x), max, dt), qt)",
    )
    return _schema(ROWS, kind, profile)


def _rebuilt(query: Input, dims: int, bits: int) -> Schema:
    """Return a schema that ranks by MaxSim over vectors that it rebuilds from residuals.

    The weights are none that a codec has; the work is the same with any.
    """
    profile = rebuilding_profile(query, [float(each) for each in range(1 << bits)], dims)
    return _schema(FIELD, residual_type(dims * bits // 8), profile, centroids_constant(dims))


def _schema(name: str, kind: TensorType, profile: RankProfile, *constants: Constant) -> Schema:
    field = Field(name=name, type=str(kind), indexing=("attribute",))
    return Schema(name="choice", fields=(field,), rank_profiles=(profile,), constants=constants)
