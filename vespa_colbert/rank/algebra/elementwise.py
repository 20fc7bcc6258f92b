"""One tensor, other cells or names: map, cell_cast, unpack_bits, rename."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.algebra.cells import lifted, stored
from vespa_colbert.rank.algebra.rules import cell_cast_type, map_type, rename_type, unpack_bits_type
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = ["cast_cells", "map_cells", "rename", "unpack"]


def cast_cells(tensor: Tensor, cell_type: CellType) -> Tensor:
    """Return ``cell_cast(tensor, cell_type)``."""
    wanted = lifted(lambda kind: cell_cast_type(kind, cell_type), tensor.type)
    values = stored(tensor.values.astype(np.float64), wanted.cell_type)
    return Tensor(wanted, tensor.codes, tensor.labels, values)


def map_cells(tensor: Tensor, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Tensor:
    """Return ``map(tensor, f)``: the function of every cell."""
    wanted = lifted(map_type, tensor.type)
    with np.errstate(all="ignore"):
        computed = np.asarray(function(tensor.values.astype(np.float64)), np.float64)
    return Tensor(wanted, tensor.codes, tensor.labels, stored(computed, wanted.cell_type))


def unpack(tensor: Tensor, cell_type: CellType, order: str = "big") -> Tensor:
    """Return ``unpack_bits(tensor, cell_type, order)``: 8 cells of 0 or 1 for each int8.

    Args:
        tensor: With int8 cells and an indexed dimension; the last one becomes 8 times as long.
        cell_type: Of the result.
        order: ``big``: bit 7 first; ``little``: bit 0 first.

    Source: UnpackBitsNode, Vespa 8.700.24.
    """
    wanted = lifted(lambda kind: unpack_bits_type(kind, cell_type), tensor.type)
    last = lifted(lambda kind: kind, tensor.type)
    name = next(each.name for each in reversed(last.dimensions) if not each.is_mapped)
    axis = 1 + tensor.type.indexed.index(name)
    moved = np.moveaxis(tensor.values, axis, -1)
    packed = np.ascontiguousarray(moved).view(np.uint8)
    bits = np.unpackbits(packed, axis=-1, bitorder="big" if order == "big" else "little")
    values = np.moveaxis(bits, -1, axis).astype(np.float64)
    return Tensor(wanted, tensor.codes, tensor.labels, stored(values, wanted.cell_type))


def rename(tensor: Tensor, before: Sequence[str], after: Sequence[str]) -> Tensor:
    """Return ``rename(tensor, before, after)``.

    Source: ValueType::rename in eval, Vespa 8.700.24.
    """
    wanted = lifted(lambda kind: rename_type(kind, before, after), tensor.type)
    return renamed(tensor, dict(zip(before, after, strict=True)), wanted)


def renamed(tensor: Tensor, names: dict[str, str], wanted: TensorType | None = None) -> Tensor:
    """Return the tensor with other names of dimensions, which change their order."""
    if wanted is None:
        dimensions = (
            Dimension(names.get(each.name, each.name), each.size) for each in tensor.type.dimensions
        )
        wanted = TensorType(tensor.type.cell_type, tuple(dimensions))
    mapped = [names.get(name, name) for name in tensor.type.mapped]
    indexed = [names.get(name, name) for name in tensor.type.indexed]
    columns = [mapped.index(name) for name in wanted.mapped]
    axes = [1 + indexed.index(name) for name in wanted.indexed]
    labels = tuple(tensor.labels[place] for place in columns)
    return Tensor(wanted, tensor.codes[:, columns], labels, tensor.values.transpose(0, *axes))
