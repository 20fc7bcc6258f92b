"""Many texts through one encoder: texts of one length together, a call for each processor.

Nothing is padded, so that a batch holds what it is given and no more: long texts, of which few are
equally long, go alone, which is the fastest for them; short ones go together. Each call runs on one
thread, so that processors never wait for each other inside of one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder.colbert import LocalEmbedder

__all__ = ["BATCH_TOKENS", "embed_documents", "encoded_batches", "token_batches", "worker_threads"]

BATCH_TOKENS = 1024
"""Tokens of a call where texts are short: activations of more spill the caches."""

Batch = TypeVar("Batch")


@contextlib.contextmanager
def worker_threads(count: int) -> Iterator[Executor]:
    """Yield threads for encoder calls; calls that have not begun are dropped at the end.

    Args:
        count: How many calls run at a time.
    """
    pool = ThreadPoolExecutor(count, "vespa-colbert-embed")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def embed_documents(
    embedder: LocalEmbedder,
    texts: Sequence[str],
    pool: Executor,
    *,
    progress: Callable[[int], None] = lambda _done: None,
) -> list[TokenVectors]:
    """Return the token vectors of documents: (token, dim) float32 each, in their order.

    They may hold values that are not finite.

    Args:
        embedder: Opened with one thread.
        texts: The documents.
        pool: As many threads as there are processors.
        progress: Called with the number of texts done.
    """
    inputs = list(pool.map(lambda text: embedder.transformer_input(text, "document"), texts))
    batches = token_batches([len(each.ids) for each in inputs])
    found: dict[int, TokenVectors] = {}
    for places, vectors in encoded_batches(
        lambda places: embedder.encode([inputs[each] for each in places]), batches, pool
    ):
        found.update(zip(places, vectors, strict=True))
        progress(len(found))
    return [found[place] for place in range(len(texts))]


def encoded_batches(
    encode: Callable[[list[int]], Batch], batches: Sequence[list[int]], pool: Executor
) -> Iterator[tuple[list[int], Batch]]:
    """Yield the places of each batch with what the encoder makes of them, in the order planned.

    Args:
        encode: Places of texts → what becomes of each; called by several threads at a time.
        batches: As ``token_batches`` returns them.
        pool: The threads.
    """
    yield from zip(batches, pool.map(encode, batches), strict=True)


def token_batches(
    lengths: Sequence[int],
    batch_tokens: int = BATCH_TOKENS,
    batch_texts: int | None = None,
    *,
    padded: bool = False,
) -> list[list[int]]:
    """Return places of texts that go through the encoder together, the longest first.

    Args:
        lengths: Tokens of each text.
        batch_tokens: Most tokens of a batch, padding included; a longer text goes alone.
        batch_texts: Most texts of a batch; None for any number.
        padded: Whether texts of other lengths may share a batch: for a GPU, which one long text
            does not fill.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        batch = batches[-1] if batches else []
        longest = lengths[batch[0]] if batch else 0
        fits = (padded or longest == lengths[place]) and len(batch) != batch_texts
        if batch and fits and (len(batch) + 1) * longest <= batch_tokens:
            batch.append(place)
        else:
            batches.append([place])
    return batches
