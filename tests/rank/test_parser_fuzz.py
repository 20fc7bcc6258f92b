from __future__ import annotations

import pytest

from tests.rank.fuzz_expressions import SCHEMAS, fuzz

SHORT_SECONDS, LONG_SECONDS = 2.0, 60.0


def test_changed_texts_are_read_or_refused() -> None:
    outcomes = fuzz(SHORT_SECONDS, seed=3, report=len)
    assert outcomes["expressions read"] > 0
    assert outcomes["expressions refused"] > 0


@pytest.mark.slow
def test_many_changed_texts_are_read_or_refused() -> None:
    assert SCHEMAS
    outcomes = fuzz(LONG_SECONDS, seed=4, report=len)
    assert min(outcomes.values()) > 0
    assert len(outcomes) == 4
