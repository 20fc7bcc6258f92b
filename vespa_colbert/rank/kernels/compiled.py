"""The kernels compiled by numba: sums and maxima in registers, no matrix of products.

Queries are scored together: their tokens lie end to end, and a block of 32 of them takes as long as
one. What a query gets is the same to the last bit whichever others are with it.

Source: SumMaxDotProductFunction and SumMaxInvHammingFunction, Vespa 8.700.24 (float products, sum
over query tokens in double).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
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
    """The tokens of one query, or of several end to end, as tiles take them.

    Numba's cache on disk names this class: were it called otherwise, older caches would not open.

    Attributes:
        blocks: (block, line, 32), zero past the last query token.
        owners: (query token,) int64, which query each belongs to.
    """

    blocks: NDArray[Any]
    owners: NDArray[np.int64]

    def by_block(self) -> Iterator[Query]:
        """Yield each block by itself."""
        for block in range(len(self.blocks)):
            own = slice(block * LANES, (block + 1) * LANES)
            yield Query(self.blocks[block : block + 1], self.owners[own])


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
    queries: Sequence[NDArray[np.float32]], rows: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each query and document.

    Args:
        queries: (query token, dim) float32 each.
        rows: (row, dim) float32, int8, or uint16 for bfloat16 cells.
        offsets: (document + 1,) int64.

    Returns:
        (query, document) float64; 0 for a document without rows.
    """
    compute = float_scores if rows.dtype == np.float32 else widened_scores
    scores, asked = _zeros(queries, offsets), _query(queries, np.float32)
    arguments = (np.ascontiguousarray(rows), offsets, asked, scores)
    _in_shares(offsets, functools.partial(compute, *arguments))
    return scores


def max_sim_bits(
    queries: Sequence[NDArray[np.float32]],
    packed: NDArray[np.int8],
    offsets: NDArray[np.int64],
    cells_of_byte: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return MaxSim of float queries against what the bits of the rows stand for.

    Args:
        queries: (query token, 8 · byte) float32 each.
        packed: (row, byte) int8.
        offsets: (document + 1,) int64.
        cells_of_byte: (256, 8) float32, the cells that each byte stands for.

    Returns:
        (query, document) float64; 0 for a document without rows.
    """
    scores = _zeros(queries, offsets)
    rows = np.ascontiguousarray(packed).view(np.uint8)
    for block in _query(queries, np.float32).by_block():  # the cache holds the tables of one
        arguments = (rows, offsets, _tables(block, cells_of_byte), scores)
        _in_shares(offsets, functools.partial(table_scores, *arguments))
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
    return Query(tables.reshape(blocks, dim // 8 * 256, LANES), query.owners)


def hamming_sums(
    queries: Sequence[NDArray[np.int8]],
    packed: NDArray[np.int8],
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
        (query, document) float64; 0 for a document without rows.
    """
    word = widest_word(packed.shape[1])
    words = [np.ascontiguousarray(each).view(word) for each in queries]
    rows = np.ascontiguousarray(packed).view(word)
    scores = _zeros(queries, offsets)
    arguments = (rows, offsets, _query(words, np.uint64), values, scores)
    _in_shares(offsets, functools.partial(hamming_scores, *arguments))
    return scores


def _zeros(queries: Sequence[NDArray[Any]], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.zeros((len(queries), len(offsets) - 1))


def _in_shares(offsets: NDArray[np.int64], compute: Callable[[Shares], object]) -> None:
    """Call ``compute`` in threads, each of which takes documents until none are left."""
    documents, threads = len(offsets) - 1, threads_worth(offsets)
    step = max(1, documents // (threads * SHARES_A_THREAD))
    shares = Shares(documents, step, np.zeros(2, np.int64))
    in_threads(lambda: compute(shares), threads, lambda: all_are_served(shares))


def _query(queries: Sequence[NDArray[Any]], dtype: type[np.generic]) -> Query:
    """Return queries of (query token, line) as tiles take them."""
    tokens = queries[0] if len(queries) == 1 else np.concatenate(queries)
    owners = np.repeat(np.arange(len(queries)), list(map(len, queries)))
    count, lines = tokens.shape
    blocks = _aligned((-(-count // LANES), lines, LANES), dtype)
    blocks.fill(0)
    for block, part in enumerate(blocks):
        taken = tokens[block * LANES : (block + 1) * LANES].T
        part[:, : taken.shape[1]] = taken
    return Query(blocks, owners)


def _aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """Return an array that begins where a line of the cache does."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + LINE_BYTES, np.uint8)
    skipped = -buffer.ctypes.data % LINE_BYTES
    aligned: NDArray[Any] = buffer[skipped : skipped + size].view(dtype).reshape(shape)
    return aligned
