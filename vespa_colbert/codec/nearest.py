"""The nearest centroid of each vector, and k-means: matrix products in blocks, no matrix of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import ArrayError
from vespa_colbert.processors import processors

__all__ = ["BLOCK_ROWS", "CentroidPanels", "in_blocks", "k_means", "nearest_centroids"]

BLOCK_ROWS, BLOCK_PANELS = 512, 64
"""Of a block of products: 4 MiB, which stay in the cache while the best are taken."""

PRODUCT_ROWS, PANEL = 64, 32
"""Rows and centroids of one matrix product. So small a one is computed where it is called, without
copies and without threads of its own, which wait for each other where processors are busy."""

BLOCKS_A_THREAD = 4
"""Blocks below which a thread costs more than it saves."""

MOST_A_CENTROID = 256
"""Vectors that k-means looks at for each centroid; of more, some are drawn.

Source: ClusteringParameters.max_points_per_centroid, Faiss 1.15.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CentroidPanels:
    """Centroids as products take them: a few side by side, those of a panel in one piece.

    Attributes:
        panels: (panel, dim, 32) float32; the last ones are filled up with zeros.
        count: How many centroids there are.
    """

    panels: NDArray[np.float32]
    count: int

    @classmethod
    def of(cls, centroids: NDArray[np.float32]) -> Self:
        """Return centroids (centroid, dim) float32 as panels."""
        count, dim = centroids.shape
        filled = np.zeros((-(-count // PANEL) * PANEL, dim), np.float32)
        filled[:count] = centroids
        panels = filled.reshape(-1, PANEL, dim).transpose(0, 2, 1)
        return cls(panels=np.ascontiguousarray(panels), count=count)

    def room(self) -> NDArray[np.float32]:
        """Return memory for the products of a block, which is used for the next one again."""
        return np.empty(BLOCK_ROWS * PANEL * min(len(self.panels), BLOCK_PANELS), np.float32)

    def nearest(
        self, rows: TokenVectors, room: NDArray[np.float32], added: NDArray[np.float32] | None
    ) -> NDArray[np.int64]:
        """Return the number of the centroid with the largest inner product, the first of equals.

        Args:
            rows: (row, dim) float32, at most ``BLOCK_ROWS``.
            room: What ``room`` returned.
            added: (centroid,) float32, what is added to the products with each.

        Returns:
            (row,) int64. Products of a row do not depend on the rows beside it.
        """
        best = np.full(len(rows), -np.inf, np.float32)
        found = np.zeros(len(rows), np.int64)
        parts = _filled(rows).reshape(-1, 1, PRODUCT_ROWS, rows.shape[1])
        for first in range(0, len(self.panels), BLOCK_PANELS):
            panels = self.panels[first : first + BLOCK_PANELS]
            shape = len(parts), PRODUCT_ROWS, len(panels), PANEL
            made = room[: np.prod(shape)].reshape(shape)
            np.matmul(parts, panels, out=made.transpose(0, 2, 1, 3))
            start = first * PANEL
            products = made.reshape(-1, len(panels) * PANEL)[: len(rows), : self.count - start]
            if added is not None:
                products += added[start : start + products.shape[1]]
            winner = products.argmax(axis=1)
            values = products[np.arange(len(rows)), winner]
            is_better = values > best
            best[is_better] = values[is_better]
            found[is_better] = winner[is_better] + start
        return found


def _filled(rows: TokenVectors) -> TokenVectors:
    """Return rows with zeros behind them, so that there is a multiple of ``PRODUCT_ROWS``."""
    missing = -len(rows) % PRODUCT_ROWS
    if not missing:
        return np.ascontiguousarray(rows)
    return np.concatenate([rows, np.zeros((missing, rows.shape[1]), np.float32)])


def in_blocks(rows: int, serve: Callable[[Iterator[slice]], object]) -> None:
    """Call ``serve(blocks)`` in threads, which take blocks of rows until none is left.

    Args:
        rows: How many rows there are.
        serve: Serves blocks of at most ``BLOCK_ROWS``; called from several threads.
    """
    parts = [slice(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS)]
    waiting = iter(parts)
    threads = len(parts) // BLOCKS_A_THREAD
    helpers = min(processors(), threads) - 1 if threads > 1 else 0
    if helpers < 1:
        serve(waiting)
        return
    with ThreadPoolExecutor(helpers, "vespa-colbert-codec") as pool:
        running = [pool.submit(serve, waiting) for _ in range(helpers)]
        serve(waiting)
        for each in running:
            each.result()


def nearest_centroids(
    vectors: TokenVectors,
    centroids: NDArray[np.float32],
    added: NDArray[np.float32] | None = None,
) -> NDArray[np.int32]:
    """Return the number of the centroid with the largest inner product, the first of equals.

    Args:
        vectors: (vector, dim) float32.
        centroids: (centroid, dim) float32.
        added: (centroid,) float32, what is added to the products with each.

    Returns:
        (vector,) int32.

    Source: ResidualCodec.compress_into_codes, colbert-ai 501c29d.
    """
    panels, found = CentroidPanels.of(centroids), np.empty(len(vectors), np.int32)

    def serve(blocks: Iterator[slice]) -> None:
        room = panels.room()
        for part in blocks:
            found[part] = panels.nearest(vectors[part], room, added)

    in_blocks(len(vectors), serve)
    return found


def k_means(
    vectors: TokenVectors,
    count: int,
    *,
    iterations: int,
    generator: np.random.Generator,
    progress: Callable[[int], None] = lambda _done: None,
) -> NDArray[np.float32]:
    """Return the centroids of vectors, of length 1 at the end: Lloyd's algorithm.

    A centroid that nobody is nearest to takes the place of a vector that is far from its own.

    Args:
        vectors: (vector, dim) float32.
        count: Centroids wanted.
        iterations: How often they move.
        generator: Draws the first ones.
        progress: Called with the number of iterations done.

    Returns:
        (count, dim) float32.

    Raises:
        ArrayError: If there are fewer vectors than centroids.
    """
    if not 0 < count <= len(vectors):
        raise ArrayError(f"k-means: expected 1 to {len(vectors)} centroids, got {count}")
    if len(vectors) > count * MOST_A_CENTROID:
        vectors = vectors[np.sort(generator.permutation(len(vectors))[: count * MOST_A_CENTROID])]
    centroids = vectors[generator.permutation(len(vectors))[:count]].copy()
    for done in range(1, iterations + 1):
        # |v - c|² is least where v·c - |c|²/2 is largest.
        halves = np.float32(-0.5) * np.einsum("ij,ij->i", centroids, centroids)
        codes = nearest_centroids(vectors, centroids, halves)
        centroids = _means(vectors, codes, centroids)
        progress(done)
    norms = np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    return np.asarray(centroids / norms, np.float32)


def _means(
    vectors: TokenVectors, codes: NDArray[np.int32], centroids: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean of the vectors of each centroid."""
    counts = np.bincount(codes, minlength=len(centroids))
    order = np.argsort(codes, kind="stable")
    filled = np.flatnonzero(counts)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]])[filled]
    sums = np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
    means = centroids.copy()
    means[filled] = sums / counts[filled, np.newaxis]
    if (empty := np.flatnonzero(counts == 0)).size:
        far = ((vectors - means[codes]) ** 2).sum(axis=1)
        means[empty] = vectors[np.argsort(-far, kind="stable")[: len(empty)]]
    return means
