"""Changed expressions and schemas for a while: each is read or refused in time, nothing else.

python -m tests.rank.fuzz_expressions 600 --seed 1
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.rank.mutations import EXPRESSIONS, change
from vespa_colbert.app.reader import read_schema
from vespa_colbert.errors import ExpressionSyntaxError, SchemaSyntaxError, SpecError
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.language.vespa_text import vespa_text

__all__ = ["MOST_SECONDS", "SCHEMAS", "fuzz"]

ROOT = Path(__file__).parents[2]
LONGEST_NAME = 200
SCHEMAS = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("app_package/**/*.sd"))]
LINES = [line for text in SCHEMAS for line in text.splitlines()]

MOST_SECONDS = 1.0
"""Time that one text may take twice in a row, on a machine that does other things as well."""

MOST_REPEATS = 3_000
MOST_CHARACTERS = 30_000
DERIVED = ("cosine_similarity", "softmax", "l2_normalize", "euclidean_distance", "top", "argm")


def _deep(text: str, source: random.Random) -> str:
    """Return a text with a part of it many times in a row."""
    start = source.randrange(len(text) + 1)
    part = text[start : start + source.randint(1, 12)]
    return (text[:start] + part * source.randint(2, MOST_REPEATS) + text[start:])[:MOST_CHARACTERS]


def expression(source: random.Random) -> str:
    """Return an expression with some changes."""
    text = source.choice(EXPRESSIONS)
    for _ in range(source.randint(1, 6)):
        text = change(text, source, EXPRESSIONS)
    return _deep(text, source) if source.random() < 0.1 else text


def schema(source: random.Random) -> str:
    """Return a schema with some lines changed, moved or lost."""
    lines = source.choice(SCHEMAS).splitlines()
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(lines))
        kind = source.randrange(4)
        if kind == 0:
            lines[place] = change(lines[place], source, EXPRESSIONS)
        elif kind == 1:
            lines[place] = change(lines[place], source, LINES)
        elif kind == 2:
            lines.insert(place, source.choice(LINES))
        elif len(lines) > 1:
            del lines[place]
    text = "\n".join(lines)
    return _deep(text, source) if source.random() < 0.05 else text


def read_expression(text: str) -> str:
    """Read and print an expression in both forms; return what came of it.

    Raises:
        AssertionError: If it prints another expression.
    """
    try:
        tree = parse_expression(text, strict_grouping=False)
    except ExpressionSyntaxError:
        return "expressions refused"
    printed = str(tree)
    if str(parse_expression(printed, strict_grouping=False)) != printed:
        raise AssertionError(f"{text!r} prints {printed!r}, which does not print the same")
    # Vespa's form of derived functions inside each other doubles with every level, in Vespa too.
    if sum(printed.count(name) for name in DERIVED) < 5:
        vespa_text(tree)
    return "expressions read"


def read_changed_schema(text: str, folder: Path) -> str:
    """Read a schema from a file; return what came of it."""
    # A file has the name of its schema, in whatever line that stands after the changes.
    named = re.search(r"^\s*schema\s+(\w+)", text, re.MULTILINE)
    # A mutation may lengthen the name beyond what a file can be called.
    name = named[1][:LONGEST_NAME] if named else "changed"
    path = folder / f"{name}.sd"
    path.write_text(text, encoding="utf-8")
    try:
        read_schema(path)
    except (SchemaSyntaxError, ExpressionSyntaxError, SpecError):
        return "schemas refused"
    return "schemas read"


def timed(text: str, folder: Path, *, is_schema: bool) -> tuple[str, float]:
    """Return what came of a text, and how long this thread worked on it, in seconds."""
    before = time.thread_time()
    read = read_changed_schema(text, folder) if is_schema else read_expression(text)
    return read, time.thread_time() - before


def fuzz(seconds: float, seed: int, report: Callable[[str], object] = print) -> Counter[str]:
    """Read changed texts until the time is over; return how many ended how.

    Raises:
        AssertionError: If a text took too long; whatever else a reader raised comes through, with
            the text as a note.
    """
    source = random.Random(seed)  # noqa: S311 - reproducible texts, no secret
    outcomes, slowest, end = Counter[str](), 0.0, time.monotonic() + seconds
    parse_expression("a")
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            is_schema = bool(SCHEMAS) and source.random() < 0.2
            text = schema(source) if is_schema else expression(source)
            try:
                read, taken = timed(text, Path(folder), is_schema=is_schema)
                if taken > MOST_SECONDS:  # a garbage collection may have fallen into it
                    read, again = timed(text, Path(folder), is_schema=is_schema)
                    taken = min(taken, again)
            except Exception as error:
                error.add_note(f"text: {text!r}")
                raise
            outcomes[read] += 1
            slowest = max(slowest, taken)
            if taken > MOST_SECONDS:
                raise AssertionError(f"{taken:.1f} s for {text[:500]!r} … ({len(text)} characters)")
    report(f"{dict(outcomes)}, slowest {slowest:.3f} s")
    return outcomes


def main() -> None:
    """Run for the seconds that the command line gives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    fuzz(given.seconds, given.seed, lambda line: sys.stdout.write(f"{line}\n"))


if __name__ == "__main__":
    main()
