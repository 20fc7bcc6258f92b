from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.evaluate import (
    CollectionFiles,
    EvaluationOptions,
    JudgedCollection,
    StoredField,
    System,
)
from vespa_colbert.index import Document

QUERIES = {f"q{number}": f"question {number}?" for number in range(1, 5)}


def stored(cell_type: str, size: float) -> tuple[StoredField, ...]:
    return (
        StoredField(
            name=f"colbert_{cell_type}",
            type=f"tensor<{cell_type}>(dt{{}},x[8])",
            vectors=3.0,
            cell_bytes=size / 2,
            bytes=size,
        ),
    )


@pytest.fixture(name="collection")
def collection_fixture() -> JudgedCollection:
    """Four queries; document 1 answers the first, 2 the second, and so on."""
    path = Path("collection")
    return JudgedCollection(
        files=CollectionFiles(
            corpus=path / "corpus.jsonl", queries=path / "queries.jsonl", qrels=path / "test.tsv"
        ),
        documents=tuple(
            Document(id=f"d{number}", fields={"title": f"title {number}", "text": "words"})
            for number in range(1, 7)
        ),
        queries=QUERIES,
        qrels={query: {f"d{query[1:]}": 1, "d6": 0} for query in QUERIES},
    )


@pytest.fixture(name="systems")
def systems_fixture() -> list[System]:
    """One that is always right, one that puts the answer second twice, words that find nothing."""
    right = {query: [f"d{query[1:]}", "d5"] for query in QUERIES}
    worse = {**right, "q1": ["d5", "d1"], "q3": ["d6", "d3"]}
    return [
        System(name="small", run=worse, profile="small", fields=stored("int8", 1_000)),
        System(name="large", run=right, profile="large", fields=stored("float", 32_000)),
        System(name="words", run={"q1": []}, profile="bm25"),
        System(name="theirs", run={"q1": ["d1"]}),
    ]


@pytest.fixture(name="options")
def options_fixture() -> EvaluationOptions:
    return EvaluationOptions(measures=("RR@10", "R@1"), losers=3)
