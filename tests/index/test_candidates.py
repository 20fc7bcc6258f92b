"""Which documents are found, given how near each of them is."""

from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.index.candidates import (
    best_matches,
    nearest_documents,
    scanned_documents,
    united,
)


def scanned_one_by_one(closeness: np.ndarray, target_hits: int, furthest: float) -> list[int]:
    """Return what is found by the words of Vespa's loop: a limit that falls as it goes."""
    taken: list[float] = []
    found = []
    for place, value in enumerate(closeness.tolist()):
        limit = sorted(taken, reverse=True)[target_hits - 1] if len(taken) >= target_hits else None
        if value > furthest and (limit is None or value >= limit):
            taken.append(value)
            found.append(place)
    return found


def test_the_nearest_are_found_and_of_equals_the_first() -> None:
    closeness = np.array([0.5, 0.9, 0.5, 0.0, 0.9, 0.5])

    assert nearest_documents(closeness, 2).tolist() == [1, 4]
    assert nearest_documents(closeness, 3).tolist() == [0, 1, 4]
    # The document without a vector is not found, however many are wanted.
    assert nearest_documents(closeness, 9).tolist() == [0, 1, 2, 4, 5]


def test_a_scan_takes_what_was_near_when_it_was_looked_at() -> None:
    # targetHits 2: the limit is there after 0.1 and 0.2, and rises with 0.4 and 0.3.
    closeness = np.array([0.1, 0.2, 0.05, 0.4, 0.2, 0.15, 0.3, 0.2, 0.3])

    assert scanned_documents(closeness, 2).tolist() == [0, 1, 3, 4, 6, 8]
    # In the order of their closeness every document is near when it is looked at; the other way
    # round only the first ones are, and those as near as the last of them.
    assert scanned_documents(np.array([0.1, 0.2, 0.3, 0.4]), 1).tolist() == [0, 1, 2, 3]
    assert scanned_documents(np.array([0.4, 0.3, 0.3, 0.2]), 2).tolist() == [0, 1, 2]


@pytest.mark.parametrize("target_hits", [1, 7, 100])
def test_a_long_scan_is_that_of_one_document_after_another(target_hits: int) -> None:
    random = np.random.default_rng(target_hits)
    closeness = np.round(random.random(9000), 2)
    closeness[random.random(9000) < 0.1] = 0.0

    found = scanned_documents(closeness, target_hits)

    assert found.tolist() == scanned_one_by_one(closeness[:9000], target_hits, 0.0)
    assert set(nearest_documents(closeness, target_hits).tolist()) <= set(found.tolist())


def test_a_metric_whose_closeness_may_be_negative_says_what_is_furthest() -> None:
    lowest = -float(np.finfo(np.float64).max)
    closeness = np.array([-3.0, lowest, -1.0, -2.0])

    assert nearest_documents(closeness, 4, furthest=lowest).tolist() == [0, 2, 3]
    assert scanned_documents(closeness, 1, furthest=lowest).tolist() == [0, 2]


def test_nothing_is_found_among_no_documents() -> None:
    nothing = np.zeros(0)

    assert nearest_documents(nothing, 3).tolist() == []
    assert scanned_documents(nothing, 3).tolist() == []
    assert best_matches(nothing, np.zeros(0, np.bool_), 3).tolist() == []
    assert united([]).tolist() == []


def test_only_matches_are_found_by_words() -> None:
    scores = np.array([3.0, 0.0, 1.0, 1.0, 2.0])
    matches = np.array([True, True, True, True, False])

    assert best_matches(scores, matches, 2).tolist() == [0, 2]
    assert best_matches(scores, matches, 9).tolist() == [0, 1, 2, 3]


def test_several_searches_find_each_document_once() -> None:
    found = united([np.array([5, 1]), np.array([1, 2]), np.zeros(0, np.int64)])

    assert found.tolist() == [1, 2, 5]
    assert found.dtype == np.int64
