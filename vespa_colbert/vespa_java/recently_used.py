"""In the worker: what takes long to make, kept ready as long as it is among the last used."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["RecentlyUsed"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class RecentlyUsed(Generic[Key, Value]):
    """Values by key, the last used ones.

    Args:
        most: How many are kept.
        drop: Called with each value that is kept no longer.
    """

    def __init__(self, most: int, drop: Callable[[Value], object] = lambda _value: None) -> None:
        self._most, self._drop = most, drop
        self._values: dict[Key, Value] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made where it is not kept."""
        value = self._values.pop(key) if key in self._values else make()
        self._values[key] = value
        while len(self._values) > self._most:
            self._drop(self._values.pop(next(iter(self._values))))
        return value

    def make_room(self, count: int) -> None:
        """Keep so many at least from now on: a package's components are used all at once."""
        self._most = max(self._most, count)
