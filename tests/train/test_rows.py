from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vespa_colbert.errors import CollectionError, TrainingDataError
from vespa_colbert.index import read_corpus, read_queries
from vespa_colbert.train import TrainingData, read_training_data
from vespa_colbert.train.rows import LONGEST_LINE

QUERIES = {"q1": "what is a rose", "q2": "where do ferns grow", "blank": " "}
CORPUS = {
    "d1": "a rose is a plant",
    "d2": "ferns like shade",
    "d3": "moss is no fern",
    "same": "a rose is a plant",
}
GOOD = {"query_id": "q1", "pos_id": "d1", "neg_ids": ["d2", "d3"]}
TEXTS = {"query": "q", "positives": ["a"], "negatives": ["b", "c"]}


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "rows.jsonl"
    written = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    path.write_bytes(b"".join(line + b"\n" for line in written))
    return path


def read(path: Path, queries: Mapping[str, str] | None = QUERIES) -> TrainingData:
    return read_training_data(path, queries=queries, documents=CORPUS)


def shown(data: TrainingData) -> list[tuple[str, list[str], list[str], tuple[float, ...]]]:
    return [
        (
            data.queries[row.query],
            [data.documents[place] for place in row.positives],
            [data.documents[place] for place in row.negatives],
            row.scores,
        )
        for row in data.rows
    ]


def test_ids_are_looked_up_and_a_text_is_held_once(tmp_path: Path) -> None:
    second = {"query_id": "q1", "pos_ids": ["same"], "neg_id": "d3"}
    data = read(write(tmp_path, GOOD, b"", second))

    assert shown(data) == [
        (QUERIES["q1"], [CORPUS["d1"]], [CORPUS["d2"], CORPUS["d3"]], ()),
        (QUERIES["q1"], [CORPUS["d1"]], [CORPUS["d3"]], ()),
    ]
    assert len(data.queries) == 1
    assert len(data.documents) == 3
    assert [row.line for row in data.rows] == [1, 3]
    assert data.positives == {0: {0}}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ({"query": "q", "positive": "a", "negative": "b"}, ("q", ["a"], ["b"], ())),
        ({"query": "q", "positive": "a"}, ("q", ["a"], [], ())),
        ({"query": "q", "positive": "a", "negatives": []}, ("q", ["a"], [], ())),
        ({**TEXTS, "_source": 7}, ("q", ["a"], ["b", "c"], ())),
        ({**TEXTS, "scores": [3, 1.5, -2]}, ("q", ["a"], ["b", "c"], (3.0, 1.5, -2.0))),
        (
            {"query": "q", "documents": ["a", "b", "c"], "scores": [1, 9, 2]},
            ("q", ["b"], ["a", "c"], (9.0, 1.0, 2.0)),
        ),
        (
            {"query": "q", "document_ids": ["d2", "d1"], "scores": [1, 1]},
            ("q", [CORPUS["d2"]], [CORPUS["d1"]], (1.0, 1.0)),
        ),
    ],
)
def test_every_kind_of_row_is_read(tmp_path: Path, line: Any, wanted: Any) -> None:
    data = read(write(tmp_path, line))

    assert shown(data) == [wanted]
    assert data.is_scored == bool(wanted[3])


