"""The feed of an index that was changed many times: each document with its own tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.index.stored_cases import SCHEMA, START, change, states
from vespa_colbert.index import open_index, write_index
from vespa_colbert.pipeline import feed
from vespa_colbert.pipeline.feed import FeedOptions, open_feed

FED = replace(SCHEMA, fields=tuple(replace(each, in_document=True) for each in SCHEMA.fields))


@pytest.mark.parametrize("run", [1, 3, 256])
def test_documents_of_several_segments_are_fed_with_their_own_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    monkeypatch.setattr(feed, "RUN_DOCUMENTS", run)
    stored: dict[str, str] = {}
    with write_index(tmp_path / "index", start=START) as writer:
        for step in range(8):
            stored = change(writer, step, stored)
        assert len(writer.segments) > 2
    assert stored == states(8)[-1]

    opened = open_feed(tmp_path / "index", FED, FeedOptions(namespace="n"))

    documents = list(opened.documents)
    assert {each.id: each.fields["text"] for each in documents} == stored
    wanted = open_index(tmp_path / "index").tensors
    # Backwards, too: a resumed feed asks for a document again.
    for place in (*range(len(documents)), *reversed(range(len(documents)))):
        found = opened.tensors(place, documents[place])
        assert {"floats", "bits", "deep"} <= found.keys() <= wanted.keys()
        for name, tensor in found.items():
            same = wanted[name].document(place)
            assert np.array_equal(tensor.values, same.values), (place, name)
            assert list(tensor.addresses()) == list(same.addresses())
