"""A MaxSim in the tree → its value from a kernel, where types and dimensions allow it.

A kernel gives what the algebra gives but for the rounding of float32 sums, and makes no tensor of
products. It serves batches: one document by itself is left to the algebra.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.algebra import DOCUMENTS, is_hidden
from vespa_colbert.rank.batches import batch_labels, batch_numbers, numbers_of_batch
from vespa_colbert.rank.centroids import chosen_scores
from vespa_colbert.rank.kernels import (
    hamming_sums_of_queries,
    max_sim_bits_of_queries,
    max_sim_of_queries,
    max_sim_residuals_of_queries,
)
from vespa_colbert.rank.language.nodes import Call, Node
from vespa_colbert.rank.residuals import as_rebuilt, stored_residuals
from vespa_colbert.rank.shapes import MaxSim, Similarity, as_cells, as_max_sim
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = ["Values", "fused_max_sim", "fused_max_sims"]

FLOATS = (CellType.BFLOAT16, CellType.FLOAT, CellType.DOUBLE)
WIDER = {
    CellType.INT8: (CellType.INT8, *FLOATS),
    CellType.BFLOAT16: FLOATS,
    CellType.FLOAT: (CellType.FLOAT, CellType.DOUBLE),
    CellType.DOUBLE: (CellType.DOUBLE,),
}
"""Cell type → those that hold every value of it."""

BYTES = np.arange(256, dtype=np.uint8)[:, np.newaxis]
BITS = {
    order: np.unpackbits(BYTES, axis=1, bitorder=order).astype(np.float32)
    for order in ("big", "little")
}
"""The order of ``unpack_bits`` → (256, 8) float32, the cells of every byte."""


class Values(Protocol):
    """What an evaluation knows."""

    @property
    def documents(self) -> int:
        """Size of the batch."""

    @property
    def features(self) -> Callable[[str], Tensor | DocumentRows | None]:
        """Feature name → value."""

    def value(self, node: Node, variables: dict[str, Tensor]) -> Tensor:
        """Return the value of a tree."""

    def value_by_itself(self, node: Node, features: dict[str, Tensor]) -> Tensor:
        """Return the value of a tree with these features and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One operand, as stored, and what is to be done to its cells.

    Attributes:
        stored: Rows of documents, or any tensor.
        cell_type: What the cells are to be; it holds every value that they have.
        bits: The order of bits where they are to be unpacked, else ``None``.
    """

    stored: Tensor | DocumentRows
    cell_type: CellType
    bits: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The document tokens of a batch, those that one best is taken over end to end.

    Attributes:
        values: (row, width) as stored.
        offsets: (group + 1,) int64: the rows of each group.
        dimensions: What tells groups apart, the batch among them.
        codes: (group, dimension) int64.
        labels: For each of those dimensions.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    dimensions: tuple[str, ...]
    codes: NDArray[np.int64]
    labels: tuple[tuple[str, ...], ...]


def fused_max_sim(node: Node, run: Values) -> Tensor | None:
    """Return the value of a MaxSim over a batch from a kernel, ``None`` where none serves."""
    shape = None if run.documents == 0 else _shape(node)
    if shape is None:
        return _fused_centroids(node, run)
    found = _of_queries(shape, [run])
    return None if found is None else found[0]


def fused_max_sims(node: Node, runs: Sequence[Values]) -> list[Tensor] | None:
    """Return the values of a MaxSim for several queries from one call of a kernel.

    Args:
        node: The tree.
        runs: The evaluations, one at least, all of the same documents.

    Returns:
        What ``fused_max_sim`` gives for each, to the last bit; ``None`` where it gives nothing, or
        where what is compared with the queries may depend on them.
    """
    shape = None if runs[0].documents == 0 else _shape(node)
    if shape is None or not any(map(_is_stored, (shape.left, shape.right), 2 * [shape.component])):
        return None
    return _of_queries(shape, runs)


def _is_stored(node: Node, component: str) -> bool:
    """Return whether an operand is cells of documents: the same ones for all queries."""
    inner = as_cells(node).node
    is_attribute = isinstance(inner, Call) and inner.name == "attribute"
    return is_attribute or as_rebuilt(node, component) is not None


def _of_queries(shape: MaxSim, runs: Sequence[Values]) -> list[Tensor] | None:
    """Return the values of a MaxSim for each query; what they are compared with is the same."""
    if (rebuilt := _fused_residuals(shape, runs)) is not None:
        return rebuilt
    for query, document in ((shape.left, shape.right), (shape.right, shape.left)):
        field = _field(document, runs[0])
        if field is None or (rows := _rows(field, shape)) is None:
            continue
        tokens = [run.value(query, {}) for run in runs]
        vectors = _vectors_of(tokens, shape, rows, 1 if field.bits is None else 8)
        if vectors is None or not _is_served(shape, field, tokens[0].type.cell_type):
            return None
        doubles = CellType.DOUBLE in {tokens[0].type.cell_type, field.cell_type}
        kind = CellType.DOUBLE if doubles else CellType.FLOAT
        scores = _scores(shape, vectors, field, rows, kind)
        return _results(scores, vectors, rows, kind, runs[0].documents)
    return None


def _fused_residuals(shape: MaxSim, runs: Sequence[Values]) -> list[Tensor] | None:
    """Return a MaxSim of vectors that are rebuilt from residuals, ``None`` where it is another."""
    if shape.similarity is not Similarity.PRODUCT:
        return None
    documents = runs[0].documents
    for query, document in ((shape.left, shape.right), (shape.right, shape.left)):
        if (found := stored_residuals(document, shape, runs[0])) is None:
            continue
        rows = _Rows(
            values=found.rows.packed,
            offsets=found.offsets,
            dimensions=(DOCUMENTS,),
            codes=np.arange(documents, dtype=np.int64)[:, np.newaxis],
            labels=(batch_labels(documents),),
        )
        tokens = [run.value(query, {}) for run in runs]
        vectors = _vectors_of(tokens, shape, rows, found.rows.components)
        if vectors is None or tokens[0].type.cell_type is CellType.DOUBLE:
            return None
        asked = [np.ascontiguousarray(each, np.float32) for each in vectors]
        scores = max_sim_residuals_of_queries(asked, found.rows, found.offsets)
        return _results(scores, vectors, rows, CellType.FLOAT, documents)
    return None


def _fused_centroids(node: Node, run: Values) -> Tensor | None:
    """Return a MaxSim of products that document tokens choose, ``None`` where it is another."""
    if (found := chosen_scores(node, run)) is None:
        return None
    scores, asked = found
    rows = _Rows(
        values=scores,
        offsets=np.zeros(run.documents + 1, np.int64),
        dimensions=(DOCUMENTS,),
        codes=np.arange(run.documents, dtype=np.int64)[:, np.newaxis],
        labels=(batch_labels(run.documents),),
    )
    return _result(scores, rows if asked else _none_of(rows), CellType.FLOAT, run.documents)


@functools.lru_cache(maxsize=256)
def _shape(node: Node) -> MaxSim | None:
    """Return the parts of a MaxSim, or ``None``: once for all queries."""
    return as_max_sim(node)


def _field(node: Node, run: Values) -> _Field | None:
    """Return an operand with as little done to its cells as possible.

    Returns:
        ``None`` where the algebra knows what is wrong with it.
    """
    cells = as_cells(node)
    inner = cells.node
    found = None
    if isinstance(inner, Call) and inner.name == "attribute":
        found = run.features(inner.feature_name)
    stored = found if isinstance(found, DocumentRows) else run.value(inner, {})
    own = stored.type.cell_type
    try:
        wanted = own if cells.cast is None else CellType(cells.cast)
    except ValueError:
        return None
    if cells.bits is not None:
        served = own is CellType.INT8 and cells.bits in BITS
        return _Field(stored=stored, cell_type=wanted, bits=cells.bits) if served else None
    if wanted not in WIDER[own]:
        stored = run.value(node, {})
    return _Field(stored=stored, cell_type=wanted, bits=None)


def _is_served(shape: MaxSim, field: _Field, query_cells: CellType) -> bool:
    """Return whether a kernel computes on these cells."""
    if shape.similarity is Similarity.PRODUCT:
        return True
    return query_cells is field.cell_type is CellType.INT8 and field.bits is None


def _rows(field: _Field, shape: MaxSim) -> _Rows | None:
    """Return the rows of the operand that has the documents, ``None`` for the other one."""
    stored = field.stored
    if isinstance(stored, DocumentRows):
        if stored.type.mapped != shape.best_over or stored.type.indexed != (shape.component,):
            return None
        return _Rows(
            values=stored.values,
            offsets=stored.offsets,
            dimensions=(DOCUMENTS,),
            codes=np.arange(len(stored), dtype=np.int64)[:, np.newaxis],
            labels=(batch_labels(len(stored)),),
        )
    hidden = [each.name for each in stored.type.dimensions if is_hidden(each)]
    indexed = set(stored.type.indexed) - {*shape.best_over}
    names = {each.name for each in stored.type.dimensions}
    fits = indexed == {shape.component} and {*shape.best_over} <= names
    last = stored.type.indexed[-1:] == (shape.component,)
    if hidden != [DOCUMENTS] or not stored.type.dimensions[0].is_mapped or not fits:
        return None
    return _grouped_rows(stored, shape) if last or field.bits is None else None


def _grouped_rows(tensor: Tensor, shape: MaxSim) -> _Rows:
    """Return the rows of a tensor, sorted by what tells groups apart."""
    kept = [place for place, name in enumerate(tensor.type.mapped) if name not in shape.best_over]
    codes, values = tensor.codes[:, kept], tensor.values
    order = np.lexsort(codes.T[::-1])
    if not np.array_equal(order, np.arange(len(order))):
        codes, values = codes[order], values[order]
    changes = np.flatnonzero((codes[1:] != codes[:-1]).any(axis=1)) + 1
    starts = np.concatenate([np.zeros(min(1, len(codes)), np.int64), changes])
    values = np.moveaxis(values, 1 + tensor.type.indexed.index(shape.component), -1)
    width = values.shape[-1]
    times = int(np.prod(values.shape[1:-1], dtype=np.int64))
    return _Rows(
        values=values.reshape(-1, width),
        offsets=np.append(starts, len(codes)) * times,
        dimensions=tuple(tensor.type.mapped[place] for place in kept),
        codes=codes[starts],
        labels=tuple(tensor.labels[place] for place in kept),
    )


def _none_of(rows: _Rows) -> _Rows:
    """Return the rows without groups: nothing is left where nothing is asked."""
    return replace(rows, codes=rows.codes[:0], offsets=rows.offsets[:1])


def _query_vectors(
    tokens: Tensor, shape: MaxSim, rows: _Rows, cells_a_value: int
) -> NDArray[Any] | None:
    """Return the vectors of the query tokens, ``None`` if dimensions are not where they should be.

    Returns:
        (query token, dim) of the cells' dtype.
    """
    component = tokens.type.dimension(shape.component)
    others = [each.name for each in tokens.type.dimensions if each.name != shape.component]
    dim = rows.values.shape[1] * cells_a_value
    if component is None or component.size != dim or len(others) != 1:
        return None
    (name,) = others
    is_kept_apart = name not in {*rows.dimensions, *shape.best_over}
    everything = shape.summed is None and rows.dimensions == (DOCUMENTS,)
    if not is_kept_apart or name.startswith("$") or not (everything or name == shape.summed):
        return None
    values = tokens.values
    if tokens.type.indexed[-1] != shape.component:
        values = np.moveaxis(values, 1 + tokens.type.indexed.index(shape.component), -1)
    return values.reshape(-1, dim)


def _vectors_of(
    tokens: Sequence[Tensor], shape: MaxSim, rows: _Rows, cells_a_value: int
) -> list[NDArray[Any]] | None:
    """Return the vectors of each query's tokens, ``None`` where not all are of one type."""
    found = [_query_vectors(each, shape, rows, cells_a_value) for each in tokens]
    vectors = [each for each in found if each is not None]
    is_one_type = len({each.type for each in tokens}) == 1
    return vectors if is_one_type and len(vectors) == len(tokens) else None


