"""Which kernel computes: numba's where it is installed and worth its start, numpy's elsewhere."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import PackedVectors
from vespa_colbert.rank.kernels import blocked
from vespa_colbert.rank.kernels.queries import is_worth, scores_of_queries

__all__ = [
    "BITS_OF_BYTE",
    "hamming_sums",
    "hamming_sums_of_queries",
    "max_sim",
    "max_sim_bits",
    "max_sim_bits_of_queries",
    "max_sim_of_queries",
]

logger = logging.getLogger(__name__)

BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).astype(
    np.float32
)
"""(256, 8) float32: the 8 bits of every byte value, bit 7 first."""


def max_sim(
    query: NDArray[Any], rows: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each document: (document,) float64.

    Of one query; see ``max_sim_of_queries``.
    """
    scores: NDArray[np.float64] = max_sim_of_queries([query], rows, offsets)[0]
    return scores


def max_sim_of_queries(
    queries: Sequence[NDArray[Any]], rows: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each query and document.

    Args:
        queries: (query token, dim) float32 or float64 each.
        rows: (row, dim) float32, float64, int8, or uint16 for the upper halves of float32, which
            are bfloat16: the token vectors of all documents end to end.
        offsets: (document + 1,) int64, where each document's rows begin and end.

    Returns:
        (query, document) float64, to the last bit what each query by itself has; 0 for a document
        without rows or a query without tokens. Products are float32 unless one side is float64.
    """
    floats = rows.dtype != np.float64
    return scores_of_queries(
        queries,
        offsets,
        is_compiled=lambda query: floats and query.dtype == np.float32 and is_worth(query, rows),
        kernels=_numba_kernels,
        together=lambda kernels, asked: kernels.max_sim(asked, rows, offsets),
        alone=lambda query: blocked.max_sim(query, rows, offsets),
    )


def max_sim_bits(
    query: NDArray[Any],
    packed: PackedVectors,
    offsets: NDArray[np.int64],
    cells_of_byte: NDArray[np.float32] = BITS_OF_BYTE,
) -> NDArray[np.float64]:
    """Return MaxSim of a float query against ``unpack_bits`` of the rows: (document,) float64.

    Of one query; see ``max_sim_bits_of_queries``.
    """
    found = max_sim_bits_of_queries([query], packed, offsets, cells_of_byte)
    scores: NDArray[np.float64] = found[0]
    return scores


def max_sim_bits_of_queries(
    queries: Sequence[NDArray[Any]],
    packed: PackedVectors,
    offsets: NDArray[np.int64],
    cells_of_byte: NDArray[np.float32] = BITS_OF_BYTE,
) -> NDArray[np.float64]:
    """Return MaxSim of float queries against ``unpack_bits`` of the rows.

    Args:
        queries: (query token, dim) float32 or float64 each.
        packed: (row, dim // 8) int8.
        offsets: (document + 1,) int64.
        cells_of_byte: (256, 8) float32, the cells that each byte stands for.

    Returns:
        (query, document) float64, to the last bit what each query by itself has; 0 for a document
        without rows or a query without tokens.
    """

    def alone(query: NDArray[Any]) -> NDArray[np.float64]:
        cells = cells_of_byte.astype(query.dtype, copy=False)
        return blocked.max_sim_bits(query, packed, offsets, cells)

    return scores_of_queries(
        queries,
        offsets,
        is_compiled=lambda query: query.dtype == np.float32 and is_worth(query, packed),
        kernels=_numba_kernels,
        together=lambda kernels, asked: kernels.max_sim_bits(asked, packed, offsets, cells_of_byte),
        alone=alone,
    )


def hamming_sums(
    query: PackedVectors,
    packed: PackedVectors,
    offsets: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return Σ_qt of the value of the smallest Hamming distance: (document,) float64.

    Of one query; see ``hamming_sums_of_queries``.
    """
    scores: NDArray[np.float64] = hamming_sums_of_queries([query], packed, offsets, values)[0]
    return scores


def hamming_sums_of_queries(
    queries: Sequence[PackedVectors],
    packed: PackedVectors,
    offsets: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return Σ_qt of the value of the smallest Hamming distance, for each query and document.

    Args:
        queries: (query token, byte) int8 each.
        packed: (row, byte) int8.
        offsets: (document + 1,) int64.
        values: (8 · byte + 1,) float64, what each distance is worth.

    Returns:
        (query, document) float64; 0 for a document without rows or a query without tokens.
    """
    return scores_of_queries(
        queries,
        offsets,
        is_compiled=lambda query: is_worth(query, packed),
        kernels=_numba_kernels,
        together=lambda kernels, asked: kernels.hamming_sums(asked, packed, offsets, values),
        alone=lambda query: blocked.hamming_sums(query, packed, offsets, values),
    )


@functools.cache
def _numba_kernels() -> ModuleType | None:
    """Return the kernels of numba, ``None`` without the extra ``fast``."""
    try:
        from vespa_colbert.rank.kernels import compiled
    except ImportError as error:  # not installed, or not for this numpy
        logger.info("scoring with numpy: %s", error)
        return None
    return compiled
