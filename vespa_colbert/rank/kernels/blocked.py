"""The kernels in numpy alone: matrix products of blocks that stay in the cache, in threads.

Nothing is padded and the maximum starts at minus infinity, so that negative maxima are exact. An
absent side gives 0, as Vespa's fast path does.

Source: SumMaxDotProductFunction and SumMaxInvHammingFunction, Vespa 8.700.24 (float products, sum
over query tokens in double).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import PackedVectors
from vespa_colbert.rank.kernels.parallel import Part, in_parts

__all__ = [
    "hamming_sums",
    "max_sim",
    "max_sim_bits",
    "max_sim_of",
    "max_sim_of_chosen",
    "widest_word",
]

BLOCK_ROWS = 4096
"""Rows whose products are made before their maxima: they stay in the cache."""

LINE_BYTES = 64
LONG_ROW_BYTES = 512

PRODUCT_ROWS = 64
"""Rows of one matrix product. So small a one is computed where it is called, without copies and
without threads of its own, which for a narrow product like this takes half the time. So it is with
the query in columns; with it in rows, only up to 32."""

FloatCells = NDArray[np.float32] | NDArray[np.float64]


def max_sim(
    query: FloatCells, rows: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each document.

    Args:
        query: (query token, dim) float32 or float64.
        rows: (row, dim) float32, float64, int8, or uint16 for bfloat16 cells.
        offsets: (document + 1,) int64.

    Returns:
        (document,) float64; 0 for a document without rows.
    """
    doubles = np.float64 in {query.dtype.type, rows.dtype.type}
    kind = np.dtype(np.float64 if doubles else np.float32)

    def floats(start: int, end: int) -> NDArray[Any]:
        cells = rows[start:end]
        return _in_cache(cells) if cells.dtype == kind else _widened(cells, kind)

    return max_sim_of(query, offsets, floats, kind)


def max_sim_bits(
    query: FloatCells,
    packed: PackedVectors,
    offsets: NDArray[np.int64],
    cells_of_byte: FloatCells,
) -> NDArray[np.float64]:
    """Return MaxSim of a float query against what the bits of the rows stand for.

    Args:
        query: (query token, 8 · byte) float32 or float64.
        packed: (row, byte) int8.
        offsets: (document + 1,) int64.
        cells_of_byte: (256, 8), the cells that each byte stands for, of the query's dtype.

    Returns:
        (document,) float64; 0 for a document without rows.
    """

    def unpacked(start: int, end: int) -> NDArray[Any]:
        return cells_of_byte[packed[start:end].view(np.uint8)].reshape(end - start, -1)

    return max_sim_of(query, offsets, unpacked, query.dtype)


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
        (document,) float64; 0 for a document without rows.
    """
    word = widest_word(packed.shape[1])
    asked = np.ascontiguousarray(query).view(word)
    rows = np.ascontiguousarray(packed).view(word)
    scores = np.zeros(len(offsets) - 1)

    def score(documents: NDArray[np.int64], start: int, end: int) -> None:
        starts = offsets[documents] - start
        for token in asked:
            distances = np.bitwise_count(rows[start:end] ^ token).sum(axis=1, dtype=np.int64)
            scores[documents] += values[np.minimum.reduceat(distances, starts)]

    _in_blocks(offsets, score)
    return scores


def widest_word(width: int) -> np.dtype[Any]:
    """Return the widest unsigned type that divides rows of that many bytes."""
    words = map(np.dtype, (np.uint64, np.uint32, np.uint16, np.uint8))
    return next(word for word in words if width % word.itemsize == 0)


def max_sim_of(
    query: FloatCells,
    offsets: NDArray[np.int64],
    rows: Callable[[int, int], NDArray[Any]],
    kind: np.dtype[Any],
) -> NDArray[np.float64]:
    """Return the sums of best products of rows that are made a block at a time.

    Args:
        query: (query token, dim) float32 or float64.
        offsets: (document + 1,) int64.
        rows: First row and end of a block → its cells, (row, dim); called from several threads.
        kind: Dtype of the products.

    Returns:
        (document,) float64; 0 for a document without rows.
    """
    scores = np.zeros(len(offsets) - 1)
    columns = np.asfortranarray(query, kind)

    def score(documents: NDArray[np.int64], start: int, end: int) -> None:
        products = _products(rows(start, end), columns)
        scores[documents] = _best_sums(products, offsets[documents] - start)

    _in_blocks(offsets, score)
    return scores


def max_sim_of_chosen(
    lines: FloatCells, chosen: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sums of the best of products that are known: each row has those of one line.

    Args:
        lines: (line, query token) float32 or float64.
        chosen: (row,) int64, the line of each row.
        offsets: (document + 1,) int64.

    Returns:
        (document,) float64; 0 for a document without rows.
    """
    scores = np.zeros(len(offsets) - 1)

    def score(documents: NDArray[np.int64], start: int, end: int) -> None:
        products = np.ascontiguousarray(lines[chosen[start:end]].T)
        scores[documents] = _best_sums(products, offsets[documents] - start)

    if lines.shape[1]:
        _in_blocks(offsets, score)
    return scores


