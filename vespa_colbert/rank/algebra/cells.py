"""What the operations share: dimensions that Vespa does not see, types, cells as they are stored.

A dimension whose name begins with a dollar stands for many evaluations at once: the documents of a
batch, the cells or subspaces that a lambda is run on, the indexes of a generated tensor. No
identifier of Vespa begins so, and none collides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType
from vespa_colbert.tensor.cells import cast_cells as cast_values

__all__ = [
    "CELLS",
    "DOCUMENTS",
    "Columns",
    "aligned",
    "is_hidden",
    "lifted",
    "stored",
    "user_dimensions",
    "visible_type",
]

DOCUMENTS, CELLS = "$doc", "$cell"
"""The batch, and the cells or subspaces that a lambda is run on."""

Columns: TypeAlias = NDArray[np.int64]


def is_hidden(dimension: Dimension) -> bool:
    """Return whether a dimension stands for many evaluations at once."""
    return dimension.name.startswith("$")


def user_dimensions(tensor_type: TensorType) -> tuple[Dimension, ...]:
    """Return the dimensions that Vespa would see."""
    return tuple(each for each in tensor_type.dimensions if not is_hidden(each))


def visible_type(tensor_type: TensorType) -> TensorType:
    """Return the type that Vespa would see: that of one evaluation."""
    return typed(tensor_type.cell_type, user_dimensions(tensor_type))


def typed(cell_type: CellType, dimensions: Sequence[Dimension]) -> TensorType:
    """Return a type; one without dimensions of the user's has double cells, as a number has."""
    if all(is_hidden(each) for each in dimensions):
        cell_type = CellType.DOUBLE
    return TensorType(cell_type, tuple(dimensions))


def lifted(rule: Callable[..., TensorType], *types: TensorType) -> TensorType:
    """Return the type that a rule gives for one evaluation, with the hidden dimensions again.

    Args:
        rule: From the visible types of the operands to that of the result.
        *types: Of the operands.
    """
    hidden = {each.name: each for one in types for each in one.dimensions if is_hidden(each)}
    result = rule(*map(visible_type, types))
    return typed(result.cell_type, (*result.dimensions, *hidden.values()))


def stored(values: NDArray[Any], cell_type: CellType) -> NDArray[Any]:
    """Return computed values as cells of that type hold them."""
    return cast_values(values, cell_type)


def aligned(tensor: Tensor, wanted: TensorType) -> NDArray[Any]:
    """Return the values as (subspace, *indexed of ``wanted``), 1 where the tensor lacks one."""
    sizes = [
        (tensor.type.dimension(name) or Dimension(name, 1)).size or 1 for name in wanted.indexed
    ]
    return tensor.values.reshape((len(tensor.values), *sizes))
