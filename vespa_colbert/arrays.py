"""Array aliases with their shapes, shape checks, unit rows, bfloat16 truncation, bit packing."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError

__all__ = [
    "PackedVectors",
    "TokenIds",
    "TokenVectors",
    "bfloat16_bits",
    "bfloat16_values",
    "check_array",
    "pack_bits",
    "truncate_to_bfloat16",
    "unit_rows",
    "unpack_bits",
]

TokenVectors: TypeAlias = NDArray[np.float32]
"""Token vectors of one text or of many laid end to end: (token, dim) float32."""

PackedVectors: TypeAlias = NDArray[np.int8]
"""Binarized token vectors: (token, dim // 8) int8, bit 7 of a byte is its first component."""

TokenIds: TypeAlias = NDArray[np.int64]
"""Token ids of one text: (token,) int64."""

BITS_PER_CELL = 8


def check_array(
    array: NDArray[Any], what: str, *, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> None:
    """Return nothing if the array is as asked; used at public entry points.

    Args:
        array: The array to look at.
        what: How the error should call it.
        dtype: The exact numpy dtype wanted.
        shape: Wanted sizes, ``None`` where any size will do.

    Raises:
        ArrayError: On another dtype, rank or size.
    """
    if array.dtype != np.dtype(dtype):
        raise ArrayError(f"{what}: expected dtype {np.dtype(dtype)}, got {array.dtype}")
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ArrayError(f"{what}: expected shape ({wanted}), got {array.shape}")


def unit_rows(rows: TokenVectors) -> TokenVectors:
    """Return rows of length 1, one of zeros as it is: (token, dim) float32."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: TokenVectors = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return units


def pack_bits(vectors: TokenVectors) -> PackedVectors:
    """Return the binarized vectors: bit = value > 0, bit 7 first, 8 components per int8.

    Args:
        vectors: (token, dim) float32, dim a multiple of 8.

    Returns:
        (token, dim // 8) int8.

    Raises:
        ArrayError: If dim is not a multiple of 8, or a value is NaN (Vespa would pack it as 0).

    Source: ColBertEmbedder.toBitTensor, Vespa 8.700.24.
    """
    if vectors.shape[-1] % BITS_PER_CELL:
        raise ArrayError(f"pack_bits: expected a width divisible by 8, got {vectors.shape[-1]}")
    if np.isnan(vectors).any():
        raise ArrayError("pack_bits: a vector holds NaN")
    return np.packbits(vectors > 0, axis=-1, bitorder="big").view(np.int8)


def unpack_bits(packed: PackedVectors) -> TokenVectors:
    """Return the bits as 0.0 and 1.0: (token, dim // 8) int8 → (token, dim) float32.

    Source: the ``unpack_bits`` rank function, which gives 0/1 and not -1/+1.
    """
    return np.unpackbits(packed.view(np.uint8), axis=-1, bitorder="big").astype(np.float32)


def truncate_to_bfloat16(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the values as Vespa stores them in bfloat16 cells, widened to float32 again.

    The lower 16 bits are cut off, not rounded; what is too large for a float becomes infinite.

    Source: BFloat16 in vespalib and TypedBinaryFormat.bFloat16BitsFromFloat, Vespa 8.700.24.
    Differs: most libraries (PyTorch, ml_dtypes) round to nearest even.
    """
    with np.errstate(over="ignore"):
        floats = np.asarray(values).astype(np.float32, order="C")
    return (floats.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the upper halves of the bits of float32 values, all that bfloat16 keeps of them.

    Args:
        values: Any shape; each must be a value of bfloat16.

    Raises:
        ArrayError: If one would lose bits.
    """
    bits = np.ascontiguousarray(values).view(np.uint32)
    if (bits & np.uint32(0xFFFF)).any():
        raise ArrayError("a cell is not a bfloat16 value; truncate them first")
    return (bits >> np.uint32(16)).astype(np.uint16)


def bfloat16_values(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 values whose upper halves these are; the lower ones are zero."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
