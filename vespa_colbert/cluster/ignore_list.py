"""What ``.vespaignore`` keeps out of an upload: the patterns of the vespa CLI, read as it does.

A pattern is matched against the whole path in the package. ``*`` and ``?`` stop at a slash;
``[a-z]`` and ``[^a-z]`` are one character. One that ends with a slash takes all below that folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.errors import DeployError

__all__ = ["IGNORE_FILE", "IgnoreList", "read_ignore_list"]

IGNORE_FILE = ".vespaignore"
ALWAYS_IGNORED = ".DS_Store"


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreList:
    """The patterns of an ignore file.

    Attributes:
        patterns: As written, comments and empty lines left out.
        expressions: The same as regular expressions.
    """

    patterns: tuple[str, ...]
    expressions: tuple[re.Pattern[str], ...]

    def ignores(self, path: str) -> bool:
        """Return whether a file or folder stays out of the upload.

        Args:
            path: In the package, with slashes; ``.`` for the package itself.

        Source: Go's ``ignore.List.Match`` and ``zipDir`` of the vespa CLI, 8.763.13.
        """
        if path.rpartition("/")[2] == ALWAYS_IGNORED:
            return True
        if any(pattern.endswith("/") and path.startswith(pattern) for pattern in self.patterns):
            return True
        return any(each.fullmatch(path) for each in self.expressions)


def read_ignore_list(file: Path) -> IgnoreList:
    """Return the patterns of an ignore file; none if there is no such file.

    Raises:
        DeployError: If a pattern is malformed or the file cannot be read, as the vespa CLI says.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise DeployError(f"{file}: cannot be read ({error.strerror})") from error
    patterns, expressions = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        try:
            expression = "".join(_pieces(pattern))
        except ValueError as error:
            raise DeployError(f"{file} line {number}: bad pattern {pattern!r}: {error}") from None
        patterns.append(pattern)
        expressions.append(re.compile(expression, re.DOTALL))
    return IgnoreList(patterns=tuple(patterns), expressions=tuple(expressions))


def _pieces(pattern: str) -> Iterator[str]:
    """Yield the regular expression of each piece of a pattern.

    Raises:
        ValueError: If the pattern is malformed.

    Source: Go's ``path/filepath.Match``.
    """
    place = 0
    while place < len(pattern):
        character = pattern[place]
        if character == "[":
            piece, place = _class(pattern, place + 1)
            yield piece
            continue
        if character in "*?":
            yield "[^/]*" if character == "*" else "[^/]"
            place += 1
            continue
        literal, place = _character(pattern, place)
        yield re.escape(literal)


def _class(pattern: str, place: int) -> tuple[str, int]:
    """Return the expression of a class of characters, and the place after it.

    Raises:
        ValueError: If it is empty or does not end.
    """
    negated = pattern[place : place + 1] == "^"
    place += negated
    ranges: list[str] = []
    first = place
    while place == first or pattern[place : place + 1] != "]":
        if pattern[place : place + 1] in {"", "-", "]"}:
            raise ValueError("expected [ characters ] with at least one character")
        low, place = _character(pattern, place)
        high = low
        if pattern[place : place + 1] == "-":
            if pattern[place + 1 : place + 2] in {"", "-", "]"}:
                raise ValueError("expected a character after -")
            high, place = _character(pattern, place + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    inside = "".join(ranges)
    if not inside:
        return ("." if negated else "(?!)"), place + 1
    return f"[{'^' if negated else ''}{inside}]", place + 1


def _character(pattern: str, place: int) -> tuple[str, int]:
    """Return the character that stands for itself there, and the place after it.

    Raises:
        ValueError: If the pattern ends with a backslash.
    """
    if pattern[place] != "\\":
        return pattern[place], place + 1
    if place + 1 == len(pattern):
        raise ValueError("expected a character after the backslash")
    return pattern[place + 1], place + 2
