from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vespa_colbert.app.field import Field
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import CollectionError
from vespa_colbert.index import DocumentRows
from vespa_colbert.rank import Documents, read_documents
from vespa_colbert.rank.documents import FieldTensors
from vespa_colbert.tensor.literal import parse_literal

Read = Callable[..., Documents]

SCHEMA = Schema(
    name="doc",
    fields=tuple(
        Field(name=name, type=kind, indexing=("attribute",))
        for name, kind in {
            "title": "string",
            "byte": "byte",
            "weights": "weightedset<string>",
            "numbers": "array<float>",
            "flag": "bool",
            "rows": "tensor<float>(dt{},x[2])",
            "pairs": "tensor(a{},b{})",
            "vector": "tensor<int8>(x[2])",
        }.items()
    ),
)


@pytest.fixture(name="read")
def read_fixture(tmp_path: Path) -> Read:
    def read(*lines: str) -> Documents:
        path = tmp_path / "documents.jsonl"
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        return read_documents(path, SCHEMA)

    return read


def test_three_ways_to_write_a_document(read: Read) -> None:
    documents = read(
        '{"id": "a", "fields": {"title": "x"}}',
        "",
        '{"id": "b", "title": "y", "flag": true}',
        '{"put": "id:n:doc::c", "fields": {"title": null}}',
    )

    assert list(documents.ids) == ["a", "b", "id:n:doc::c"]
    assert documents.values["title"] == ["x", "y", None]
    assert documents.values["flag"] == [None, True, None]


def test_tensors_keep_their_labels(read: Read) -> None:
    documents = read(
        '{"id": "a", "rows": {"blocks": {"0": [1, 2]}}, "pairs": {"cells": '
        '[{"address": {"a": "k", "b": "l"}, "value": 5}]}, "vector": {"values": "01ff"}}',
        '{"id": "b", "rows": {"blocks": {"0": [3, 4], "1": [5, 6]}}}',
    )

    rows, pairs, vector = (documents.tensors[name] for name in ("rows", "pairs", "vector"))
    assert isinstance(rows, DocumentRows)
    assert rows.offsets.tolist() == [0, 1, 3]
    assert isinstance(pairs, FieldTensors)
    assert pairs.document(0) == parse_literal("tensor(a{},b{}):{{a:k,b:l}:5}")
    assert pairs.select(pairs.documents[:0]).offsets.tolist() == [0]
    assert vector.values.tolist() == [[1, -1], [0, 0]]


def test_rows_with_other_labels_than_numbers_keep_them(read: Read) -> None:
    documents = read('{"id": "a", "rows": {"blocks": {"z": [1, 2]}}}', '{"id": "b"}')

    rows = documents.tensors["rows"]
    assert isinstance(rows, FieldTensors)
    assert rows.document(0) == parse_literal("tensor<float>(dt{},x[2]):{z:[1,2]}")
    assert rows.present.tolist() == [True, False]


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ("nonsense", "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ('{"title": "x"}', 'expected a text "id" or "put", got None'),
        ('{"id": 3}', "got 3"),
        ('{"remove": "id:n:doc::c"}', 'got "remove"'),
        ('{"id": "b", "fields": 3}', 'expected an object "fields"'),
        ('{"id": "b", "nosuch": 3}', "field 'nosuch' is not in the schema"),
        ('{"id": "b", "title": 3}', "field title: expected string, got 3"),
        ('{"id": "b", "byte": 128}', "field byte: expected byte, got 128"),
        ('{"id": "b", "byte": true}', "field byte: expected byte"),
        ('{"id": "b", "flag": 1}', "field flag: expected bool"),
        ('{"id": "b", "weights": {"a": 1.5}}', "expected weightedset<string>"),
        ('{"id": "b", "numbers": [1, "x"]}', "expected array<float>"),
        ('{"id": "b", "rows": {"blocks": {"0": [1]}}}', "field rows:"),
        ('{"id": "a"}', "id 'a' was used on line 1"),
        ('{"id": "\udcff"}', "expected UTF-8"),
    ],
)
def test_a_bad_line_is_named(read: Read, line: str, fragment: str) -> None:
    with pytest.raises(CollectionError) as raised:
        read('{"id": "a"}', line)

    assert "documents.jsonl line 2: " in str(raised.value)
    assert fragment in str(raised.value)


def test_a_file_without_documents_or_none_at_all_raises(read: Read, tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="empty file"):
        read("")
    with pytest.raises(CollectionError, match="cannot be read"):
        read_documents(tmp_path / "absent", SCHEMA)
