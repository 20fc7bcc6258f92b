"""Lambdas and generated tensors: a body is evaluated once, over all cells or subspaces."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ExpressionTypeError, UnsupportedFunctionError
from vespa_colbert.rank.algebra.cells import (
    CELLS,
    is_hidden,
    lifted,
    stored,
    typed,
    user_dimensions,
)
from vespa_colbert.rank.algebra.elementwise import renamed
from vespa_colbert.rank.algebra.hidden import (
    agreed,
    completed,
    hidden_mapped,
    rolled,
    spread,
    unrolled,
    with_columns,
)
from vespa_colbert.rank.algebra.reduce import reduce
from vespa_colbert.rank.algebra.rules import filter_type, map_subspaces_type, require_size
from vespa_colbert.rank.algebra.select import rows_where
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = [
    "SubspaceFunction",
    "assembled",
    "filter_subspaces",
    "generated",
    "index_values",
    "map_subspaces",
    "on_cells",
    "pattern",
]


@dataclass(frozen=True, slots=True)
class SubspaceFunction:
    """The function literal of map_subspaces and filter_subspaces.

    Attributes:
        compute: Its value for a dense tensor with the subspaces as a hidden dimension.
        result: Its type for a dense type.
    """

    compute: Callable[[Tensor], Tensor]
    result: Callable[[TensorType], TensorType]


def on_cells(
    body: Callable[..., Tensor], arrays: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return a body's value for arrays of cells, taken as a vector of numbers.

    Args:
        body: From one number a parameter to a number.
        arrays: One a parameter, of shapes that fit each other.
    """
    same = np.broadcast_arrays(*arrays)
    shape, size = same[0].shape, same[0].size
    if size == 0:
        return np.zeros(shape)
    kind = TensorType(CellType.DOUBLE, (Dimension(CELLS, size),))
    computed = rolled(body(*(Tensor.dense(kind, each.reshape(-1)) for each in same)), [CELLS])
    return np.broadcast_to(computed.values.reshape(-1), (size,)).reshape(shape)


def _subspace_axes(kind: TensorType) -> tuple[list[str], list[str]]:
    hidden = [each.name for each in kind.dimensions if is_hidden(each) and not each.is_mapped]
    return hidden, [name for name in kind.indexed if name not in hidden]


def _as_cells(tensor: Tensor) -> Tensor:
    """Return the subspaces of all evaluations as one hidden dimension; there is one or more."""
    hidden, dense = _subspace_axes(tensor.type)
    axes = [1 + tensor.type.indexed.index(name) for name in (*hidden, *dense)]
    sizes = [tensor.type.dimension(name) for name in dense]
    moved = tensor.values.transpose(0, *axes)
    shape = moved.shape[1 + len(hidden) :]
    count = math.prod(moved.shape[: 1 + len(hidden)])
    dimensions = (Dimension(CELLS, count), *(each for each in sizes if each is not None))
    kind = typed(tensor.type.cell_type, dimensions)
    values = stored(moved.reshape((1, count, *shape)), kind.cell_type)
    return Tensor(kind, np.zeros((1, 0), np.int64), (), values)


def _from_cells(values: NDArray[Any], tensor: Tensor, result: TensorType) -> NDArray[Any]:
    """Return blocks of all subspaces, (subspace, *shape), as values of the result type."""
    hidden, dense = _subspace_axes(result)
    sizes = [(tensor.type.dimension(name) or Dimension(name, 1)).size or 1 for name in hidden]
    blocks = values.reshape((len(tensor.codes), *sizes, *values.shape[1:]))
    now = [*hidden, *dense]
    return blocks.transpose(0, *(1 + now.index(name) for name in result.indexed))


def _blocks(function: SubspaceFunction, tensor: Tensor) -> tuple[TensorType, NDArray[Any]]:
    """Return the type that a function gives, and its values: (subspace, *shape).

    Raises:
        ExpressionTypeError: If the function gives a mapped dimension.
    """
    given = _as_cells(tensor)
    found = rolled(function.compute(given), [CELLS])
    if found.type.mapped:
        raise ExpressionTypeError(f"the function of a subspace has mapped dimensions: {found.type}")
    whole = spread(found, given)
    place = 1 + whole.type.indexed.index(CELLS)
    dense = typed(whole.type.cell_type, user_dimensions(whole.type))
    return dense, np.moveaxis(whole.values, place, 1)[0]


def map_subspaces(tensor: Tensor, function: SubspaceFunction) -> Tensor:
    """Return ``map_subspaces(tensor, f)``: the function of every dense subspace.

    Source: generic_map_subspaces.cpp and ValueType::wrap in eval, Vespa 8.700.24.
    """
    wanted = lifted(lambda kind: map_subspaces_type(kind, function.result), tensor.type)
    if not tensor.values.size:
        return Tensor(wanted, tensor.codes, tensor.labels, _no_cells(tensor, wanted))
    _dense, blocks = _blocks(function, tensor)
    values = stored(_from_cells(blocks, tensor, wanted), wanted.cell_type)
    return Tensor(wanted, tensor.codes, tensor.labels, values)


def _no_cells(tensor: Tensor, wanted: TensorType) -> NDArray[Any]:
    return np.zeros((len(tensor.codes), *wanted.shape), wanted.cell_type.dtype)


