from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate import CollectionFiles, JudgedCollection
from vespa_colbert.index import Document
from vespa_colbert.pipeline import (
    bm25_search,
    document_text,
    mine_collection,
    profile_search,
)
from vespa_colbert.rank import Hit
from vespa_colbert.train import MiningOptions

DOCUMENTS = tuple(
    Document(id=name, fields={"title": title, "text": text})
    for name, title, text in (
        ("d0", "roses", "a rose is a plant"),
        ("d1", "", "rose rose rose"),
        ("d2", "a rose", "by another name"),
        ("d3", "moss", "no flower"),
    )
)
HERE = Path("qrels")


def collection(**grades: int) -> JudgedCollection:
    return JudgedCollection(
        files=CollectionFiles(corpus=HERE, queries=HERE, qrels=HERE),
        documents=DOCUMENTS,
        queries={"q": "rose"},
        qrels={"q": grades},
    )


def test_bm25_finds_what_shares_a_word_in_title_or_text() -> None:
    search = bm25_search(DOCUMENTS)

    found = search("rose moss", 10)
    assert {each.id for each in found} == {"d0", "d1", "d2", "d3"}
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert search("rose", 1)[0].id == "d1"
    assert len(search("rose", 10)) == 3
    assert len(search("rose", 2)) == 2
    assert search("nothing", 10) == []


@dataclass(frozen=True, slots=True)
class Ranked:
    """Stands for a package, an index and a model: two hits for every question."""

    asked: list[Any]

    def search(self, text: str, profile: str, *, hits: int) -> list[Hit]:
        self.asked.append((text, profile, hits))
        return [
            Hit(id=f"d{place}", position=place, relevance=9.0 - place, match_features={})
            for place in range(2)
        ]


def test_a_profile_is_asked_for_as_many_hits_as_are_wanted() -> None:
    ranked = Ranked([])

    found = profile_search(ranked, "max_sim")("rose", 7)  # type: ignore[arg-type]

    assert ranked.asked == [("rose", "max_sim", 7)]
    assert [(each.id, each.score) for each in found] == [("d0", 9.0), ("d1", 8.0)]


def test_documents_of_grade_1_and_more_answer_and_others_may_be_negatives(tmp_path: Path) -> None:
    made = mine_collection(
        collection(d0=2, d2=1, d1=0),
        bm25_search(DOCUMENTS),
        MiningOptions(first=1),
        tmp_path / "rows.jsonl",
    )

    assert [(row.positive, row.negatives) for row in made.rows] == [
        ("d0", ("d1",)),
        ("d2", ("d1",)),
    ]
    assert (made.negatives, made.without) == (2, 0)
    assert len(made.path.read_text().splitlines()) == 2


def test_a_file_without_a_negative_is_not_written(tmp_path: Path) -> None:
    search = bm25_search(DOCUMENTS)
    with pytest.raises(CollectionError, match="found none between ranks 3 and 9"):
        mine_collection(
            collection(d0=1), search, MiningOptions(first=3, last=9), tmp_path / "rows.jsonl"
        )

    assert list(tmp_path.iterdir()) == []


def test_title_and_text_of_a_document_are_one_text() -> None:
    assert [document_text(each) for each in DOCUMENTS[:2]] == [
        "roses a rose is a plant",
        "rose rose rose",
    ]
    long = Document(id="l", fields={"title": "t", "contexts": ("one", "two")})
    assert document_text(long) == "t one\ntwo"
