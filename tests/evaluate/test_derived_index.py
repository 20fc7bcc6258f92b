from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.app import Schema, read_schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.evaluate import derive_index, derived_index, document_texts
from vespa_colbert.index import ContextRows, Document, build_index

DIM = 16
DOCUMENTS = [
    Document(id="a", fields={"title": "T", "text": "one two three", "contexts": ["x y", "", "z"]}),
    Document(id="b", fields={"text": "four", "contexts": ["", "u v w"]}),
    Document(id="c", fields={"title": "only", "contexts": ["x y"]}),
    Document(id="d", fields={"text": "five six"}),
    Document(id="e", fields={"text": "one two three", "title": "T"}),
]
FIELDS = """
    field long_{0} type tensor<{0}>(dt{{}},x[{1}]) {{
        indexing: (input title || "") . " " . (input text || "") | embed colbert | attribute
    }}
    field short_{0} type tensor<{0}>(dt{{}},x[{2}]) {{
        indexing: input text | embed colbert | attribute
    }}
    field many_{0} type tensor<{0}>(context{{}},token{{}},x[{1}]) {{
        indexing: input contexts | embed colbert context | attribute
    }}
"""


@pytest.fixture(name="schema")
def schema_fixture(tmp_path: Path) -> Schema:
    fields = "".join(
        FIELDS.format(cells, *widths)
        for cells, widths in (("float", (16, 8)), ("bfloat16", (16, 8)), ("int8", (2, 1)))
    )
    path = tmp_path / "passage.sd"
    path.write_text(
        "schema passage { document passage {"
        " field title type string { indexing: summary }"
        " field text type string { indexing: summary }"
        " field contexts type array<string> { indexing: summary } }"
        f"{fields} }}",
        encoding="utf-8",
    )
    return read_schema(path)


def embed(text: str) -> TokenVectors:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    words = max(len(text.split()), 1)
    return np.random.default_rng(seed).standard_normal((words, DIM)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 2, 256])
def test_cells_are_those_of_an_index_embedded_for_it(
    tmp_path: Path, schema: Schema, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(derived_index, "BLOCK", block)
    (tmp_path / "cells").mkdir()
    done: list[int] = []

    found = derive_index(
        DOCUMENTS, schema, embed, tmp_path / "cells", origin={"model": "m"}, progress=done.append
    )

    judged = build_index(DOCUMENTS, schema, embed, tmp_path / "index", origin={"model": "m"})
    assert found.tensors.keys() == judged.tensors.keys()
    assert len(found.tensors) == 9
    for name, rows in found.tensors.items():
        wanted = judged.tensors[name]
        assert type(rows) is type(wanted)
        assert rows.type == wanted.type
        assert np.array_equal(rows.offsets, wanted.offsets)
        assert rows.values.dtype == wanted.values.dtype
        assert np.array_equal(rows.values, wanted.values)
        if isinstance(rows, ContextRows) and isinstance(wanted, ContextRows):
            assert np.array_equal(rows.numbers, wanted.numbers)
    assert found.documents == judged.documents
    assert found.derived == judged.derived
    assert done[-1] == len(DOCUMENTS)


def test_cells_stay_on_disk(tmp_path: Path, schema: Schema) -> None:
    found = derive_index(DOCUMENTS, schema, embed, tmp_path, origin={})

    for name, rows in found.tensors.items():
        written = sum(path.stat().st_size for path in tmp_path.glob(f"{name}.*"))
        numbers = rows.numbers.nbytes if isinstance(rows, ContextRows) else 0
        assert written == rows.values.nbytes + numbers
        base = rows.values
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)


def test_texts_are_those_that_are_embedded(tmp_path: Path, schema: Schema) -> None:
    asked: list[str] = []

    def heard(text: str) -> TokenVectors:
        asked.append(text)
        return embed(text)

    build_index(DOCUMENTS, schema, heard, tmp_path / "index", origin={})

    assert set(document_texts(DOCUMENTS, schema)) == set(asked)


def test_documents_without_what_is_embedded_are_an_error(tmp_path: Path, schema: Schema) -> None:
    documents = [Document(id="a", fields={"title": "no text"})]

    with pytest.raises(IndexFolderError, match="short_float: expected documents"):
        derive_index(documents, schema, embed, tmp_path, origin={})
    with pytest.raises(IndexFolderError, match="long_float: expected documents"):
        derive_index([], schema, embed, tmp_path, origin={})
