from __future__ import annotations

import json
import math

import pytest

from vespa_colbert.verify import ParityReport, Verdict
from vespa_colbert.verify.report import RungCount


def test_a_rung_without_cases_is_not_checked_and_never_passed() -> None:
    rung = RungCount("ids", 0.0, "exact").rung("there was no judge")

    assert rung.verdict is Verdict.NOT_CHECKED
    assert rung.note == "there was no judge"
    assert not ParityReport(judges=("a", "b"), rungs=(rung,), versions={}).passed


def test_cases_without_a_value_are_not_checked_and_never_passed() -> None:
    count = RungCount("rows", 1e-6, "absolute", remark="own value not checked")
    count.add("a query without a hit", 0.0, 0)

    rung = count.rung()

    assert (rung.verdict, rung.cases, rung.values) == (Verdict.NOT_CHECKED, 1, 0)
    assert rung.note == "no case has a value to compare; own value not checked"
    count.add("one with a hit", 0.0, 1)
    assert count.rung().verdict is Verdict.PASSED


def test_the_worst_case_is_named() -> None:
    count = RungCount("rows", 1e-6, "absolute")
    count.add("first", 1e-7, 10)
    count.add("second", 3e-3, 10)
    count.add("third", 2e-3, 10)

    rung = count.rung()

    assert rung.verdict is Verdict.FAILED
    assert rung.worst == 3e-3
    assert rung.note == "second: 0.003"
    assert (rung.cases, rung.values) == (3, 30)


@pytest.mark.parametrize("difference", [math.nan, math.inf])
def test_a_difference_that_is_no_number_fails(difference: float) -> None:
    count = RungCount("rows", 1e-6, "absolute")
    count.add("bad", difference, 1)
    count.add("good", 0.0, 1)

    assert count.rung().verdict is Verdict.FAILED


def test_exact_rungs_add_up_and_pass_only_at_zero() -> None:
    count = RungCount("ids", 0.0, "exact")
    count.add("a", 0.0, 5)
    assert count.rung().verdict is Verdict.PASSED
    count.add("b", 2.0, 5)
    count.add("c", 1.0, 5)

    count.add("d", 3.0, 5)

    assert count.rung().worst == 6
    assert count.rung().note == "d: 3 values differ"


def test_other_shapes_fail_whatever_the_tolerance() -> None:
    count = RungCount("rows", 1e9, "absolute")
    count.shapes_differ("a", "12 rows", "13 rows")
    report = ParityReport(judges=("local", "java"), rungs=(count.rung(),), versions={})

    assert report.rungs[0].verdict is Verdict.FAILED
    assert not report.passed
    assert report.first_difference is not None
    assert json.loads(report.to_json())["rungs"][0]["worst"] is None
