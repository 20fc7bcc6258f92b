from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.index.feed_cases import TYPES, documents
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.index import (
    LocalIndex,
    build_index,
    open_index,
    read_index,
)

SCHEMA = """
schema passage {
    document passage {
        field text type string { indexing: index }
        field contexts type array<string> { indexing: index }
    }
    field rows type tensor<float>(dt{},x[4]) { indexing: input text | embed colbert | attribute }
    field cut type tensor<bfloat16>(dt{},x[4]) { indexing: input text | embed colbert | attribute }
    field bits type tensor<int8>(dt{},x[1]) { indexing: input text | embed colbert | attribute }
    field deep type tensor<int8>(context{},token{},x[1]) {
        indexing: input contexts | embed colbert context | attribute
    }
}
"""


def vectors(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return a row for each third letter of a text, different for different texts."""
    random = np.random.default_rng(sum(text.encode()))
    return random.standard_normal((len(text) // 3, 8)).astype(np.float32)


def index(folder: Path) -> LocalIndex:
    from vespa_colbert.app import read_schema

    (folder / "passage.sd").write_text(SCHEMA)
    schema = read_schema(folder / "passage.sd")
    return build_index(documents(), schema, vectors, folder / "index", origin={"model": "m"})


def test_it_gives_what_the_index_in_memory_gives(tmp_path: Path) -> None:
    index(tmp_path)
    whole, reader = open_index(tmp_path / "index"), read_index(tmp_path / "index")

    assert tuple(reader.documents()) == tuple(whole.documents)
    assert set(reader.types) == set(TYPES)
    for name, rows in whole.tensors.items():
        assert reader.types[name] == rows.type
        for position in range(len(whole)):
            assert reader.tensor(name, position) == rows.document(position)


def test_a_damaged_index_or_one_of_another_model_is_refused(tmp_path: Path) -> None:
    index(tmp_path)

    with pytest.raises(IndexFolderError, match="made with model"):
        read_index(tmp_path / "index", origin={"model": "other"})
    (texts,) = (tmp_path / "index").rglob("documents.jsonl")
    with texts.open("a") as stream:
        stream.write("\n")
    with pytest.raises(IndexFolderError, match="damaged"):
        read_index(tmp_path / "index")
