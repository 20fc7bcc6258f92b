"""Numbers → cells: how Vespa stores, casts and rounds them, in one place.

- float: rounded to nearest, ties to even.
- bfloat16: the lower 16 bits of the float are cut off, not rounded.
- int8: the float is cut off towards zero and its lowest eight bits are kept, so 127.5 is 127,
  128 is -128, -129 is 127 and NaN is 0. A double goes through float first: 127.9999999 is -128.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, pack_bits, truncate_to_bfloat16
from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor.types import CellType, TensorType

__all__ = ["cast_cells", "cells_from_text", "cells_of", "fits_int8", "stored_cells"]

PAST_INT32 = np.float32(2**31)
"""From here on Vespa's container gives -1 and its content nodes, on x86, give 0."""


def cast_cells(values: NDArray[Any], cell_type: CellType) -> NDArray[Any]:
    """Return computed values as Vespa stores them in cells of a type.

    Args:
        values: Any shape, any numeric dtype.
        cell_type: Type of the cells.

    Returns:
        The same shape, of the cell type's dtype.

    Raises:
        ArrayError: For int8, if a value is 2147483648 or more, where Vespa's engines differ.

    Source: CellCast and DenseBinaryFormat, Vespa 8.700.24; BFloat16 and Int8Float of the content
    nodes, where the conversion is that of x86 and ARM processors.
    """
    if values.dtype == cell_type.dtype and cell_type is not CellType.BFLOAT16:
        return values
    if cell_type is CellType.BFLOAT16:
        return truncate_to_bfloat16(values)
    with np.errstate(over="ignore", invalid="ignore"):
        if cell_type is not CellType.INT8:
            return values.astype(cell_type.dtype)
        floats = values.astype(np.float32)
        if (floats >= PAST_INT32).any():
            raise ArrayError(
                f"cells of int8: expected less than {2**31}, got {np.nanmax(floats)}; Vespa's "
                "container and content nodes make different cells of it"
            )
        # What is not above -2147483648 or not a number is 0 in both engines.
        whole = np.where(floats > -PAST_INT32, floats, np.float32(0)).astype(np.int32)
    return whole.astype(np.int8)


def stored_cells(values: NDArray[Any], tensor_type: TensorType) -> NDArray[Any]:
    """Return given values as cells of the type hold them; bfloat16 is cut off, as Vespa does.

    Raises:
        ArrayError: If a value is no int8 and the cells are: nothing is wrapped around or rounded.
    """
    is_other = tensor_type.cell_type is CellType.INT8 and values.dtype != np.int8
    if is_other and not fits_int8(values):
        raise ArrayError(f"{tensor_type}: expected whole numbers from -128 to 127")
    return cast_cells(values, tensor_type.cell_type)


def fits_int8(values: NDArray[Any]) -> bool:
    """Return whether all values are whole numbers from -128 to 127."""
    with np.errstate(invalid="ignore"):
        return bool(((values >= -128) & (values <= 127) & (np.trunc(values) == values)).all())


def cells_from_text(numbers: Sequence[str], cell_type: CellType) -> NDArray[Any]:
    """Return decimal numbers as cells, each rounded once.

    Args:
        numbers: Such as ``-1.5e3``, ``NaN``, ``Infinity``; what :func:`float` reads.
        cell_type: Type of the cells.

    Returns:
        (number,) of the cell type's dtype.

    Source: TensorParser.consumeNumber, Vespa 8.700.24: Float.parseFloat for all but double.
    """
    doubles = np.fromiter(map(float, numbers), np.float64, len(numbers))
    if cell_type is CellType.DOUBLE:
        return doubles
    with np.errstate(over="ignore", under="ignore"):
        floats = doubles.astype(np.float32)
        below = np.nextafter(doubles, -np.inf).astype(np.float32)
        above = np.nextafter(doubles, np.inf).astype(np.float32)
    # Where a double is half way between two floats, its own rounding decided; the text decides.
    for place in np.flatnonzero((below != above) & np.isfinite(doubles)).tolist():
        exact, double = Fraction(numbers[place]), Fraction(doubles[place])
        if exact != double:
            floats[place] = below[place] if exact < double else above[place]
    return cast_cells(floats, cell_type)


def cells_of(vectors: TokenVectors, target: TensorType) -> NDArray[Any]:
    """Return token vectors as the cells of a tensor field, as Vespa's embedder writes them.

    Args:
        vectors: (token, dim) float32.
        target: Such as ``tensor<int8>(dt{},x[16])``: int8 takes the sign bits of the first
            8 · width components, other cell types the first components as they are, never
            normalised again.

    Returns:
        (token, width) of the cell type's dtype.

    Raises:
        ArrayError: If the field is wider than the vectors, or has no such shape.

    Source: ColBertEmbedder.toFloatTensor and toBitTensor, Vespa 8.700.24.
    """
    if len(target.indexed) != 1 or len(target.mapped) != 1:
        raise ArrayError(f"{target}: expected one mapped and one indexed dimension")
    packed = target.cell_type is CellType.INT8
    wanted = target.shape[0] * (8 if packed else 1)
    if wanted > vectors.shape[1]:
        raise ArrayError(f"{target}: expected vectors of {wanted} or more, got {vectors.shape[1]}")
    first = vectors[:, :wanted]
    return pack_bits(first) if packed else cast_cells(first, target.cell_type)
