"""Queries scored in batches: which of them numba computes, and those together.

The choice depends on the query and the documents alone, so that a query has the same scores
whichever others are with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["WORTH_COMPILING", "is_worth", "scores_of_queries"]

WORTH_COMPILING = 2**27
"""Products of a query above which numba computes it: numpy takes 4 milliseconds for that many, and
loading numba nearly a second."""

Query = NDArray[Any]
Scores = NDArray[np.float64]


def is_worth(query: Query, rows: NDArray[Any]) -> bool:
    """Return whether a query has so many products with rows that numba is worth its start."""
    return query.size * len(rows) >= WORTH_COMPILING


def scores_of_queries(
    queries: Sequence[Query],
    offsets: NDArray[np.int64],
    *,
    is_compiled: Callable[[Query], bool],
    kernels: Callable[[], ModuleType | None],
    together: Callable[[ModuleType, list[Query]], Scores],
    alone: Callable[[Query], Scores],
) -> Scores:
    """Return the scores of queries: (query, document) float64, 0 for a query without tokens.

    Args:
        queries: (query token, …) each.
        offsets: (document + 1,) int64, where each document's rows begin and end.
        is_compiled: Whether numba is to compute a query.
        kernels: Loads numba's kernels; ``None`` where they are not there.
        together: Scores of several queries by those.
        alone: Scores of a query by numpy.
    """
    scores = np.zeros((len(queries), len(offsets) - 1))
    asked = [place for place, query in enumerate(queries) if len(query)]
    wanted = [place for place in asked if is_compiled(queries[place])]
    found = kernels() if wanted else None
    if found is not None:
        scores[wanted] = together(found, [queries[place] for place in wanted])
        asked = sorted({*asked} - {*wanted})
    for place in asked:
        scores[place] = alone(queries[place])
    return scores
