from __future__ import annotations

import math

import pytest

from tests.required import REQUIRED, import_or_skip

MISSING = "no_such_package.part"


@pytest.mark.parametrize("others", ["", "java", "java,no_such"])
def test_what_is_missing_is_skipped(monkeypatch: pytest.MonkeyPatch, others: str) -> None:
    monkeypatch.setenv(REQUIRED, others)
    with pytest.raises(pytest.skip.Exception, match="no_such_package"):
        import_or_skip(MISSING)


def test_what_is_missing_and_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, "java,no_such_package")
    with pytest.raises(pytest.fail.Exception, match=f"{REQUIRED} names no_such_package"):
        import_or_skip(MISSING)


def test_what_is_there_is_imported() -> None:
    assert import_or_skip("math") is math
