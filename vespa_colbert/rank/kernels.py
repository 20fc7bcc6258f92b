"""MaxSim over many documents at once: blocked matrix products, maximum per document, sum.

Nothing is padded and the maximum starts at minus infinity, so that negative maxima are exact. An
absent side gives 0, as Vespa's fast path does.

Source: SumMaxDotProductFunction, Vespa 8.700.24 (float products, sum over query tokens in double).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import PackedVectors, TokenVectors

__all__ = ["max_sim", "max_sim_bits"]

BLOCK_ROWS = 2048
"""Rows of one matrix product: its result stays in the cache, larger ones cost page faults."""

BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).astype(
    np.float32
)
"""(256, 8) float32: the 8 bits of every byte value, bit 7 first."""


def max_sim(
    query: TokenVectors, rows: TokenVectors, offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each document.

    Args:
        query: (query token, dim) float32.
        rows: (row, dim) float32, the token vectors of all documents end to end.
        offsets: (document + 1,) int64, where each document's rows begin and end.

    Returns:
        (document,) float64; 0 for a document without rows or a query without tokens.
    """
    scores = np.zeros(len(offsets) - 1)
    if len(query) == 0:
        return scores
    transposed = np.ascontiguousarray(query.T)
    for documents, start, end in _blocks(offsets):
        products = _product(rows[start:end], transposed)
        scores[documents] = _best_sums(products, offsets[documents] - start)
    return scores


def max_sim_bits(
    query: TokenVectors, packed: PackedVectors, offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return MaxSim of a float query against ``unpack_bits`` of the rows.

    Args:
        query: (query token, dim) float32.
        packed: (row, dim // 8) int8.
        offsets: (document + 1,) int64.

    Returns:
        (document,) float64; 0 for a document without rows or a query without tokens.
    """
    scores = np.zeros(len(offsets) - 1)
    if len(query) == 0:
        return scores
    transposed = np.ascontiguousarray(query.T)
    for documents, start, end in _blocks(offsets):
        bits = BITS_OF_BYTE[packed[start:end].view(np.uint8)].reshape(end - start, -1)
        products = _product(bits, transposed)
        scores[documents] = _best_sums(products, offsets[documents] - start)
    return scores


def _best_sums(products: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum over query tokens of the best row, for each document of a block."""
    best: NDArray[np.float32] = np.maximum.reduceat(products, starts, axis=0)
    if np.isnan(best).any():  # NaN is never the largest, as in the algebra
        best = np.fmax.reduceat(products, starts, axis=0)
        best[np.isnan(best)] = -np.inf
    with np.errstate(invalid="ignore"):
        sums: NDArray[np.float64] = best.sum(axis=1, dtype=np.float64)
    return sums


def _product(rows: TokenVectors, transposed: TokenVectors) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        products: NDArray[np.float32] = rows @ transposed
    return products


def _blocks(offsets: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int, int]]:
    """Yield documents that have rows, in runs of about ``BLOCK_ROWS`` rows, with their borders."""
    filled = np.flatnonzero(np.diff(offsets))
    ends = offsets[filled + 1]
    first = 0
    while first < len(filled):
        start = int(offsets[filled[first]])
        last = int(np.searchsorted(ends, start + BLOCK_ROWS, "right"))
        last = max(last, first + 1)
        yield filled[first:last], start, int(ends[last - 1])
        first = last
