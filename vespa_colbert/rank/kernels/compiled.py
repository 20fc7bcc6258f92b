"""The kernels compiled by numba: sums and maxima in registers, no matrix of scores.

Source: SumMaxDotProductFunction and SumMaxInvHammingFunction, Vespa 8.700.24 (float products, sum
over query tokens in double).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.kernels.blocked import widest_word
from vespa_colbert.rank.kernels.parallel import in_threads, threads_worth
from vespa_colbert.rank.kernels.vectors import (
    LANES,
    all_are_served,
    float_scores,
    hamming_scores,
    table_scores,
    widened_scores,
)

__all__ = ["Query", "Shares", "hamming_sums", "max_sim", "max_sim_bits"]

LINE_BYTES = 64

SHARES_A_THREAD = 64
"""So many that threads end together, and so few that taking them costs nothing."""


class Query(NamedTuple):
    """Query tokens as tiles take them.

    Attributes:
        blocks: (block, line, 32), zero past the last query token.
        tokens: How many there are.
    """

    blocks: NDArray[Any]
    tokens: int


class Shares(NamedTuple):
    """Documents that threads take as they get to them, a few at a time.

    Attributes:
        documents: How many there are.
        step: How many are taken at once.
        counts: (2,) int64, how many are taken and how many are served.
    """

    documents: int
    step: int
    counts: NDArray[np.int64]


def max_sim(
    query: NDArray[np.float32], rows: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each document.

    Args:
        query: (query token, dim) float32.
        rows: (row, dim) float32, int8, or uint16 for bfloat16 cells.
        offsets: (document + 1,) int64.

    Returns:
        (document,) float64; 0 for a document without rows.
    """
    compute = float_scores if rows.dtype == np.float32 else widened_scores
    scores = np.zeros(len(offsets) - 1)
    arguments = (np.ascontiguousarray(rows), offsets, _query(query.T, np.float32), scores)
    _in_shares(offsets, lambda shares: compute(*arguments, shares))
    return scores


def max_sim_bits(
    query: NDArray[np.float32],
    packed: NDArray[np.int8],
    offsets: NDArray[np.int64],
    cells_of_byte: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return MaxSim of a float query against what the bits of the rows stand for.

    Args:
        query: (query token, 8 · byte) float32.
        packed: (row, byte) int8.
        offsets: (document + 1,) int64.
        cells_of_byte: (256, 8) float32, the cells that each byte stands for.

    Returns:
        (document,) float64; 0 for a document without rows.
    """
    scores = np.zeros(len(offsets) - 1)
    tables = _tables(_query(query.T, np.float32), cells_of_byte)
    rows = np.ascontiguousarray(packed).view(np.uint8)
    _in_shares(offsets, lambda shares: table_scores(rows, offsets, tables, scores, shares))
    return scores


def _tables(query: Query, cells_of_byte: NDArray[np.float32]) -> Query:
    """Return the dot products of query tokens with what a byte stands for, for each byte's place.

    Returns:
        Blocks of (place · 256 + byte, 32).
    """
    blocks, dim, _lanes = query.blocks.shape
    tables = _aligned((blocks, dim // 8, 256, LANES), np.float32)
    with np.errstate(all="ignore"):
        np.matmul(cells_of_byte, query.blocks.reshape(blocks, dim // 8, 8, LANES), out=tables)
    return Query(tables.reshape(blocks, dim // 8 * 256, LANES), query.tokens)


def hamming_sums(
    query: NDArray[np.int8],
    packed: NDArray[np.int8],
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
    asked = np.ascontiguousarray(query).view(word).astype(np.uint64)
    rows = np.ascontiguousarray(packed).view(word)
    scores = np.zeros(len(offsets) - 1)
    arguments = (rows, offsets, _query(asked.T, np.uint64), values, scores)
    _in_shares(offsets, lambda shares: hamming_scores(*arguments, shares))
    return scores


def _in_shares(offsets: NDArray[np.int64], compute: Callable[[Shares], object]) -> None:
    """Call ``compute`` in threads, each of which takes documents until none are left."""
    documents, threads = len(offsets) - 1, threads_worth(offsets)
    step = max(1, documents // (threads * SHARES_A_THREAD))
    shares = Shares(documents, step, np.zeros(2, np.int64))
    in_threads(lambda: compute(shares), threads, lambda: all_are_served(shares))


def _query(columns: NDArray[Any], dtype: type[np.generic]) -> Query:
    """Return (line, query token) as tiles take them."""
    lines, tokens = columns.shape
    blocks = _aligned((-(-tokens // LANES), lines, LANES), dtype)
    blocks.fill(0)
    for block, part in enumerate(blocks):
        taken = columns[:, block * LANES : (block + 1) * LANES]
        part[:, : taken.shape[1]] = taken
    return Query(blocks, tokens)


def _aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """Return an array that begins where a line of the cache does."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + LINE_BYTES, np.uint8)
    skipped = -buffer.ctypes.data % LINE_BYTES
    aligned: NDArray[Any] = buffer[skipped : skipped + size].view(dtype).reshape(shape)
    return aligned
