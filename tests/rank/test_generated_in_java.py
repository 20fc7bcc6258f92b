"""Generated tensor cases against Vespa's Java: equal to the last bit, but for a published list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from tests.rank.generated_cases import SPECIAL, Case, generated_cases
from vespa_colbert.errors import ArrayError, VespaJavaError
from vespa_colbert.rank.standalone import evaluate_expression
from vespa_colbert.tensor import CellType, Tensor
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

DOCUMENT = Path(__file__).parents[2] / "docs" / "expression-differences.md"
FEW, MANY = 80, 5
"""One in so many of the cases: 149 of them, and 2,386."""

FLOAT_ULPS = 1.0
LAST_DIGITS = 4.0
"""Units in the last place: numpy's, glibc's and Java's functions are each good to one or two, and
softmax divides two of them."""

CHAINED = 1e-5
"""Of the largest operand: sums of products of floats, rounded once or after every operation."""

TRANSCENDENTAL = frozenset({
    *("acos", "asin", "atan", "atan2", "cos", "cosh", "elu", "erf", "exp", "log", "log10", "pow"),
    *("sigmoid", "sin", "sinh", "tan", "tanh", "softmax", "^"),
})
SUMS = frozenset({"matmul", "xw_plus_b"})
CHAINS = frozenset({"softmax", "l1_normalize", "l2_normalize", "cosine_similarity"})

Answer: TypeAlias = Tensor | Exception


def aligned(mine: Tensor, theirs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    found, wanted = mine.cells(), theirs.cells()
    assert found.keys() == wanted.keys()
    return np.array([found[address] for address in wanted]), np.array(list(wanted.values()))


def ulps(mine: Tensor, theirs: Tensor) -> float:
    """Return the largest difference in units of the last place; infinite where one is special."""
    found, wanted = aligned(mine, theirs)
    kind = np.float64 if mine.type.cell_type is CellType.DOUBLE else np.float32
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    with np.errstate(all="ignore"):
        steps = np.abs(found - wanted) / np.spacing(np.abs(wanted).astype(kind)).astype(np.float64)
    steps = np.where(np.isfinite(steps), steps, np.inf)
    return float(np.where(same, 0.0, steps).max(initial=0.0))


def is_same(mine: Tensor, theirs: Tensor) -> bool:
    if mine.type != theirs.type or mine.cells().keys() != theirs.cells().keys():
        return False
    found, wanted = aligned(mine, theirs)
    tolerance = 0.0 if mine.type.cell_type is CellType.DOUBLE else FLOAT_ULPS
    signs = (np.signbit(found) == np.signbit(wanted)) | np.isnan(found) | (found != 0)
    return ulps(mine, theirs) <= tolerance and bool(signs.all())


def near(mine: Tensor, theirs: Tensor) -> bool:
    found, wanted = aligned(mine, theirs)
    scale = max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)))
    return bool((np.abs(found - wanted) <= CHAINED * scale).all())


def overflows(mine: Tensor, theirs: Tensor) -> bool:
    return bool((~np.isfinite(aligned(mine, theirs)[0])).any())


def one_where_java_has_nan(mine: Tensor, theirs: Tensor) -> bool:
    found, wanted = aligned(mine, theirs)
    differs = ~((found == wanted) | (np.isnan(found) & np.isnan(wanted)))
    return bool((found[differs] == 1).all() and np.isnan(wanted[differs]).all())


Rule: TypeAlias = Callable[[Case, Tensor, Tensor], bool]

VALUES: dict[str, Rule] = {
    "last-digits": lambda case, mine, theirs: (
        case.operation in TRANSCENDENTAL and ulps(mine, theirs) <= LAST_DIGITS
    ),
    "sum-of-products": lambda case, mine, theirs: case.operation in SUMS and near(mine, theirs),
    "sparse-floats": lambda case, mine, theirs: (
        case.operation in CHAINS
        and mine.type.cell_type is CellType.FLOAT
        and (overflows(mine, theirs) or near(mine, theirs))
    ),
    "nan-of-two": lambda case, _mine, _theirs: (
        case.operation in {"max", "min"} and case.values == SPECIAL
    ),
    "order-of-nan": lambda case, _mine, _theirs: (
        case.operation == "cell_order" and case.values == SPECIAL
    ),
    "power-of-one": lambda case, mine, theirs: (
        case.operation in {"pow", "^"} and one_where_java_has_nan(mine, theirs)
    ),
    "integers-of-infinities": lambda case, _mine, _theirs: (
        case.operation in {"bit", "hamming", "ldexp"} and case.values == SPECIAL
    ),
    "negative-zero": lambda case, mine, theirs: (
        case.operation == "relu" and ulps(mine, theirs) == 0.0
    ),
}
"""Heading in docs/expression-differences.md → where the values differ for that reason."""


def reason(case: Case, mine: Answer, theirs: Answer) -> str | None:
    """Return why the two differ, ``None`` if for no known reason."""
    if isinstance(mine, ArrayError):
        return "int8-overflow" if case.operation == "cell_cast" else None
    if isinstance(theirs, VespaJavaError):
        return "stated-type" if "Vespa's types say" in str(theirs) else None
    if isinstance(mine, Exception) or isinstance(theirs, Exception):
        return None
    if mine.type != theirs.type or mine.cells().keys() != theirs.cells().keys():
        return None
    return next((name for name, rule in VALUES.items() if rule(case, mine, theirs)), None)


def ours(case: Case) -> Answer:
    try:
        found = evaluate_expression(case.expression, case.inputs)
    except ArrayError as error:
        return error
    assert found.type == found.value.type, case
    return found.value


def theirs(java: VespaJava, case: Case) -> Answer:
    try:
        return java.evaluate_expression(case.expression, case.inputs)
    except VespaJavaError as error:
        return error


def compare(cases: list[Case]) -> tuple[dict[str, str], set[str]]:
    """Return the cases that differ for no known reason, and the reasons met."""
    unknown, met = {}, set()
    with VespaJava() as java:
        for case in cases:
            mine, judge = ours(case), theirs(java, case)
            if isinstance(mine, Tensor) and isinstance(judge, Tensor) and is_same(mine, judge):
                continue
            if (why := reason(case, mine, judge)) is None:
                unknown[str(case)] = f"{mine} and {judge}"
            else:
                met.add(why)
    return unknown, met


def test_some_generated_cases_are_equal_but_for_the_published_differences() -> None:
    cases = generated_cases(FEW)
    assert len(cases) >= 140
    assert compare(cases)[0] == {}


@pytest.mark.slow  # 15 s
def test_the_generated_cases_are_equal_but_for_the_published_differences() -> None:
    cases = generated_cases(MANY)
    assert len(cases) >= 2_000
    unknown, met = compare(cases)
    assert unknown == {}
    published = DOCUMENT.read_text(encoding="utf-8")
    assert {name for name in met if f"\n### {name}\n" not in published} == set()