BAD: dict[str, tuple[list[Any], str]] = {
    "no JSON": ([GOOD, b"{'query': 1}"], "line 2: expected a JSON object"),
    "not an object": ([GOOD, ["q", "a"]], "line 2: expected a JSON object"),
    "nested too deeply": ([GOOD, b"[" * 100_000], "line 2: expected a JSON object"),
    "wrong encoding": ([GOOD, '{"query": "ä"}'.encode("latin-1")], "line 2: expected UTF-8"),
    "half of a pair": ([GOOD, b'{"query": "\\ud800", "positive": "a"}'], "line 2.*surrogate"),
    "one giant line": ([GOOD, b"[" + b" " * LONGEST_LINE], "line 2: expected at most"),
    "a key twice": ([GOOD, b'{"query": "a", "query": "b"}'], "line 2: .*'query' twice"),
    "an unknown key": ([GOOD, {**GOOD, "negs": []}], "line 2: expected keys out of .*'negs'"),
    "no query": ([GOOD, {"positive": "a"}], "line 2: expected a query, got none"),
    "an empty object": ([GOOD, {}], r"line 2: expected a query, got none \(keys: none\)"),
    "two queries": ([GOOD, {**GOOD, "query": "a"}], "line 2: expected one of query, query_id"),
    "a query that is no text": ([GOOD, {"query": 7, "positive": "a"}], 'text "query", got int 7'),
    "a blank query": ([GOOD, {"query": " ", "positive": "a"}], 'line 2: expected a "query" with'),
    "a blank query of an id": ([GOOD, {**GOOD, "query_id": "blank"}], 'expected a "query_id" with'),
    "an unknown query": ([GOOD, {**GOOD, "query_id": "q9"}], "line 2: query id 'q9' is not in"),
    "an unknown positive": ([GOOD, {**GOOD, "pos_id": "d9"}], "line 2: document id 'd9' is not in"),
    "an unknown negative": ([GOOD, {**GOOD, "neg_ids": ["d9"]}], "document id 'd9' is not in"),
    "no positive": ([GOOD, {"query": "q", "negative": "a"}], "line 2: expected a positive"),
    "empty positives": ([GOOD, {**TEXTS, "positives": []}], '"positives" with one text at least'),
    "positives that are no list": ([GOOD, {**TEXTS, "positives": "a"}], 'list of texts "pos'),
    "an id that is a number": ([GOOD, {**GOOD, "neg_ids": [7]}], 'list of texts "neg_ids"'),
    "a blank document": ([GOOD, {**TEXTS, "negatives": ["b", "\t"]}], '"negatives" with words'),
    "a negative twice": ([GOOD, {**TEXTS, "negatives": ["b", "b"]}], "every document once"),
    "an id twice": ([GOOD, {**GOOD, "neg_ids": ["d2", "d2"]}], "every document once"),
    "both at once": ([GOOD, {**TEXTS, "negatives": ["a"]}], "negatives that are no positive"),
    "both by another id": ([GOOD, {**GOOD, "neg_ids": ["same"]}], "negatives that are no pos"),
    "both in two rows": (
        [GOOD, {"query_id": "q1", "pos_id": "d2"}],
        "line 2: expected a negative, as on line 1, got 'ferns like shade' as a positive",
    ),
    "two forms": ([GOOD, {**TEXTS, "documents": ["b"]}], 'expected "documents" alone'),
    "n-ways without scores": ([{"query": "q", "documents": ["a", "b"]}], 'line 1: expected "scor'),
    "n-ways of one": ([{"query": "q", "documents": ["a"], "scores": [1]}], "two documents at lea"),
    "a score too few": ([{**TEXTS, "scores": [1, 2]}], "line 1: .*got 2 for 3"),
    "scores that are no list": ([{**TEXTS, "scores": 1}], "line 1: expected a list of numbers"),
    "a score that is NaN": ([{**TEXTS, "scores": [1, float("nan"), 2]}], r"scores\[1\], got nan"),
    "an infinite score": ([{**TEXTS, "scores": [1, 2, float("inf")]}], r"scores\[2\], got inf"),
    "a huge score": ([{**TEXTS, "scores": [1, 2, 10**400]}], r"scores\[2\], got 1000"),
    "a score that is a text": ([{**TEXTS, "scores": [1, 2, "3"]}], r"scores\[2\], got '3'"),
    "a score that is a bool": ([{**TEXTS, "scores": [1, 2, True]}], r"scores\[2\], got True"),
    "scores here and there": ([GOOD, {**TEXTS, "scores": [3, 2, 1]}], "no scores, as on line 1"),
    "nothing": ([b"", b"  "], "rows.jsonl: expected a training row at least"),
}


@pytest.mark.parametrize("way", BAD)
def test_bad_training_data_is_one_message_with_the_line(tmp_path: Path, way: str) -> None:
    lines, said = BAD[way]

    with pytest.raises(TrainingDataError, match=said) as caught:
        read(write(tmp_path, *lines))

    assert "rows.jsonl" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert isinstance(caught.value, CollectionError)


def test_a_missing_file_and_missing_texts_say_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="found none"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(TrainingDataError, match="line 1: query id 'q1' cannot be looked up: name"):
        read(write(tmp_path, GOOD), queries=None)


@pytest.mark.parametrize(
    ("name", "collection", "triples"),
    [("scifact-claims-noleak", "scifact", 4_261), ("cmrc2018", "cmrc2018", 6_511)],
)
def test_published_rows_are_read_to_the_number_of_triples_they_state(
    collections: Path, name: str, collection: str, triples: int
) -> None:
    corpus = read_corpus(collections / collection / "corpus.jsonl")
    queries = read_queries(collections / collection / "queries.jsonl")

    data = read_training_data(
        collections / "train" / f"{name}.jsonl",
        queries={each.id: each.text for each in queries},
        documents={each.id: f"{each.text('title')} {each.text('text')}" for each in corpus},
    )

    assert sum(len(row.negatives) * len(row.positives) for row in data.rows) == triples
