from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.errors import CollectionError
from vespa_colbert.index import read_corpus, read_qrels, read_queries

GOOD = '{"_id": "a", "title": "T", "text": "one"}\n'


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def test_a_corpus_is_read_in_order(tmp_path: Path) -> None:
    path = written(tmp_path / "c.jsonl", GOOD + '\n{"_id": "b", "text": "two\u2028still two"}\n')

    documents = read_corpus(path)

    assert [document.id for document in documents] == ["a", "b"]
    assert documents[0].fields == {"title": "T", "text": "one"}
    assert documents[1].fields == {"title": "", "text": "two\u2028still two"}


def test_a_long_document_is_a_list_of_texts_and_may_be_somebodys(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.jsonl",
        '{"_id": "a", "title": "T", "contexts": ["one", "", "two"], "_group": "ada"}\n'
        '{"_id": "b", "text": "x", "contexts": ["y"]}\n',
    )

    one, two = read_corpus(path)

    assert one.fields == {"title": "T", "contexts": ("one", "", "two")}
    assert (one.group, two.group) == ("ada", "")
    assert two.fields == {"title": "", "text": "x", "contexts": ("y",)}


@pytest.mark.parametrize(
    ("contexts", "fragment"),
    [
        ('"one text"', 'expected a list of texts "contexts", got'),
        ('["one", 2]', 'expected a text "contexts[1]", got int 2'),
        ('["", " "]', 'expected words in "title" or "contexts", got empty ones'),
        ("[]", 'expected words in "title" or "contexts", got empty ones'),
    ],
)
def test_a_bad_list_of_texts_is_named(tmp_path: Path, contexts: str, fragment: str) -> None:
    path = written(tmp_path / "c.jsonl", f'{{"_id": "a", "contexts": {contexts}}}\n')

    with pytest.raises(CollectionError) as caught:
        read_corpus(path)

    assert f"{path} line 1: {fragment}" in str(caught.value)


def test_a_title_alone_is_a_document_whose_other_fields_are_empty(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.jsonl",
        '{"_id": "a", "title": "T", "text": ""}\n'
        '{"_id": "b", "title": "T", "contexts": []}\n'
        '{"_id": "c", "text": "", "contexts": ["", "x"]}\n',
    )

    assert [dict(each.fields) for each in read_corpus(path)] == [
        {"title": "T", "text": ""},
        {"title": "T", "contexts": ()},
        {"title": "", "text": "", "contexts": ("", "x")},
    ]


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_the_text(tmp_path: Path) -> None:
    path = written(tmp_path / "c.jsonl", b"\xef\xbb\xbf" + GOOD.strip().encode() + b"\r\n")

    assert read_corpus(path)[0].fields["text"] == "one"


@pytest.mark.parametrize(
    ("line", "fragments"),
    [
        ("no json", ("line 2", "JSON object", "no json")),
        ("[1]", ("line 2", "JSON object")),
        ('{"text": "x"}', ("line 2", '"_id"', "no _id", "keys: text")),
        ('{"_id": "b"}', ("line 2", '"text"', "no text", "keys: _id")),
        ('{"_id": "b", "text": 3}', ("line 2", '"text"', "int 3")),
        ('{"_id": "b", "text": "  "}', ("line 2", '"title" or "text"', "empty")),
        ('{"_id": "b", "title": "\\t", "text": ""}', ("line 2", '"title" or "text"', "empty")),
        ('{"_id": "b", "title": "T"}', ("line 2", '"text"', "no text", "keys: _id, title")),
        ('{"_id": "a", "text": "x"}', ("line 2", "'a'", "line 1")),
        ('{"_id": "", "text": "x"}', ("line 2", '"_id"', "empty")),
        ('{"_id": "b", "text": "\\ud800"}', ("line 2", "surrogate")),
        ('{"_id": "b", "text": "x", "title": 1}', ("line 2", '"title"')),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, fragments: tuple[str, ...]) -> None:
    path = written(tmp_path / "c.jsonl", GOOD + line + "\n")

    with pytest.raises(CollectionError) as error:
        read_corpus(path)

    for fragment in (str(path), *fragments):
        assert fragment in str(error.value)


def test_bytes_that_are_no_utf8_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "c.jsonl", GOOD.encode() + b'{"_id": "b", "text": "\xff"}\n')

    with pytest.raises(CollectionError, match="line 2: expected UTF-8, got byte 0xff"):
        read_corpus(path)


def test_an_empty_and_an_absent_corpus_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="at least one document"):
        read_corpus(written(tmp_path / "c.jsonl", "\n"))
    with pytest.raises(CollectionError, match="expected a file, found none"):
        read_corpus(tmp_path / "absent.jsonl")


def test_queries_and_qrels_are_read(tmp_path: Path) -> None:
    queries = written(tmp_path / "q.jsonl", '{"_id": "q1", "text": "what?"}\n')
    qrels = written(tmp_path / "qrels.tsv", "query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t0\n")

    assert [(query.id, query.text) for query in read_queries(queries)] == [("q1", "what?")]
    assert read_qrels(qrels) == {"q1": {"a": 1, "b": 0}}


@pytest.mark.parametrize(
    ("row", "fragment"), [("q1 a 1", "1 fields"), ("q1\ta\tx", "whole number")]
)
def test_a_bad_judgement_is_named(tmp_path: Path, row: str, fragment: str) -> None:
    path = written(tmp_path / "qrels.tsv", f"q0\ta\t1\n{row}\n")

    with pytest.raises(CollectionError, match=fragment) as error:
        read_qrels(path)

    assert "line 2" in str(error.value)