def _products(rows: NDArray[Any], query: NDArray[Any]) -> NDArray[Any]:
    """Return query @ rows.T: (query token, row), so that a document's products lie side by side."""
    found = np.empty((len(query), len(rows)), query.dtype)
    whole = len(rows) // PRODUCT_ROWS * PRODUCT_ROWS
    with np.errstate(all="ignore"):
        if whole:
            many = rows[:whole].reshape(-1, PRODUCT_ROWS, rows.shape[1]).transpose(0, 2, 1)
            room = found[:, :whole].reshape(len(query), -1, PRODUCT_ROWS).transpose(1, 0, 2)
            np.matmul(query, many, out=room)
        if whole < len(rows):
            np.matmul(query, rows[whole:].T, out=found[:, whole:])
    return found


def _best_sums(products: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum over query tokens of the best row, for each document of a block."""
    sums = _sums(np.maximum.reduceat(products, starts, axis=1))
    if np.isnan(sums).any():  # NaN is never the largest, as in the algebra
        best = np.fmax.reduceat(products, starts, axis=1)
        best[np.isnan(best)] = -np.inf
        sums = _sums(best)
    return sums


def _sums(best: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        sums: NDArray[np.float64] = best.sum(axis=0, dtype=np.float64)
    return sums


def _widened(rows: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Return cells as floats; uint16 is the upper half of a float32, as bfloat16 is."""
    if rows.dtype == np.uint16:
        rows = (rows.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return rows.astype(kind, copy=False)


def _in_cache(cells: NDArray[Any]) -> NDArray[Any]:
    """Return cells after a look at each line of the cache that they fill.

    A product takes several rows at a time. Where they are long, processors do not guess what is
    next in that order: from memory it takes nearly twice as long as from the cache.
    """
    if cells.flags.c_contiguous and cells[:1].nbytes >= LONG_ROW_BYTES:
        cells.reshape(-1)[:: LINE_BYTES // cells.itemsize].copy()
    return cells


def _in_blocks(
    offsets: NDArray[np.int64], score: Callable[[NDArray[np.int64], int, int], None]
) -> None:
    """Call ``score(documents, first row, end)`` for all documents that have rows, in threads."""

    def serve(part: Part) -> None:
        for documents, start, end in _blocks(offsets, part):
            score(documents, start, end)

    in_parts(offsets, serve)


def _blocks(offsets: NDArray[np.int64], part: Part) -> Iterator[tuple[NDArray[np.int64], int, int]]:
    """Yield documents that have rows, in runs of about ``BLOCK_ROWS`` rows, with their borders."""
    filled = part[0] + np.flatnonzero(np.diff(offsets[part[0] : part[1] + 1]))
    ends = offsets[filled + 1]
    first = 0
    while first < len(filled):
        start = int(offsets[filled[first]])
        last = int(np.searchsorted(ends, start + BLOCK_ROWS, "right"))
        last = max(last, first + 1)
        yield filled[first:last], start, int(ends[last - 1])
        first = last
