"""Which kernel computes: numba's where it is installed and worth its start, numpy's elsewhere.

The choice depends on the call alone, so that the same call gives the same scores.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import PackedVectors
from vespa_colbert.rank.kernels import blocked

__all__ = ["BITS_OF_BYTE", "hamming_sums", "max_sim", "max_sim_bits"]

logger = logging.getLogger(__name__)

WORTH_COMPILING = 2**27
"""Products of a call above which numba computes it: numpy takes 4 milliseconds for that many, and
loading numba nearly a second."""

BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).astype(
    np.float32
)
"""(256, 8) float32: the 8 bits of every byte value, bit 7 first."""


def max_sim(
    query: NDArray[Any], rows: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each document.

    Args:
        query: (query token, dim) float32 or float64.
        rows: (row, dim) float32, float64, int8, or uint16 for the upper halves of float32, which
            are bfloat16: the token vectors of all documents end to end.
        offsets: (document + 1,) int64, where each document's rows begin and end.

    Returns:
        (document,) float64; 0 for a document without rows or a query without tokens. Products are
        float32 unless one side is float64.
    """
    if len(query) == 0:
        return np.zeros(len(offsets) - 1)
    floats = query.dtype == np.float32 and rows.dtype != np.float64
    compiled = _compiled(query.size * len(rows)) if floats else None
    scores: NDArray[np.float64] = (compiled or blocked).max_sim(query, rows, offsets)
    return scores


def max_sim_bits(
    query: NDArray[Any],
    packed: PackedVectors,
    offsets: NDArray[np.int64],
    cells_of_byte: NDArray[np.float32] = BITS_OF_BYTE,
) -> NDArray[np.float64]:
    """Return MaxSim of a float query against ``unpack_bits`` of the rows.

    Args:
        query: (query token, dim) float32 or float64.
        packed: (row, dim // 8) int8.
        offsets: (document + 1,) int64.
        cells_of_byte: (256, 8) float32, the cells that each byte stands for.

    Returns:
        (document,) float64; 0 for a document without rows or a query without tokens.
    """
    if len(query) == 0:
        return np.zeros(len(offsets) - 1)
    compiled = _compiled(query.size * len(packed)) if query.dtype == np.float32 else None
    cells = cells_of_byte.astype(query.dtype, copy=False)
    scores: NDArray[np.float64] = (compiled or blocked).max_sim_bits(query, packed, offsets, cells)
    return scores


def hamming_sums(
    query: PackedVectors,
    packed: PackedVectors,
    offsets: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return Σ_qt of the value of the smallest Hamming distance, for each document.

    Args:
        query: (query token, byte) int8.
        packed: (row, byte) int8.
        offsets: (document + 1,) int64.
        values: (8 · byte + 1,) float64, what each distance is worth.

    Returns:
        (document,) float64; 0 for a document without rows or a query without tokens.
    """
    kernels = _compiled(query.size * len(packed)) or blocked
    scores: NDArray[np.float64] = kernels.hamming_sums(query, packed, offsets, values)
    return scores


def _compiled(products: int) -> ModuleType | None:
    """Return the kernels of numba if a call of that many products is worth them."""
    return _numba_kernels() if products >= WORTH_COMPILING else None


@functools.cache
def _numba_kernels() -> ModuleType | None:
    """Return the kernels of numba, ``None`` without the extra ``fast``."""
    try:
        from vespa_colbert.rank.kernels import compiled
    except ImportError as error:  # not installed, or not for this numpy
        logger.info("scoring with numpy: %s", error)
        return None
    return compiled
