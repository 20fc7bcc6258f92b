from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vespa_colbert.errors import CollectionError, SpecError
from vespa_colbert.train import (
    Found,
    MinedRow,
    MiningOptions,
    Pick,
    mine_rows,
    read_training_data,
    write_rows,
)

QUERIES = {"q": "what is a rose"}
ANSWERS = {"q": ["rose", "bush"]}
DOCUMENTS = {
    "rose": "a rose is a plant",
    "bush": "roses grow on a bush",
    "copy": "a  rose is\na plant",
    "asked": "what is a rose",
    "fern": "ferns",
    "moss": "moss",
    "again": "moss",
    "ivy": "ivy",
    "oak": "oak",
}
RANKING = ("copy", "fern", "rose", "asked", "moss", "again", "ivy", "bush", "oak")
"""Scores are 9, 8, …, 1. May be negatives: fern 8, moss 5, ivy 3, oak 1."""


def ranked(_text: str, depth: int) -> Sequence[Found]:
    return [Found(id=name, score=9.0 - place) for place, name in enumerate(RANKING)][:depth]


def mined(**chosen: Any) -> dict[str, tuple[str, ...]]:
    options = MiningOptions(**{"first": 1, **chosen})
    found = mine_rows(QUERIES, ANSWERS, DOCUMENTS, ranked, options)
    return {row.positive: row.negatives for _query, rows in found for row in rows}


def test_no_negative_answers_or_is_a_copy_of_what_does() -> None:
    assert mined() == dict.fromkeys(ANSWERS["q"], ("fern", "moss", "ivy", "oak"))


def test_ranks_count_what_may_be_a_negative() -> None:
    assert mined(first=2, last=3)["rose"] == ("moss", "ivy")
    assert mined(first=5, last=9)["rose"] == ()
    assert mined(negatives=1)["rose"] == ("fern",)
    assert MiningOptions().first == 2


@pytest.mark.parametrize(
    ("chosen", "rose", "bush"),
    [
        ({"margin": 0.0}, ("moss", "ivy", "oak"), ("oak",)),
        ({"margin": 3.0}, ("ivy", "oak"), ()),
        ({"relative_margin": 0.3}, ("ivy", "oak"), ("oak",)),
        ({"relative_margin": 0.1, "margin": 5.5}, ("oak",), ()),
        ({"last": 2, "margin": 0.0}, ("moss",), ()),
    ],
)
def test_a_margin_is_kept_below_the_rows_own_positive(
    chosen: Any, rose: tuple[str, ...], bush: tuple[str, ...]
) -> None:
    """The rose scores 7, the bush 2."""
    assert mined(**chosen) == {"rose": rose, "bush": bush}


def test_below_a_positive_that_is_not_found_nothing_is() -> None:
    answers = {"q": ["hidden"]}
    documents = {**DOCUMENTS, "hidden": "seen by nobody"}
    rows = mine_rows(QUERIES, answers, documents, ranked, MiningOptions(margin=0.0))

    assert [row.negatives for _query, found in rows for row in found] == [()]


def test_random_picks_are_those_of_the_seed_in_the_order_of_the_search() -> None:
    order = ("fern", "moss", "ivy", "oak")
    picks = [mined(pick=Pick.RANDOM, negatives=2, seed=seed)["rose"] for seed in range(30)]

    assert len(set(picks)) == 6
    assert all(order.index(one) < order.index(other) for one, other in picks)
    assert picks[3] == mined(pick=Pick.RANDOM, negatives=2, seed=3)["rose"]


def test_ids_of_another_collection_are_refused() -> None:
    def mine(queries: Any, answers: Any, documents: Any) -> None:
        list(mine_rows(queries, answers, documents, ranked, MiningOptions()))

    with pytest.raises(CollectionError, match="query 'q' is judged and is not in"):
        mine({}, ANSWERS, DOCUMENTS)
    with pytest.raises(CollectionError, match="document 'none' is judged"):
        mine(QUERIES, {"q": ["rose", "none"]}, DOCUMENTS)
    with pytest.raises(CollectionError, match="finds document 'copy', which is not in the corpus"):
        mine(QUERIES, {"q": ["rose"]}, {"rose": "a rose"})


def test_rows_are_written_as_they_are_read(tmp_path: Path) -> None:
    rows = [
        MinedRow(query="q", positive="rose", negatives=("fern", "moss")),
        MinedRow(query="q", positive="bush", negatives=()),
    ]
    write_rows(rows, tmp_path / "rows.jsonl")

    data = read_training_data(tmp_path / "rows.jsonl", queries=QUERIES, documents=DOCUMENTS)

    named = [[data.documents[place] for place in row.documents] for row in data.rows]
    assert named == [["a rose is a plant", "ferns", "moss"], ["roses grow on a bush"]]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_options_out_of_range_are_listed_together() -> None:
    with pytest.raises(SpecError) as caught:
        MiningOptions(negatives=0, first=3, last=2, margin=float("nan"), seed=-1)

    assert len(caught.value.faults) == 4
