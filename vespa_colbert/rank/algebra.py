"""Vespa's tensor operations on values: join, reduce, map, cell_cast, unpack_bits.

Cells are computed in double and stored in the cell type of the result, as Vespa's Java does.

A batch of documents is one more mapped dimension, ``$doc``, whose labels are the positions of the
documents. Where a result has no other mapped dimension it has a cell for every document: a tensor
without cells reduces to 0, and dense tensors have no absent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import truncate_to_bfloat16, unpack_bits
from vespa_colbert.errors import ExpressionTypeError, UnsupportedFunctionError
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = [
    "AGGREGATORS",
    "CELLS",
    "DOCUMENTS",
    "cast_cells",
    "join",
    "map_cells",
    "reduce",
    "unpack",
    "user_dimensions",
]

DOCUMENTS, CELLS = "$doc", "$cell"
"""Names of the dimensions that Vespa does not see: the batch, and the cells that a lambda is run
on at once; no Vespa identifier starts with a dollar, so none collides."""

Columns: TypeAlias = NDArray[np.int64]
Joiner: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]

LARGER = (CellType.INT8, CellType.BFLOAT16, CellType.FLOAT, CellType.DOUBLE)


def result_cells(*types: TensorType) -> CellType:
    """Return the cell type of a computation on tensors of these types: at least float.

    Source: TypeResolver.join, Vespa 8.700.24 (a number has no say beside a tensor).
    """
    kinds = [each.cell_type for each in types if user_dimensions(each)]
    return (
        max(kinds, key=LARGER.index, default=CellType.DOUBLE)
        if not kinds
        else max([CellType.FLOAT, *kinds], key=LARGER.index)
    )


def user_dimensions(tensor_type: TensorType) -> tuple[Dimension, ...]:
    """Return the dimensions that Vespa would see: all but the batch and a lambda's cells."""
    return tuple(each for each in tensor_type.dimensions if not is_hidden(each))


def is_hidden(dimension: Dimension) -> bool:
    """Return whether a dimension stands for many evaluations at once."""
    return dimension.name in {DOCUMENTS, CELLS}


def stored(values: NDArray[Any], cell_type: CellType) -> NDArray[Any]:
    """Return computed values as cells of that type hold them."""
    if cell_type is CellType.BFLOAT16:
        return truncate_to_bfloat16(values)
    with np.errstate(invalid="ignore", over="ignore"):
        return values.astype(cell_type.dtype, copy=False)


def cast_cells(tensor: Tensor, cell_type: CellType) -> Tensor:
    """Return ``cell_cast(tensor, cell_type)``.

    Raises:
        ExpressionTypeError: For a number cast to anything but double.
        UnsupportedFunctionError: For int8, whose overflow differs between Vespa's engines, unless
            the cells are int8 already.
    """
    if not user_dimensions(tensor.type) and cell_type is not CellType.DOUBLE:
        raise ExpressionTypeError(f"cell_cast: a number cannot have cells of type {cell_type}")
    if cell_type is CellType.INT8 is not tensor.type.cell_type:
        raise UnsupportedFunctionError("cell_cast: to int8 is not reproduced")
    wanted = TensorType(cell_type, tensor.type.dimensions)
    values = stored(tensor.values.astype(np.float64), cell_type)
    return Tensor(wanted, tensor.codes, tensor.labels, values)


