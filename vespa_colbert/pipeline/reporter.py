"""How a step tells what it is doing: the library prints nothing itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["Made", "Reporter", "Silent"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Generic[T]):
    """What a step has to show.

    Attributes:
        value: The result.
        reused: Whether it stood there already and was valid by its checksums.
    """

    value: T
    reused: bool


class Reporter(Protocol):
    """Hears what is going on."""

    def say(self, text: str) -> None:
        """Hear one line."""

    def track(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context whose value is called with the number of items done."""


class Silent:
    """A reporter that does nothing."""

    def say(self, text: str) -> None:
        """Hear one line and forget it."""

    def track(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context whose value ignores what it is called with."""
        del label, total
        return contextlib.nullcontext(lambda _done: None)
