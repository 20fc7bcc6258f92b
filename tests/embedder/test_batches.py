"""Documents through the encoder together: the same numbers as alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.embedder.batches import embed_documents, token_batches
from vespa_colbert.export import ModelFolder

TEXTS = ["red fox", "fox", "", "red red fox", "a b c d e f g h i j k", "naïve über café", "fox"]


def test_texts_together_are_what_they_are_alone(folder: ModelFolder) -> None:
    embedder, done = LocalEmbedder(folder, threads=1), list[int]()
    alone = [embedder.embed(text, "document") for text in TEXTS]
    for workers in (1, 3):
        with ThreadPoolExecutor(workers) as pool:
            together = embed_documents(embedder, TEXTS, pool, progress=done.append)
            assert embed_documents(embedder, [], pool) == []
        for one, other in zip(alone, together, strict=True):
            assert np.array_equal(one, other)
    assert done[-1] == len(TEXTS)
    assert len(done) < 2 * len(TEXTS), "texts of one length do not go together"


@pytest.mark.parametrize("padded", [False, True])
def test_batches_hold_every_text_once_within_their_budget(padded: bool) -> None:
    lengths = [5, 900, 30, 30, 1200, 5, 512, 512, 7]
    batches = token_batches(lengths, 1024, padded=padded)

    assert sorted(place for batch in batches for place in batch) == list(range(9))
    assert batches[:3] == [[4], [1], [6, 7]], "the longest first, overlong ones alone"
    for batch in batches[1:]:
        assert len(batch) * max(lengths[place] for place in batch) <= 1024
    assert len(batches) == (4 if padded else 6), "other lengths share a batch where it is padded"
    assert max(map(len, token_batches([1] * 9, 1024, 4))) == 4
    assert token_batches([]) == []