def map_cells(tensor: Tensor, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Tensor:
    """Return ``map(tensor, f)``: the function of every cell."""
    cell_type = result_cells(tensor.type)
    with np.errstate(all="ignore"):
        computed = np.asarray(function(tensor.values.astype(np.float64)), np.float64)
    wanted = TensorType(cell_type, tensor.type.dimensions)
    return Tensor(wanted, tensor.codes, tensor.labels, stored(computed, cell_type))


def join(left: Tensor, right: Tensor, function: Joiner) -> Tensor:
    """Return ``join(left, right, f)``: a cell for each pair that agrees on shared dimensions.

    Raises:
        ExpressionTypeError: If a shared dimension has other sizes, or is mapped on one side only
            (Vespa's C++ does not allow that either).

    Source: Join.evaluate and TypeResolver.join, Vespa 8.700.24.
    """
    joined = _joined_type(left.type, right.type)
    lefts, rights = _matching(left, right)
    with np.errstate(all="ignore"):
        computed = function(
            _aligned(left, joined)[lefts].astype(np.float64),
            _aligned(right, joined)[rights].astype(np.float64),
        )
    columns, labels = [], []
    for name in joined.mapped:
        side, picked = (left, lefts) if name in left.type.mapped else (right, rights)
        place = side.type.mapped.index(name)
        columns.append(side.codes[picked, place])
        labels.append(side.labels[place])
    codes = np.stack(columns, axis=1) if columns else np.zeros((1, 0), np.int64)
    values = np.broadcast_to(computed, (len(lefts), *joined.shape))
    return Tensor(joined, codes, tuple(labels), stored(values, joined.cell_type))


def _joined_type(left: TensorType, right: TensorType) -> TensorType:
    """Return the type of a join.

    Raises:
        ExpressionTypeError: If the dimensions do not fit.
    """
    dimensions = {each.name: each for each in left.dimensions}
    for each in right.dimensions:
        if dimensions.setdefault(each.name, each) != each:
            raise ExpressionTypeError(
                f"cannot join {left} and {right}: dimension {each.name} is "
                f"{dimensions[each.name]} on one side and {each} on the other"
            )
    return _typed(result_cells(left, right), tuple(dimensions.values()))


def _typed(cell_type: CellType, dimensions: Sequence[Dimension]) -> TensorType:
    """Return a type; one without dimensions of the user's has double cells, as a number has."""
    if all(is_hidden(each) for each in dimensions):
        cell_type = CellType.DOUBLE
    return TensorType(cell_type, tuple(dimensions))


def _aligned(tensor: Tensor, joined: TensorType) -> NDArray[Any]:
    """Return the values as (subspace, *joined indexed), size 1 where the tensor lacks one."""
    sizes = [
        (tensor.type.dimension(name) or Dimension(name, 1)).size or 1 for name in joined.indexed
    ]
    return tensor.values.reshape((len(tensor.values), *sizes))


def _matching(left: Tensor, right: Tensor) -> tuple[Columns, Columns]:
    """Return the positions of all pairs of subspaces whose shared labels are equal."""
    shared = [name for name in left.type.mapped if name in right.type.mapped]
    if not shared:
        lefts = np.repeat(np.arange(len(left.codes)), len(right.codes))
        return lefts, np.tile(np.arange(len(right.codes)), len(left.codes))
    keys = np.zeros(len(left.codes), np.int64), np.zeros(len(right.codes), np.int64)
    for name in shared:
        mine, theirs, size = _common_codes(left, right, name)
        keys[0][:] = keys[0] * size + mine
        keys[1][:] = keys[1] * size + theirs
    order = np.argsort(keys[1], kind="stable")
    first = np.searchsorted(keys[1][order], keys[0], "left")
    counts = np.searchsorted(keys[1][order], keys[0], "right") - first
    lefts = np.repeat(np.arange(len(left.codes)), counts)
    within = np.arange(len(lefts)) - np.repeat(np.cumsum(counts) - counts, counts)
    return lefts, order[np.repeat(first, counts) + within]


def _common_codes(left: Tensor, right: Tensor, name: str) -> tuple[Columns, Columns, int]:
    """Return both code columns of one dimension in one vocabulary, and the size of that."""
    mine, theirs = left.type.mapped.index(name), right.type.mapped.index(name)
    if left.labels[mine] == right.labels[theirs]:
        return left.codes[:, mine], right.codes[:, theirs], max(1, len(left.labels[mine]))
    known = {label: code for code, label in enumerate(left.labels[mine])}
    renumbered = np.array(
        [known.setdefault(label, len(known)) for label in right.labels[theirs]], np.int64
    )
    codes = renumbered[right.codes[:, theirs]] if len(renumbered) else right.codes[:, theirs]
    return left.codes[:, mine], codes, max(1, len(known))


def _average(values: NDArray[Any], starts: Columns, counts: NDArray[Any]) -> NDArray[Any]:
    averages: NDArray[Any] = np.add.reduceat(values, starts) / counts
    return averages


def _median(values: NDArray[Any], starts: Columns, _counts: NDArray[Any]) -> NDArray[Any]:
    parts = np.split(values, starts[1:])
    return np.array([np.median(part, axis=0) for part in parts])


def _max(values: NDArray[Any], starts: Columns, _counts: NDArray[Any]) -> NDArray[Any]:
    # As in Vespa a NaN is never the largest: it does not compare, and nothing is left but -inf.
    best = np.fmax.reduceat(values, starts)
    return np.where(np.isnan(best), -np.inf, best)


def _min(values: NDArray[Any], starts: Columns, _counts: NDArray[Any]) -> NDArray[Any]:
    best = np.fmin.reduceat(values, starts)
    return np.where(np.isnan(best), np.inf, best)


AGGREGATORS: dict[str, Callable[[NDArray[Any], Columns, NDArray[Any]], NDArray[Any]]] = {
    "avg": _average,
    "count": lambda _values, _starts, counts: counts,
    "max": _max,
    "median": _median,
    "min": _min,
    "prod": lambda values, starts, _counts: np.multiply.reduceat(values, starts),
    "sum": lambda values, starts, _counts: np.add.reduceat(values, starts),
}
"""Aggregator → function of (cell,) values sorted by group, group starts and group sizes."""


def reduce(tensor: Tensor, aggregator: str, dimensions: Sequence[str], documents: int) -> Tensor:
    """Return ``reduce(tensor, aggregator, dimensions)``; over all of them when none is named.

    Args:
        tensor: Any tensor.
        aggregator: A key of ``AGGREGATORS``.
        dimensions: Names to remove.
        documents: Size of the batch, 0 outside one.

    Raises:
        ExpressionTypeError: If a dimension is not there, or named twice.

    Source: Reduce.evaluate and TypeResolver.reduce, Vespa 8.700.24; nothing to reduce gives 0.
    """
    names = [each.name for each in user_dimensions(tensor.type)]
    if missing := [name for name in dimensions if name not in names]:
        raise ExpressionTypeError(
            f"reduce: expected dimensions of {tensor.type}, got {', '.join(missing)}"
        )
    removed = set(dimensions) or set(names)
    if dimensions and len(removed) < len(dimensions):
        raise ExpressionTypeError(f"reduce: a dimension occurs twice in {', '.join(dimensions)}")
    kept = [each for each in tensor.type.dimensions if each.name not in removed]
    wanted = _typed(result_cells(tensor.type), kept)
    flat, codes = _cells_by_kept(tensor, wanted)
    keep = [place for place, name in enumerate(tensor.type.mapped) if name not in removed]
    labels = tuple(tensor.labels[place] for place in keep)
    groups, order, starts, counts = _groups(codes[:, keep])
    reduced = np.zeros((0, *wanted.shape))
    if len(order):
        with np.errstate(all="ignore"):
            reduced = AGGREGATORS[aggregator](flat[order], starts, _counts(flat, counts))
    values = np.asarray(reduced, np.float64).reshape((len(groups), *wanted.shape))
    if not wanted.mapped and not len(groups):
        return Tensor.empty(wanted)
    result = Tensor(wanted, groups, labels, stored(values, wanted.cell_type))
    return _with_all_documents(result, documents)


def _counts(flat: NDArray[Any], counts: Columns) -> NDArray[Any]:
    """Return the group sizes in a shape that divides groups of blocks."""
    per_group: NDArray[Any] = counts.reshape((-1,) + (1,) * (flat.ndim - 1)).astype(np.float64)
    return np.broadcast_to(per_group, (len(counts), *flat.shape[1:]))


def _cells_by_kept(tensor: Tensor, wanted: TensorType) -> tuple[NDArray[Any], Columns]:
    """Return values as (row, *kept indexed), removed indexes unrolled into rows, and row codes."""
    kept = [place for place, name in enumerate(tensor.type.indexed) if name in wanted.indexed]
    gone = [place for place in range(len(tensor.type.indexed)) if place not in kept]
    moved = tensor.values.transpose(0, *(1 + place for place in gone), *(1 + k for k in kept))
    rows = int(np.prod([tensor.type.shape[place] for place in gone], dtype=np.int64))
    flat = moved.reshape((len(tensor.values) * rows, *wanted.shape)).astype(np.float64)
    return flat, np.repeat(tensor.codes, rows, axis=0)


def _groups(codes: Columns) -> tuple[Columns, Columns, Columns, Columns]:
    """Return distinct rows, an order that sorts rows by them, group starts and group sizes."""
    if codes.shape[1] == 0:
        found = min(1, len(codes))
        every = np.arange(len(codes))
        return (
            np.zeros((found, 0), np.int64),
            every,
            np.zeros(found, np.int64),
            np.full(found, len(codes)),
        )
    groups, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    return groups, order, np.cumsum(counts) - counts, counts


def _with_all_documents(tensor: Tensor, documents: int) -> Tensor:
    """Return the tensor with its absent dense blocks as zeros, where nothing else is mapped."""
    if tensor.type.mapped != (DOCUMENTS,) or len(tensor.codes) == documents:
        return tensor
    labels = tuple(str(document) for document in range(documents))
    values = np.zeros((documents, *tensor.type.shape), tensor.type.cell_type.dtype)
    places = [int(tensor.labels[0][code]) for code in tensor.codes[:, 0]]
    values[places] = tensor.values
    return Tensor(tensor.type, np.arange(documents)[:, np.newaxis], (labels,), values)


def unpack(tensor: Tensor, cell_type: CellType) -> Tensor:
    """Return ``unpack_bits(tensor, cell_type)``: 8 cells of 0 or 1 for each int8, bit 7 first.

    Raises:
        ExpressionTypeError: If the cells are not int8, or not exactly one dimension is indexed.

    Source: UnpackBitsNode, Vespa 8.700.24.
    """
    if tensor.type.cell_type is not CellType.INT8 or len(tensor.type.indexed) != 1:
        raise ExpressionTypeError(
            f"unpack_bits: expected int8 cells and one indexed dimension, got {tensor.type}"
        )
    wider = [
        each if each.size is None else Dimension(each.name, each.size * 8)
        for each in tensor.type.dimensions
    ]
    wanted = TensorType(cell_type, tuple(wider))
    return Tensor(
        wanted, tensor.codes, tensor.labels, stored(unpack_bits(tensor.values), cell_type)
    )
