"""Planted differences: each is found on its own rung."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from vespa_colbert.rank import RankQuery
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.verify import (
    TextCase,
    Verdict,
    compare_embeddings,
    compare_results,
    compare_scores,
)
from vespa_colbert.verify.judges import Embedded, ScoreCase
from vespa_colbert.verify.result_judges import RankedHit

FLOAT = TensorType.parse("tensor<float>(dt{},x[8])")
INT8 = TensorType.parse("tensor<int8>(dt{},x[1])")
NAN = float("nan")
TARGETS = {"doc.floats": FLOAT, "doc.bits": INT8}
CASES = [
    TextCase(name=f"text {number}", text=str(number), role="document", targets=TARGETS)
    for number in range(3)
]


def embedded(number: int) -> Embedded:
    rows = np.arange(16, dtype=np.float32).reshape(2, 8) / 16 + number / 100
    return Embedded(
        ids=(101, 2, number, 102),
        attention=(1, 1, 1, 1),
        tensors={
            "doc.floats": Tensor.rows(FLOAT, rows),
            "doc.bits": Tensor.rows(INT8, np.array([[number], [-1]], np.int8)),
        },
    )


@dataclass(frozen=True)
class Judge:
    changed: Mapping[str, Embedded]

    def embed(self, case: TextCase) -> Embedded:
        return self.changed.get(case.text) or embedded(int(case.text))


def verdicts(changed: Embedded) -> dict[str, Verdict]:
    rungs = compare_embeddings(CASES, (Judge({}), Judge({"1": changed})))
    for rung in rungs:
        assert (rung.note.startswith("text 1")) == (rung.verdict is Verdict.FAILED)
    return {rung.name: rung.verdict for rung in rungs}


def test_equal_judges_pass_every_rung() -> None:
    rungs = compare_embeddings(CASES, (Judge({}), Judge({})))

    assert [rung.name for rung in rungs] == [
        "token ids",
        "attention",
        "rows, float",
        "rows, packed bits",
    ]
    assert {rung.verdict for rung in rungs} == {Verdict.PASSED}
    assert [rung.values for rung in rungs] == [12, 12, 48, 48]


@pytest.mark.parametrize("ids", [(101, 2, 7, 102), (101, 2, 102)])
def test_another_id_or_a_missing_token_fails_the_first_rung(ids: tuple[int, ...]) -> None:
    found = verdicts(replace(embedded(1), ids=ids))

    assert found["token ids"] is Verdict.FAILED
    assert found["attention"] is Verdict.PASSED


def test_another_attention_fails_its_rung() -> None:
    assert verdicts(replace(embedded(1), attention=(1, 1, 1, 0)))["attention"] is Verdict.FAILED


@pytest.mark.parametrize(("shift", "verdict"), [(1e-6, Verdict.PASSED), (1e-5, Verdict.FAILED)])
def test_rows_may_differ_by_the_tolerance_alone(shift: float, verdict: Verdict) -> None:
    moved = embedded(1).tensors["doc.floats"].values + np.float32(shift)
    tensors = {**embedded(1).tensors, "doc.floats": Tensor.rows(FLOAT, moved)}

    assert verdicts(replace(embedded(1), tensors=tensors))["rows, float"] is verdict


def test_one_flipped_bit_fails() -> None:
    bits = embedded(1).tensors["doc.bits"].values ^ np.array([[64], [0]], np.int8)
    tensors = {**embedded(1).tensors, "doc.bits": Tensor.rows(INT8, bits)}
    rungs = compare_embeddings(
        CASES, (Judge({}), Judge({"1": replace(embedded(1), tensors=tensors)}))
    )

    (rung,) = [each for each in rungs if each.name == "rows, packed bits"]
    assert (rung.verdict, rung.worst) == (Verdict.FAILED, 1)


@pytest.mark.parametrize("labels", [["0"], ["0", "2"]])
def test_a_missing_row_or_another_label_fails(labels: Sequence[str]) -> None:
    rows = Tensor.rows(FLOAT, embedded(1).tensors["doc.floats"].values[: len(labels)], labels)
    tensors = {**embedded(1).tensors, "doc.floats": rows}

    assert verdicts(replace(embedded(1), tensors=tensors))["rows, float"] is Verdict.FAILED


def test_rows_that_are_no_numbers_fail() -> None:
    rows = embedded(1).tensors["doc.floats"].values * np.float32(np.nan)
    tensors = {**embedded(1).tensors, "doc.floats": Tensor.rows(FLOAT, rows)}

    assert verdicts(replace(embedded(1), tensors=tensors))["rows, float"] is Verdict.FAILED


@dataclass(frozen=True)
class Scores:
    values: Sequence[float]

    def scores(self, cases: Sequence[ScoreCase]) -> list[float]:
        return list(self.values[: len(cases)])


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ([0.0, 1e6], [0.0, 1e6 + 0.5], Verdict.PASSED),
        ([0.0, 1e6], [0.0, 1e6 + 2], Verdict.FAILED),
        # Near 0, against the rounding of the largest score.
        ([0.005 + 2e-8, 1.0], [0.005, 1.0], Verdict.PASSED),
        ([0.0, 1.0], [2e-7, 1.0], Verdict.FAILED),
        ([0.0, 1e-9], [2e-16, 1e-9], Verdict.FAILED),
        ([0.0, 0.0], [1e-9, 0.0], Verdict.FAILED),
        ([0.0, float("inf")], [1e-9, float("inf")], Verdict.FAILED),
        ([float("nan"), 1.0], [float("nan"), 1.0], Verdict.FAILED),
        ([-3.0, 1.0], [3.0, 1.0], Verdict.FAILED),
    ],
)
def test_scores_are_compared_relative_to_their_size(
    ours: list[float], theirs: list[float], verdict: Verdict
) -> None:
    pair = ScoreCase(query=RankQuery(), document=0)

    rung = compare_scores("s", [("a", pair), ("b", pair)], (Scores(ours), Scores(theirs)))

    assert rung.verdict is verdict


@dataclass(frozen=True)
class Results:
    hits: Mapping[str, float]

    def result(self, query: RankQuery) -> list[RankedHit]:
        del query
        return [RankedHit(id=name, relevance=score) for name, score in self.hits.items()]


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ({}, {}, Verdict.NOT_CHECKED),
        ({"a": 2.0}, {}, Verdict.FAILED),
        ({"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 1.0}, Verdict.PASSED),
        ({"a": 2.0, "b": 1.0}, {"a": 2.0, "c": 1.0}, Verdict.FAILED),
        ({"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 1.1}, Verdict.FAILED),
        # Equal scores may change places, others may not.
        ({"a": 1.0, "b": 1.0}, {"b": 1.0, "a": 1.0}, Verdict.PASSED),
        ({"a": 2.0, "b": 1.0}, {"b": 1.0, "a": 2.0}, Verdict.FAILED),
        # A score that is no number is none that agrees, wherever it stands.
        ({"a": 2.0, "b": NAN}, {"a": 2.0, "b": 1.0}, Verdict.FAILED),
        ({"a": 2.0, "b": NAN}, {"a": 2.0, "b": NAN}, Verdict.FAILED),
    ],
)
def test_results_have_the_same_hits_in_the_same_places(
    ours: dict[str, float], theirs: dict[str, float], verdict: Verdict
) -> None:
    rung = compare_results("r", {"q": RankQuery()}, (Results(ours), Results(theirs)))

    assert rung.verdict is verdict
