"""What Vespa's Java says of some hundred expressions, replayed without Java."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compliance.sources import TOPICS
from vespa_colbert.errors import VespaColbertError
from vespa_colbert.rank.functions import FUNCTIONS, NOT_REPRODUCED
from vespa_colbert.rank.standalone import KINDS, evaluate_expression, kind_of, read_inputs
from vespa_colbert.tensor import CellType, parse_literal

FILES = sorted(Path(__file__).parent.glob("*.json"))

DOUBLE_ULPS, FLOAT_ULPS = 4.0, 1.0
"""Transcendental functions of numpy, glibc and Java; sums of floats. See the published list."""


def cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{path.stem}:{case['expression']}")
        for path in FILES
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]
    ]


@pytest.mark.parametrize("case", cases())
def test_type_and_result_or_kind_of_error(case: dict[str, Any]) -> None:
    inputs = read_inputs(case["inputs"])
    if "error" in case:
        with pytest.raises(VespaColbertError) as caught:
            evaluate_expression(case["expression"], inputs)
        assert kind_of(caught.value) == case["error"]
        return
    found = evaluate_expression(case["expression"], inputs)
    wanted = parse_literal(case["result"])
    assert str(found.type) == str(found.value.type) == case["type"]
    mine, theirs = found.value.cells(), wanted.cells()
    assert mine.keys() == theirs.keys()
    is_double = found.type.cell_type is CellType.DOUBLE
    unit = (np.float64 if is_double else np.float32)(1.0)
    tolerance = (DOUBLE_ULPS if is_double else FLOAT_ULPS) * float(np.spacing(unit))
    for address, value in theirs.items():
        got = mine[address]
        same = got == value or (np.isnan(got) and np.isnan(value))
        assert same or abs(got - value) <= tolerance * abs(value), (address, got, value)


def test_every_topic_has_a_file_with_the_version_that_judged() -> None:
    assert {path.stem for path in FILES} == TOPICS.keys()
    for path in FILES:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["vespa"].startswith("8.")
        assert [each["expression"] for each in found["cases"]] == list(
            dict.fromkeys(TOPICS[path.stem])
        )


def test_every_function_has_a_case() -> None:
    text = " ".join(each for topic in TOPICS.values() for each in topic)
    assert [name for name in FUNCTIONS if f"{name}(" not in text] == []
    assert NOT_REPRODUCED.keys() == {"random"}


def test_every_kind_of_error_that_vespa_has_too_has_a_case() -> None:
    kinds = {case.values[0].get("error") for case in cases()} - {None}
    assert kinds == {"syntax", "type", "unknown"}
    assert kinds <= {kind for _error, kind in KINDS}
