"""Documents shared out to threads: numba's code and numpy's let go of Python's lock."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.processors import processors

__all__ = ["Part", "in_parts", "in_threads", "threads_worth"]

Part: TypeAlias = tuple[int, int]
"""Documents ``first`` to ``last - 1``."""

PARTS_A_THREAD = 8
"""More parts than threads: a thread that is held up leaves its share to the others."""

LEAST_ROWS = 1024
"""Rows below which handing a part over costs more than it saves."""


def in_parts(offsets: NDArray[np.int64], work: Callable[[Part], object]) -> None:
    """Call ``work((first, last))`` for runs of documents that cover all of them, in threads.

    Args:
        offsets: (document + 1,) int64, where each document's rows begin and end.
        work: Serves documents ``first`` to ``last - 1``; called from several threads.
    """
    threads = threads_worth(offsets)
    rows = max(LEAST_ROWS, -(-int(offsets[-1]) // (threads * PARTS_A_THREAD)))
    waiting = iter(list(_parts(offsets, rows)))

    def serve() -> None:
        for part in waiting:
            work(part)

    in_threads(serve, threads)


def threads_worth(offsets: NDArray[np.int64]) -> int:
    """Return in how many threads these documents are scored."""
    return max(1, min(_processors(os.getpid()), int(offsets[-1]) // LEAST_ROWS))


def in_threads(
    serve: Callable[[], object], threads: int, is_done: Callable[[], bool] = lambda: False
) -> None:
    """Call ``serve()`` in so many threads, the caller's among them.

    Args:
        serve: Serves until nothing is left to take.
        threads: How many.
        is_done: Whether everything is served, so that nobody need be waited for.
    """
    helpers = [_pool(os.getpid()).submit(serve) for _ in range(threads - 1)]
    try:
        serve()
    finally:
        for helper in helpers:
            if not (helper.cancel() or is_done()):
                helper.result()


def _parts(offsets: NDArray[np.int64], rows: int) -> Iterator[Part]:
    """Yield runs of documents of about that many rows."""
    documents, first = len(offsets) - 1, 0
    while first < documents:
        found = int(np.searchsorted(offsets, offsets[first] + rows, "right")) - 1
        last = max(found, first + 1)
        yield first, last
        first = last


@functools.lru_cache(maxsize=1)
def _processors(_process: int) -> int:
    """Return how many processors this process may use: asked once, as that reads files."""
    return processors()


@functools.lru_cache(maxsize=1)
def _pool(_process: int) -> ThreadPoolExecutor:
    """Return the threads of this process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(processors(), "vespa-colbert-kernel")
