"""Token pooling: the vectors of a document that lie close together become their mean.

Vespa's embedder cannot do it: pooled vectors are made by whoever feeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, check_array
from vespa_colbert.errors import ArrayError, SpecError

__all__ = [
    "NOT_POOLED",
    "UNPOOLED",
    "TokenPooling",
    "clusters",
    "pooled_documents",
    "pooled_embedding",
    "ward_merges",
]

NOT_POOLED = "none"
"""What an index says of its making where vectors are as the model gives them."""

STATED = re.compile(r"ward, factor ([0-9.e+]+), ([0-9]+) protected(, normalized)?")

Distances: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPooling:
    """How many vectors of a document are left.

    Attributes:
        factor: One vector is left of so many, about; 1 for all of them.
        protected: The first vectors of a document, which stay as they are.
        normalized: Whether a mean gets length 1 again. PyLate and ColBERT leave it shorter, so
            that vectors that had less in common count less; sentence-transformers makes it 1.

    Raises:
        SpecError: If the factor is below 1, or a negative number of vectors is protected.
    """

    factor: float = 1.0
    protected: int = 1
    normalized: bool = False

    def __post_init__(self) -> None:
        if not 1.0 <= self.factor < np.inf:
            raise SpecError(f"pool factor: expected a number of 1 or more, got {self.factor}")
        if self.protected < 0:
            raise SpecError(f"protected tokens: expected 0 or more, got {self.protected}")

    def __str__(self) -> str:
        if not self.is_active:
            return NOT_POOLED
        length = ", normalized" if self.normalized else ""
        factor = repr(float(self.factor)).removesuffix(".0")
        return f"ward, factor {factor}, {self.protected} protected{length}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the pooling that a text states; the other way round of ``str``.

        Raises:
            SpecError: If it states none.
        """
        if text == NOT_POOLED:
            return cls()
        if (match := STATED.fullmatch(text)) is None:
            raise SpecError(f"pooling: expected such as {cls(factor=2)}, got {text[:80]!r}")
        factor, protected, normalized = match.groups()
        return cls(factor=float(factor), protected=int(protected), normalized=bool(normalized))

    @property
    def is_active(self) -> bool:
        """Whether it changes anything."""
        return self.factor > 1.0

    def left(self, count: int) -> int:
        """Return how many vectors are left of so many; fewer where several distances are equal."""
        free = count - self.protected
        return count if free <= 1 else self.protected + max(int(free // self.factor), 1)

    def pool(self, vectors: TokenVectors) -> TokenVectors:
        """Return the vectors of a document after pooling, in the order of their first tokens.

        Rows that are the same to the last bit count once: a graph in exact packaging fills the
        places of tokens that the library leaves out with copies.

        Args:
            vectors: (token, dim) float32, each of length 1.

        Returns:
            (vector, dim) float32: of n vectors that are not protected n // factor, or fewer where
            several distances are equal, and one at least.

        Raises:
            ArrayError: If they are no token vectors, or one is not finite.

        Source: ColBERT.pool_embeddings_hierarchical, PyLate 1f1f47c, and _hierarchical_pool_one,
        sentence-transformers 6.2.0, which cut Ward's tree of 1 - cosine where so many are left.
        Differs: stanford-futuredata/ColBERT clusters the rows of the matrix of distances, and puts
        protected vectors last.
        """
        check_array(vectors, "token vectors", dtype=np.float32, shape=(None, None))
        if not np.isfinite(vectors).all():
            raise ArrayError("token vectors: expected finite values, got NaN or infinity")
        if not self.is_active:
            return vectors
        known = _without_copies(vectors)
        free = known[self.protected :]
        wanted = self.left(len(known)) - (len(known) - len(free))
        if wanted >= len(free):
            return known
        means = _means(free, clusters(ward_merges(_distances(free)), wanted))
        if self.normalized:
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.float32(1e-12))
        return np.concatenate([known[: self.protected], means], axis=0)


UNPOOLED = TokenPooling()
"""Vectors as the model gives them."""


def pooled_embedding(
    embed: Callable[[str], TokenVectors], pooling: TokenPooling
) -> Callable[[str], TokenVectors]:
    """Return what embeds the text of a document and pools its vectors.

    Args:
        embed: Text of a document → (token, dim) float32.
        pooling: How.
    """
    if not pooling.is_active:
        return embed
    return lambda text: pooling.pool(embed(text))


def pooled_documents(
    vectors: Sequence[TokenVectors], pooling: TokenPooling, threads: Executor
) -> list[TokenVectors]:
    """Return the vectors of documents after pooling.

    Those that are not finite are left as they are: whoever asked for them says what becomes of
    such a document.

    Args:
        vectors: (token, dim) float32 each.
        pooling: How.
        threads: Where they are pooled.
    """
    if not pooling.is_active:
        return list(vectors)

    def pool(each: TokenVectors) -> TokenVectors:
        return pooling.pool(each) if np.isfinite(each).all() else each

    return list(threads.map(pool, vectors))


def _without_copies(vectors: TokenVectors) -> TokenVectors:
    """Return the rows, of equal ones the first."""
    rows = np.ascontiguousarray(vectors)
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _values, first = np.unique(keys, return_index=True)
    return rows if len(first) == len(rows) else rows[np.sort(first)]


def _distances(vectors: TokenVectors) -> Distances:
    """Return 1 - cosine of each two vectors of length 1: (vector, vector) float64."""
    wide = vectors.astype(np.float64)
    return np.clip(1.0 - wide @ wide.T, 0.0, 2.0)


def ward_merges(distances: Distances) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the merges of Ward's method, the lowest first.

    Follows chains of nearest neighbours to two that are nearest to each other. Of equal neighbours
    the one it came from is taken, else the first: scipy's order.

    Args:
        distances: (point, point) float64, symmetric.

    Returns:
        (point - 1, 2) int64, a point of each of the two clusters that are merged, and
        (point - 1,) float64, the distance between these clusters.

    Source: the recurrence of Lance and Williams with Ward's coefficients; Müllner, "Modern
    hierarchical, agglomerative clustering algorithms", 2011.
    """
    count = len(distances)
    between = np.array(distances, np.float64)
    np.fill_diagonal(between, np.inf)
    sizes = np.ones(count)
    pairs, heights = np.zeros((max(count - 1, 0), 2), np.int64), np.zeros(max(count - 1, 0))
    chain: list[int] = []
    for place in range(count - 1):
        if not chain:
            chain.append(int(np.flatnonzero(sizes)[0]))
        low, high = sorted(_mutual_neighbours(between, chain))
        pairs[place], heights[place] = (low, high), between[low, high]
        _merge(between, sizes, low, high)
    order = np.argsort(heights, kind="stable")
    return pairs[order], heights[order]


def _mutual_neighbours(between: Distances, chain: list[int]) -> tuple[int, int]:
    """Return two clusters that are nearest to each other, taken off the end of a chain."""
    while True:
        last = chain[-1]
        row = between[last]
        nearest = int(row.argmin())
        if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
            return chain.pop(), chain.pop()
        chain.append(nearest)


def _merge(between: Distances, sizes: NDArray[np.float64], low: int, high: int) -> None:
    """Merge a cluster into another one; its row and column are infinite then."""
    one, two, height = between[low], between[high], between[low, high]
    part = 1.0 / (sizes + (sizes[low] + sizes[high]))
    squares = (sizes + sizes[low]) * part * one * one
    squares += (sizes + sizes[high]) * part * two * two
    squares -= sizes * part * height * height
    merged = np.sqrt(squares)
    sizes[high] += sizes[low]
    sizes[low] = 0.0
    between[high] = between[:, high] = merged
    between[low] = between[:, low] = np.inf
    between[high, high] = np.inf


def clusters(merges: tuple[NDArray[np.int64], NDArray[np.float64]], most: int) -> NDArray[np.int64]:
    """Return the cluster of each point where the lowest cut leaves no more than so many.

    Merges of equal height are cut together, so that there may be fewer.

    Args:
        merges: From ``ward_merges``.
        most: Clusters wanted, at least 1.

    Returns:
        (point,) int64, clusters counted in the order of their first points.

    Source: fcluster with the criterion ``maxclust``, scipy 1.17.1.
    """
    pairs, heights = merges
    count = len(pairs) + 1
    owners = list(range(count))

    def owner(point: int) -> int:
        while owners[point] != point:
            owners[point] = owners[owners[point]]
            point = owners[point]
        return point

    limit = heights[count - most - 1] if most < count else -np.inf
    for one, two in pairs[heights <= limit].tolist():
        first, second = sorted((owner(one), owner(two)))
        owners[second] = first
    return np.unique([owner(point) for point in range(count)], return_inverse=True)[1]


def _means(vectors: TokenVectors, cluster_of: NDArray[np.int64]) -> TokenVectors:
    """Return the mean of each cluster: (cluster, dim) float32, summed in double."""
    order = np.argsort(cluster_of, kind="stable")
    counts = np.bincount(cluster_of)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
    return np.asarray(sums / counts[:, np.newaxis], np.float32)
