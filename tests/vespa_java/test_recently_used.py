from __future__ import annotations

import pytest

from vespa_colbert.vespa_java.recently_used import RecentlyUsed


def test_a_value_is_made_once_while_it_is_kept() -> None:
    kept: RecentlyUsed[str, list[str]] = RecentlyUsed(2)
    first = kept.get("a", lambda: ["a"])
    assert kept.get("a", lambda: pytest.fail("it is there")) is first


def test_what_was_used_longest_ago_is_dropped() -> None:
    dropped: list[str] = []
    kept = RecentlyUsed[str, str](2, dropped.append)
    for key in ("a", "b", "a", "c"):
        kept.get(key, lambda key=key: f"of {key}")  # type: ignore[misc]
    assert dropped == ["of b"]
    assert kept.get("b", lambda: "again") == "again"
    assert dropped == ["of b", "of a"]


def test_a_value_that_counts_as_false_is_kept_too() -> None:
    kept = RecentlyUsed[str, int](1)
    kept.get("a", int)
    assert kept.get("a", lambda: 1) == 0


def test_a_value_that_cannot_be_made_leaves_the_others() -> None:
    kept = RecentlyUsed[str, str](1)
    kept.get("a", lambda: "a")
    with pytest.raises(ZeroDivisionError):
        kept.get("b", lambda: str(1 / 0))
    assert kept.get("a", lambda: "again") == "a"


def test_as_many_as_are_used_at_once_are_kept() -> None:
    dropped: list[str] = []
    kept = RecentlyUsed[str, str](1, dropped.append)
    kept.make_room(3)
    kept.make_room(2)
    for key in ("a", "b", "c"):
        kept.get(key, lambda: "value")
    assert dropped == []