def filter_subspaces(tensor: Tensor, function: SubspaceFunction) -> Tensor:
    """Return ``filter_subspaces(tensor, f)``: the subspaces for which the sum of f is not 0.

    Source: generic_filter_subspaces.cpp in eval, Vespa 8.700.24.
    """
    lifted(lambda kind: filter_type(kind, function.result), tensor.type)
    if not tensor.values.size:
        return tensor
    given = _as_cells(tensor)
    found = rolled(function.compute(given), [CELLS])
    sums = spread(reduce(found, "sum", ()), given).values.reshape(-1)
    hidden, _dense = _subspace_axes(tensor.type)
    if hidden:
        return rows_where(unrolled(tensor, hidden), sums != 0)
    return rows_where(tensor, sums != 0)


def index_values(name: str, size: int) -> Tensor:
    """Return the indexes of a dimension as a number for each evaluation of a generator."""
    kind = TensorType(CellType.DOUBLE, (Dimension(name, size),))
    return Tensor.dense(kind, np.arange(size, dtype=np.float64))


def generated(kind: TensorType, value: Tensor, names: Mapping[str, str]) -> Tensor:
    """Return a generated tensor from the numbers of its cells.

    Args:
        kind: The type, indexed dimensions only.
        value: A number for each evaluation.
        names: Dimension of the type → the hidden dimension that its indexes were.

    Raises:
        ExpressionTypeError: If the value is no number.
    """
    if user_dimensions(value.type):
        raise ExpressionTypeError(f"{kind}: expected a number for each cell, got {value.type}")
    value = rolled(value, list(names.values()))
    for name, hidden in names.items():
        size = kind.dimension(name)
        if value.type.dimension(hidden) is None and size is not None:
            value = spread(value, index_values(hidden, size.size or 1))
    shown = renamed(value, {hidden: name for name, hidden in names.items()})
    wanted = typed(kind.cell_type, shown.type.dimensions)
    return Tensor(wanted, shown.codes, shown.labels, stored(shown.values, wanted.cell_type))


def assembled(kind: TensorType, cells: Mapping[tuple[str, ...], Tensor]) -> Tensor:
    """Return a tensor from the numbers of its cells, one for each evaluation.

    Args:
        kind: Its type.
        cells: Address, labels and indexes in the order of the type → number. Absent cells of a
            dense block are 0.
    """
    require_size(kind, str(kind))
    sides = agreed(*cells.values())
    sides = [spread(each, *sides) for each in sides]
    blocks: dict[tuple[str, ...], list[tuple[tuple[int, ...], Tensor]]] = {}
    for address, number in zip(cells, sides, strict=True):
        parts = list(zip(kind.dimensions, address, strict=True))
        labels = tuple(label for each, label in parts if each.is_mapped)
        place = tuple(_index(kind, each, label) for each, label in parts if each.size is not None)
        blocks.setdefault(labels, []).append((place, number))
    if not sides:
        return Tensor.empty(kind)
    return _assembled_rows(kind, blocks, sides[0])


def _index(kind: TensorType, dimension: Dimension, label: str) -> int:
    """Return the index that a label spells.

    Raises:
        ExpressionTypeError: If it is none of the dimension.

    Source: get_tensor_address in function.cpp of eval, Vespa 8.700.24.
    """
    size = dimension.size or 0
    is_short = len(label) <= len(str(size))
    if not (is_short and label.isascii() and label.isdigit() and int(label) < size):
        raise ExpressionTypeError(
            f"{kind}: expected an index of {dimension.name} from 0 to {size - 1}, got {label!r}"
        )
    return int(label)


def _assembled_rows(
    kind: TensorType,
    blocks: Mapping[tuple[str, ...], Sequence[tuple[tuple[int, ...], Tensor]]],
    like: Tensor,
) -> Tensor:
    """Return a tensor from blocks of numbers that all have the hidden dimensions of ``like``."""
    base = completed(like)
    rows, hidden = len(base.codes), base.type.shape
    values = np.zeros((len(blocks), rows, *hidden, *kind.shape))
    for row, cells in zip(values, blocks.values(), strict=True):
        for index, number in cells:
            row[(..., *index)] = completed(number).values
    columns = {
        name: (np.tile(base.codes[:, place], len(blocks)), base.labels[place])
        for place, name in enumerate(hidden_mapped(base.type))
    }
    for place, name in enumerate(kind.mapped):
        column = [address[place] for address in blocks]
        known = {label: code for code, label in enumerate(dict.fromkeys(column))}
        codes = np.array([known[label] for label in column], np.int64)
        columns[name] = np.repeat(codes, rows), tuple(known)
    wanted = typed(kind.cell_type, (*kind.dimensions, *base.type.dimensions))
    flat = values.reshape((len(blocks) * rows, *hidden, *kind.shape))
    now = [*base.type.indexed, *kind.indexed]
    ordered = flat.transpose(0, *(1 + now.index(name) for name in wanted.indexed))
    return with_columns(wanted, columns, stored(ordered, wanted.cell_type))


def pattern(name: str, kind: TensorType) -> Tensor:
    """Return ``range(type)``, the sum of the indexes, or ``diag(type)``, 1 where they are equal.

    Raises:
        UnsupportedFunctionError: For any other name.

    Source: Range and Diag, Vespa 8.700.24.
    """
    if name not in {"range", "diag"}:
        raise UnsupportedFunctionError(
            f"{name}: not reproduced, as it gives other numbers every time"
        )
    indexes = np.indices(kind.shape, dtype=np.float64)
    cells = indexes.sum(axis=0) if name == "range" else (indexes == indexes[:1]).all(axis=0)
    return Tensor.dense(kind, stored(cells.astype(np.float64), kind.cell_type))
