"""The nearest centroid of each vector, and k-means: matrix products in blocks, no matrix of all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import ArrayError

__all__ = ["k_means", "nearest_centroids"]

ROWS, CENTROIDS = 512, 2048
"""Of a block of products: 4 MiB, which stay in the cache while the best are taken."""

MOST_A_CENTROID = 256
"""Vectors that k-means looks at for each centroid; of more, some are drawn.

Source: ClusteringParameters.max_points_per_centroid, Faiss 1.15.
"""


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
    found = np.zeros(len(vectors), np.int32)
    transposed = np.ascontiguousarray(centroids.T)
    for row in range(0, len(vectors), ROWS):
        rows = vectors[row : row + ROWS]
        best = np.full(len(rows), -np.inf, np.float32)
        for first in range(0, len(centroids), CENTROIDS):
            part = slice(first, first + CENTROIDS)
            products = rows @ transposed[:, part]
            if added is not None:
                products += added[part]
            winner = products.argmax(axis=1)
            values = products[np.arange(len(rows)), winner]
            is_better = values > best
            best[is_better] = values[is_better]
            found[row : row + ROWS][is_better] = winner[is_better] + first
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
