"""What people see: results on stdout, progress and log on stderr, JSON where machines read."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["Console", "fail", "print_json", "print_line", "table"]

EVERY_SECONDS = 5.0
"""How often a progress line is written where stderr is no terminal."""


class Console:
    """A reporter that writes to stderr."""

    def say(self, text: str) -> None:
        """Write one line."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    @contextlib.contextmanager
    def track(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Yield a function that is called with the number of items done.

        A bar with rate and remaining time on a terminal, a line now and then elsewhere. What was
        done before the first call, by an earlier run, say, is no part of the rate.

        Args:
            label: What is done.
            total: How many items there are; 0 where that is not known.
        """
        if sys.stderr.isatty():
            with _bar(label, total) as on_terminal:
                yield on_terminal
            return
        last = time.monotonic()
        first: tuple[float, int] | None = None

        def advance(done: int) -> None:
            nonlocal last, first
            now = time.monotonic()
            first = first or (now, done)
            if done and (now - last >= EVERY_SECONDS or done == total):
                last = now
                self.say(f"  {label}: {_how_far(done, total, done - first[1], now - first[0])}")

        yield advance


def _how_far(done: int, total: int, since: int, seconds: float) -> str:
    """Return how many items are done, and how fast the last ``since`` of them were, if any."""
    said = f"{done}/{total}" if total else str(done)
    if since <= 0 or seconds <= 0:
        return said
    rate = since / seconds
    left = f", {(total - done) / rate:.0f} s left" if total else ""
    return f"{said}, {rate:.1f}/s{left}"


@contextlib.contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Items a second, once they are known."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.1f}/s")

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=RichConsole(stderr=True)) as progress:
        task = progress.add_task(label, total=total or None)
        yield lambda done: progress.update(task, completed=done)


def print_line(text: str = "") -> None:
    """Write one line of the result to stdout."""
    sys.stdout.write(f"{text}\n")


def print_json(value: Any) -> None:
    """Write a JSON document to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def fail(text: str) -> None:
    """Write an error to stderr."""
    sys.stderr.write(f"error: {text}\n")


def table(rows: Sequence[tuple[str, ...]], *, indent: int = 2) -> list[str]:
    """Return rows as lines of aligned columns, the last column ragged."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        " " * indent
        + "  ".join(
            cell if place == len(row) - 1 else cell.ljust(widths[place])
            for place, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]
