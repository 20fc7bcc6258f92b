"""Vespa's Java for the command line: jars are fetched with progress, then the worker is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vespa_colbert.pipeline import Reporter
    from vespa_colbert.vespa_java import VespaJava

__all__ = ["open_java"]

MEGABYTE = 1_000_000


def open_java(reporter: Reporter) -> VespaJava:
    """Return Vespa's Java, its jars there.

    Args:
        reporter: Hears of the download, of which there is one on the first run only.

    Raises:
        MissingExtraError: If the java extra is not installed.
        VespaJavaError: If a jar cannot be fetched.
    """
    from vespa_colbert.vespa_java import VespaJava, fetch_jars

    with contextlib.ExitStack() as stack:
        advance: list[Callable[[int], None]] = []

        def progress(done: int, total: int) -> None:
            if not advance:
                bar = reporter.track("fetching Vespa's jars, MB", total // MEGABYTE)
                advance.append(stack.enter_context(bar))
            advance[0](done // MEGABYTE)

        fetch_jars(progress=progress)
    return VespaJava()
