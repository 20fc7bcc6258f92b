"""Vespa's own tensor conformance suite: results of its C++ engine, types exact."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vespa_colbert.rank.standalone import evaluate_expression, read_inputs
from vespa_colbert.tensor import Tensor, parse_literal

TOLERANCE = 1e-6
"""Relative; the suite compares with the precision of a float itself."""

COUNT = 2_539


@pytest.fixture(name="cases", scope="module")
def cases_fixture(collections: Path) -> list[dict[str, Any]]:
    path = collections / "conformance" / "cases.jsonl.gz"
    text = gzip.decompress(path.read_bytes()).decode("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def difference(case: dict[str, Any]) -> str:
    """Return how our value differs from the engine's, or nothing."""
    found = evaluate_expression(case["expression"], read_inputs(case["inputs"]))
    wanted = parse_literal(case["expected"])
    if not found.type == found.value.type == wanted.type:
        return f"{found.type} and {found.value.type}, expected {wanted.type}"
    return (
        "" if is_close(found.value, wanted) else f"{found.value.cells()}, expected {wanted.cells()}"
    )


def is_close(mine: Tensor, theirs: Tensor) -> bool:
    found, wanted = mine.cells(), theirs.cells()
    values = np.array([found.get(address, np.inf) for address in wanted])
    return found.keys() == wanted.keys() and np.allclose(
        values, list(wanted.values()), rtol=TOLERANCE, atol=0.0, equal_nan=True
    )


def wrong(cases: list[dict[str, Any]]) -> dict[int, str]:
    return {case["id"]: text for case in cases if (text := difference(case))}


def test_every_tenth_case_has_the_type_and_the_value_of_vespas_engine(
    cases: list[dict[str, Any]],
) -> None:
    assert wrong(cases[::10]) == {}


@pytest.mark.slow  # 4 s on an idle core
def test_every_case_has_the_type_and_the_value_of_vespas_engine(
    cases: list[dict[str, Any]],
) -> None:
    assert len(cases) == COUNT
    assert wrong(cases) == {}
