from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate import (
    EvaluationOptions,
    JudgedCollection,
    System,
    compare_systems,
)


def test_figures_worked_out_by_hand(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    found = compare_systems(collection, systems, options)

    small, large, words, theirs = found.rows
    # Without a name the baseline is what stores most.
    assert found.options.baseline == "large"
    assert found.baseline is large
    assert not large.differences
    assert [row.means["RR@10"] for row in found.rows] == [0.75, 1.0, 0.0, 0.25]
    assert [row.means["R@1"] for row in found.rows] == [0.5, 1.0, 0.0, 0.25]
    difference = small.differences["RR@10"]
    assert (difference.mean, difference.better, difference.worse) == (-0.25, 0, 2)
    # Two queries differ by one half each: half of the four signs give as much.
    assert difference.p_value == 0.5
    # Four differ by 1: two of sixteen; three of them: two of eight.
    assert words.differences["RR@10"].p_value == 2 / 16
    assert theirs.differences["RR@10"].p_value == 2 / 8
    # Three systems are compared: 3 · 2/16, then 2 · 2/8, then 1 · 1/2.
    assert [row.differences["RR@10"].corrected for row in (words, theirs, small)] == [
        3 / 8,
        0.5,
        0.5,
    ]
    assert words.differences["RR@10"].interval == (-1.0, -1.0)


def test_the_queries_that_lose_most_come_with_their_answers(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    small, _large, words, _theirs = compare_systems(collection, systems, options).rows

    assert [each.query for each in small.losers] == ["q1", "q3"]
    first, second = small.losers
    assert (first.text, first.value, first.baseline_value) == ("question 1?", 0.5, 1.0)
    (answer,) = first.judged
    assert (answer.id, answer.title, answer.grade) == ("d1", "title 1", 1)
    assert (answer.rank, answer.baseline_rank) == (2, 1)
    assert first.first is not None
    assert (first.first.id, first.first.grade, first.first.baseline_rank) == ("d5", None, 2)
    assert second.first is not None
    assert (second.first.id, second.first.grade) == ("d6", 0)
    # No more than asked for, equal losses in the order of the collection.
    assert [each.query for each in words.losers] == ["q1", "q2", "q3"]
    assert words.losers[0].judged[0].rank is None
    assert words.losers[0].first is None


def test_json_has_all_of_it(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    found = compare_systems(collection, systems, options, {"odd": "not reproduced"})

    said = json.loads(json.dumps(found.to_json()))

    assert said["baseline"] == "large"
    assert said["collection"]["judged-queries"] == 4
    assert said["skipped"] == {"odd": "not reproduced"}
    assert said["test"]["permutations"] == 100_000
    assert "3 systems" in said["test"]["correction"]
    small, _large, words, theirs = said["systems"]
    assert (small["bytes-a-document"], small["cell-bytes-a-document"]) == (1_000, 500)
    assert (words["bytes-a-document"], theirs["bytes-a-document"]) == (0, None)
    assert small["by-query"]["RR@10"] == {"q1": 0.5, "q2": 1.0, "q3": 0.5, "q4": 1.0}
    assert small["losers"][0]["judged"][0]["baseline_rank"] == 1


def test_a_named_baseline_is_taken(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    found = compare_systems(collection, systems, replace(options, baseline="words"))

    assert found.rows[1].differences["R@1"].mean == 1.0
    with pytest.raises(CollectionError, match=r"baseline: expected one of small, .*'other'"):
        compare_systems(collection, systems, replace(options, baseline="other"))


def test_systems_need_names_of_their_own(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    with pytest.raises(CollectionError, match="name of its own"):
        compare_systems(collection, [*systems, systems[0]], options)
    with pytest.raises(CollectionError, match="name of its own"):
        compare_systems(collection, [], options)


def test_one_system_alone_is_compared_with_nothing(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    (row,) = compare_systems(collection, systems[:1], options).rows

    assert row.means["R@1"] == 0.5
    assert not row.differences
    assert not row.losers


def test_an_unknown_or_a_repeated_measure_is_an_error(
    collection: JudgedCollection, systems: list[System], options: EvaluationOptions
) -> None:
    for measures in (("niceness",), ("R@1", "Recall@1"), ()):
        with pytest.raises(CollectionError, match="measures"):
            compare_systems(collection, systems, replace(options, measures=measures))
