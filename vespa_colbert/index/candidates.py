"""Which documents are found before any is ranked, from a score or a closeness of each of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_matches", "nearest_documents", "scanned_documents", "united"]

BLOCK = 4096
"""Documents that are compared with the limit at once."""


def nearest_documents(
    closeness: NDArray[np.float64], target_hits: int, *, furthest: float = 0.0
) -> NDArray[np.int64]:
    """Return the nearest documents, no more than are wanted: what a graph without misses finds.

    Of equally near ones those that come first in the index are taken; which ones Vespa's graph
    takes is not said. A document without a vector is never found.

    Args:
        closeness: (document,) float64, that of its nearest vector, the larger the nearer.
        target_hits: How many are wanted, at least 1.
        furthest: Closeness of a document without a vector.

    Returns:
        (found,) int64, positions from the first to the last.

    Source: HnswIndex::top_k_by_docid and HnswMultiBestNeighbors::get_neighbors, Vespa 8.700.24:
    with ``approximate`` so many documents, each counted once however many vectors it has.
    """
    best = np.argsort(-closeness, kind="stable")[:target_hits]
    return np.sort(best[closeness[best] > furthest])


def scanned_documents(
    closeness: NDArray[np.float64], target_hits: int, *, furthest: float = 0.0
) -> NDArray[np.int64]:
    """Return the documents that ``approximate: false`` finds, or a field without a graph.

    More than ``targetHits`` of them: Vespa looks at documents in the order of the index and takes
    each that is not further than the worst of the nearest ones so far, be it as near. The nearest
    are among them, and so are those that were among the nearest when they were looked at; all of
    them are ranked. This is what one thread a search takes (Vespa's default); several threads share
    the limit and may find other documents beside the nearest.

    Args:
        closeness: As for ``nearest_documents``.
        target_hits: As for ``nearest_documents``.
        furthest: As for ``nearest_documents``.

    Returns:
        (found,) int64, positions from the first to the last.

    Source: ExactNearestNeighborImpl::doSeek and doUnpack, NearestNeighborDistanceHeap::used and
    DistanceCalculator::calc_with_limit, Vespa 8.700.24. Differs: distances are compared in double
    here, and as floats where cells are.
    """
    nearest: list[float] = []
    found: list[int] = []
    for start in range(0, len(closeness), BLOCK):
        block = closeness[start : start + BLOCK]
        limit = nearest[0] if len(nearest) >= target_hits else furthest
        for place in np.flatnonzero((block >= limit) & (block > furthest)).tolist():
            value = float(block[place])
            if len(nearest) < target_hits:
                heapq.heappush(nearest, value)
            elif value >= nearest[0]:
                heapq.heapreplace(nearest, value)
            else:
                continue
            found.append(start + place)
    return np.array(found, np.int64)


def best_matches(
    scores: NDArray[np.float64], matches: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Return the best documents among those that match, as a first phase of bm25 leaves them.

    Args:
        scores: (document,) float64.
        matches: (document,) bool.
        count: How many are wanted; of equal scores the first in the index.

    Returns:
        (found,) int64, positions from the first to the last.

    Source: HitCollector::sortHitsByScore, Vespa 8.700.24. Differs: weakAnd of Vespa may leave out
    documents that match only frequent words.
    """
    found = np.flatnonzero(matches)
    best = np.argsort(-scores[found], kind="stable")[:count]
    return np.sort(found[best])


def united(found: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the documents that any of several searches found, each once: (found,) int64."""
    parts = [np.zeros(0, np.int64), *found]
    return np.unique(np.concatenate(parts))
