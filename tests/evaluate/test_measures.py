from __future__ import annotations

import math

import pytest

from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate import evaluate_run

QRELS = {"q1": {"a": 1, "b": 1}, "q2": {"c": 1}}


def test_measures_worked_out_by_hand() -> None:
    run = {"q1": ["x", "a", "b"], "q2": ["y"]}

    found = evaluate_run(QRELS, run, ["R@10", "RR@10", "nDCG@10"])

    gain = (1 / math.log2(3) + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert found.by_query["R@10"] == {"q1": 1.0, "q2": 0.0}
    assert math.isclose(found.means["RR@10"], (1 / 2 + 0) / 2)
    assert math.isclose(found.means["nDCG@10"], gain / 2)


def test_a_query_without_a_run_counts_as_zero() -> None:
    assert evaluate_run(QRELS, {"q1": ["a", "b"]}, ["R@10"]).means == {"R@10": 0.5}


def test_the_order_of_the_run_decides_and_not_the_names() -> None:
    first = evaluate_run({"q": {"a": 1}}, {"q": ["a", "z"]}, ["RR@10"]).means["RR@10"]
    second = evaluate_run({"q": {"a": 1}}, {"q": ["z", "a"]}, ["RR@10"]).means["RR@10"]

    assert (first, second) == (1.0, 0.5)


def test_unknown_measures_and_strange_ids_are_errors() -> None:
    with pytest.raises(CollectionError, match="nDCG@10"):
        evaluate_run(QRELS, {"q1": ["a"]}, ["niceness"])
    with pytest.raises(CollectionError, match="no query of the run"):
        evaluate_run(QRELS, {"other": ["a"]}, ["R@10"])
