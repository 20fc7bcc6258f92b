"""Lines that a verb reads and writes: of files, or of stdin and to stdout."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from vespa_colbert.errors import CollectionError

__all__ = ["STREAM", "input_lines", "output_lines"]

STREAM = Path("-")
"""Names stdin or stdout."""


@contextlib.contextmanager
def input_lines(source: Path) -> Iterator[TextIO]:
    """Yield the lines of a file, or of stdin.

    Raises:
        CollectionError: If there is no such file, or it is not UTF-8.
    """
    try:
        if source == STREAM:
            yield sys.stdin
            return
        with source.open(encoding="utf-8") as stream:
            yield stream
    except FileNotFoundError:
        raise CollectionError(f"{source}: expected a file, found none; check the path") from None
    except UnicodeDecodeError as error:
        raise CollectionError(
            f"{source}: expected UTF-8, got byte {error.object[error.start]:#04x}"
        ) from None


@contextlib.contextmanager
def output_lines(path: Path | None) -> Iterator[Callable[[str], object]]:
    """Yield what writes to a file that gets its name at the end, or to stdout."""
    from vespa_colbert.files import atomic_file

    if path is None or path == STREAM:
        yield sys.stdout.write
        return
    with atomic_file(path) as part, part.open("w", encoding="utf-8") as stream:
        yield stream.write
