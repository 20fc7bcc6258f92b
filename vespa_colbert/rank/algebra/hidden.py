"""Hidden dimensions in another form: as labels or as indexes, complete, spread over more.

The labels of a hidden mapped dimension are all of its positions, in order: its codes are positions,
and a result that has lost a document still knows how many there are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.algebra.cells import Columns, is_hidden, user_dimensions
from vespa_colbert.tensor import Dimension, Tensor, TensorType

__all__ = [
    "agreed",
    "completed",
    "hidden_indexed",
    "hidden_mapped",
    "rolled",
    "spread",
    "unrolled",
    "with_columns",
]


def hidden_mapped(tensor_type: TensorType) -> list[str]:
    """Return the hidden dimensions with labels, in order."""
    return [each.name for each in tensor_type.dimensions if is_hidden(each) and each.is_mapped]


def hidden_indexed(tensor_type: TensorType) -> list[str]:
    """Return the hidden dimensions with indexes, in order."""
    return [each.name for each in tensor_type.dimensions if is_hidden(each) and not each.is_mapped]


def positions(size: int) -> tuple[str, ...]:
    """Return the labels of a hidden dimension."""
    return tuple(map(str, range(size)))


def unrolled(tensor: Tensor, names: list[str]) -> Tensor:
    """Return the tensor with hidden indexed dimensions as labels: a row more for every index."""
    if not names:
        return tensor
    kind = tensor.type
    kept = [name for name in kind.indexed if name not in names]
    axes = [1 + kind.indexed.index(name) for name in (*names, *kept)]
    sizes = [kind.shape[kind.indexed.index(name)] for name in names]
    shape = [kind.shape[kind.indexed.index(name)] for name in kept]
    rows, times = len(tensor.codes), math.prod(sizes)
    values = tensor.values.transpose(0, *axes).reshape((rows * times, *shape))
    columns = {
        name: (np.repeat(tensor.codes[:, place], times), tensor.labels[place])
        for place, name in enumerate(kind.mapped)
    }
    indexes = np.indices(sizes).reshape(len(sizes), times)
    for name, size, index in zip(names, sizes, indexes, strict=True):
        columns[name] = np.tile(index, rows), positions(size)
    dimensions = tuple(
        Dimension(each.name) if each.name in names else each for each in kind.dimensions
    )
    return with_columns(TensorType(kind.cell_type, dimensions), columns, values)


def with_columns(
    kind: TensorType, columns: dict[str, tuple[Columns, tuple[str, ...]]], values: NDArray[Any]
) -> Tensor:
    """Return a tensor of codes and labels by dimension."""
    codes = np.zeros((len(values), len(kind.mapped)), np.int64)
    for place, name in enumerate(kind.mapped):
        codes[:, place] = columns[name][0]
    return Tensor(kind, codes, tuple(columns[name][1] for name in kind.mapped), values)


def completed(tensor: Tensor) -> Tensor:
    """Return the tensor with a row for every evaluation, in order, where nothing else is mapped.

    A dense tensor has no absent cells: what is missing is 0.
    """
    if not tensor.type.mapped or any(each.is_mapped for each in user_dimensions(tensor.type)):
        return tensor
    sizes = tuple(map(len, tensor.labels))
    flat = tensor.codes @ np.array([math.prod(sizes[place + 1 :]) for place in range(len(sizes))])
    total = math.prod(sizes)
    if len(flat) == total and np.array_equal(flat, np.arange(total)):
        return tensor
    values = np.zeros((total, *tensor.type.shape), tensor.type.cell_type.dtype)
    values[flat] = tensor.values
    codes = np.indices(sizes).reshape(len(sizes), total).T
    return Tensor(tensor.type, np.ascontiguousarray(codes), tensor.labels, values)


def rolled(tensor: Tensor, names: list[str]) -> Tensor:
    """Return the tensor with hidden mapped dimensions as indexes; nothing else may be mapped."""
    mine = [name for name in tensor.type.mapped if name in names]
    if not mine:
        return tensor
    full = completed(tensor)
    sizes = [len(labels) for labels in full.labels]
    kept = [place for place, name in enumerate(full.type.mapped) if name not in mine]
    gone = [place for place, name in enumerate(full.type.mapped) if name in mine]
    blocks = full.values.reshape((*sizes, *full.type.shape))
    moved = blocks.transpose(*kept, *gone, *range(len(sizes), blocks.ndim))
    dimensions = tuple(
        Dimension(each.name, sizes[full.type.mapped.index(each.name)])
        if each.name in mine
        else each
        for each in full.type.dimensions
    )
    kind = TensorType(full.type.cell_type, dimensions)
    rows = math.prod(sizes[place] for place in kept)
    now = [*mine, *full.type.indexed]
    flat = moved.reshape((rows, *moved.shape[len(kept) :]))
    values = flat.transpose(0, *(1 + now.index(name) for name in kind.indexed))
    codes = np.indices([sizes[place] for place in kept]).reshape(len(kept), rows).T
    return Tensor(kind, codes, tuple(full.labels[place] for place in kept), values)


def agreed(*tensors: Tensor) -> list[Tensor]:
    """Return the tensors with every hidden dimension in one form: labels, if any has it so."""
    mapped = {name for each in tensors for name in hidden_mapped(each.type)}
    return [
        unrolled(each, [name for name in hidden_indexed(each.type) if name in mapped])
        for each in tensors
    ]


def spread(tensor: Tensor, *others: Tensor) -> Tensor:
    """Return the tensor repeated along the hidden dimensions that others have and it lacks."""
    for other in others:
        for name in hidden_mapped(other.type):
            if tensor.type.dimension(name) is None:
                tensor = _with_labels(tensor, name, other.labels[other.type.mapped.index(name)])
        for name in hidden_indexed(other.type):
            if tensor.type.dimension(name) is None:
                tensor = _with_indexes(tensor, other.type.dimension(name) or Dimension(name))
    return tensor


def _with_labels(tensor: Tensor, name: str, labels: tuple[str, ...]) -> Tensor:
    rows, times = len(tensor.codes), len(labels)
    columns = {
        each: (np.tile(tensor.codes[:, place], times), tensor.labels[place])
        for place, each in enumerate(tensor.type.mapped)
    }
    columns[name] = np.repeat(np.arange(times), rows), labels
    kind = TensorType(tensor.type.cell_type, (*tensor.type.dimensions, Dimension(name)))
    values = np.tile(tensor.values, (times, *(1 for _ in tensor.type.shape)))
    return with_columns(kind, columns, values)


def _with_indexes(tensor: Tensor, dimension: Dimension) -> Tensor:
    kind = TensorType(tensor.type.cell_type, (*tensor.type.dimensions, dimension))
    place = 1 + kind.indexed.index(dimension.name)
    shape = (len(tensor.values), *kind.shape)
    values = np.broadcast_to(np.expand_dims(tensor.values, place), shape)
    return Tensor(kind, tensor.codes, tensor.labels, values)
