"""JSON lines as they come from outside: every fault is told with file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vespa_colbert.errors import CollectionError

__all__ = ["decoded", "json_object", "numbered_lines", "raw_lines", "valid_text"]

SHOWN = 60
"""Characters of a faulty line that a message shows."""


def numbered_lines(
    path: Path, *, longest: int | None = None, error: type[CollectionError] = CollectionError
) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of every line that is not blank.

    Args:
        path: The file.
        longest: Bytes that a line may have; longer ones are not read into memory.
        error: What to raise.

    Raises:
        CollectionError: If the file cannot be read, is not UTF-8 or has a longer line; of the
            class asked for.
    """
    for number, raw in raw_lines(path, longest=longest, error=error):
        if (line := decoded(raw, number, path, error=error)).strip():
            yield number, line


def raw_lines(
    path: Path, *, longest: int | None = None, error: type[CollectionError] = CollectionError
) -> Iterator[tuple[int, bytes]]:
    """Yield number (from 1) and bytes of every line, its end included.

    Args:
        path: The file.
        longest: As for ``numbered_lines``.
        error: What to raise.

    Raises:
        CollectionError: If the file cannot be read or has a longer line; of the class asked for.
    """
    if not path.is_file():
        raise error(f"{path}: expected a file, found none; check the path")
    most = -1 if longest is None else longest + 1
    with path.open("rb") as stream:
        for number, raw in enumerate(iter(lambda: stream.readline(most), b""), start=1):
            if longest is not None and len(raw) > longest:
                raise error(
                    f"{path} line {number}: expected at most {longest} bytes, got more; "
                    "is the file one JSON document rather than an object a line?"
                )
            yield number, raw


def decoded(
    raw: bytes, number: int, path: Path, *, error: type[CollectionError] = CollectionError
) -> str:
    """Return the text of a line without its end.

    Args:
        raw: Its bytes.
        number: Which it is; the first one may begin with a byte order mark.
        path: The file, for the message.
        error: What to raise.

    Raises:
        CollectionError: If it is not UTF-8; of the class asked for.
    """
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as fault:
        raise error(
            f"{path} line {number}: expected UTF-8, got byte {raw[fault.start]:#04x} "
            f"at {fault.start}"
        ) from None


def json_object(
    line: str, where: str, *, error: type[CollectionError] = CollectionError, once: bool = False
) -> dict[str, Any]:
    """Return the object that a line spells.

    Args:
        line: The text.
        where: File and line.
        error: What to raise.
        once: Whether a key that occurs twice is a fault; else its last value counts.

    Raises:
        CollectionError: If it is no JSON object; of the class asked for.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if once and len(row) != len(pairs):
            keys = [key for key, _value in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise error(f"{where}: expected every key once, got {twice!r} twice")
        return row

    try:
        row = json.loads(line, object_pairs_hook=unique)
    except CollectionError:
        raise
    except (ValueError, RecursionError) as fault:
        raise error(f"{where}: expected a JSON object, got {line[:SHOWN]!r} ({fault})") from None
    if not isinstance(row, dict):
        raise error(f"{where}: expected a JSON object, got {line[:SHOWN]!r}")
    return row


def valid_text(
    text: str, key: str, where: str, *, error: type[CollectionError] = CollectionError
) -> str:
    """Return a text that can be written as UTF-8.

    Raises:
        CollectionError: If it holds half of a surrogate pair; of the class asked for.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as fault:
        raise error(
            f'{where}: "{key}" holds half of a surrogate pair at character {fault.start}'
        ) from None
    return text