def _scores(
    shape: MaxSim, vectors: list[NDArray[Any]], field: _Field, rows: _Rows, kind: CellType
) -> NDArray[np.float64]:
    """Return the sum of the best for each query and group: (query, group) float64."""
    if shape.similarity is not Similarity.PRODUCT:
        distances = np.arange(8 * rows.values.shape[1] + 1, dtype=np.float64)
        inverse = shape.similarity is Similarity.INVERSE_HAMMING
        # The cells that hold them are float.
        worth = (1.0 / (1.0 + distances)).astype(np.float32) if inverse else distances
        sums = worth.astype(np.float64)
        return hamming_sums_of_queries(vectors, rows.values, rows.offsets, sums)
    queries = [np.ascontiguousarray(each, kind.dtype) for each in vectors]
    if field.bits is not None:
        return max_sim_bits_of_queries(queries, rows.values, rows.offsets, BITS[field.bits])
    return max_sim_of_queries(queries, rows.values, rows.offsets)


def _results(
    scores: NDArray[np.float64],
    vectors: list[NDArray[Any]],
    rows: _Rows,
    kind: CellType,
    documents: int,
) -> list[Tensor]:
    """Return the scores of each query as the algebra gives them."""
    return [
        _result(each, rows if len(asked) else _none_of(rows), kind, documents)
        for each, asked in zip(scores, vectors, strict=True)
    ]


def _result(scores: NDArray[np.float64], rows: _Rows, kind: CellType, documents: int) -> Tensor:
    """Return scores as the algebra gives them: a number a document, or a cell a group."""
    scores = scores[: len(rows.codes)]
    if rows.dimensions == (DOCUMENTS,):
        # Groups are distinct and in order: as many as documents are all of them.
        if len(scores) == documents and rows.labels[0] == batch_labels(documents):
            return batch_numbers(scores)
        batch = TensorType(CellType.DOUBLE, (Dimension(DOCUMENTS),))
        found = Tensor(batch, rows.codes, rows.labels, scores)
        return batch_numbers(numbers_of_batch(found, documents))
    wanted = TensorType(kind, tuple(map(Dimension, rows.dimensions)))
    return Tensor(wanted, rows.codes, rows.labels, scores.astype(kind.dtype))
