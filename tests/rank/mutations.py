"""Expressions changed at random, reproducibly: what a person mistypes, and worse."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["EXPRESSIONS", "mutated"]

EXPRESSIONS = Path(__file__).with_name("expressions.txt").read_text(encoding="utf-8").splitlines()

PIECE = re.compile(r"[A-Za-z0-9_@$.]+|'[^']*'|\"[^\"]*\"|\s+|.", re.DOTALL)
EXTRA = (
    *"()[]{},:.$!-+*/%^<>=&|~#'\"\\ ",
    *("in", "f", "if", "true", "1", "0x1", "5L", "1.", "1e3", "2f", "x", "-1", "==", "&&", "||"),
    *("sum", "max", "log", "map", "reduce", "tensor", "tensor(x[2])", "{x:1}", "[0]", "f(x)(x)"),
    *("switch", "case", "default", "query(q)", "'a b'", '"l"', "unpack_bits", "join", "range"),
)


def mutated(count: int, seed: int, expressions: Sequence[str] = EXPRESSIONS) -> list[str]:
    """Return distinct texts, each an expression with one to three changes."""
    source = random.Random(seed)  # noqa: S311 - reproducible texts, no secret
    found = dict[str, None]()
    while len(found) < count:
        text = source.choice(expressions)
        for _ in range(source.choice((1, 1, 2, 3))):
            text = change(text, source, expressions)
        if text:
            found[text] = None
    return list(found)


def change(text: str, source: random.Random, expressions: Sequence[str]) -> str:
    """Return a text with one change."""
    pieces = PIECE.findall(text) or [""]
    place = source.randrange(len(pieces))
    other = PIECE.findall(source.choice(expressions)) or [""]
    kind = source.randrange(8)
    if kind == 0:
        del pieces[place]
    elif kind == 1:
        pieces.insert(place, pieces[source.randrange(len(pieces))])
    elif kind == 2:
        pieces[place] = source.choice(EXTRA)
    elif kind == 3:
        pieces.insert(place, source.choice(EXTRA))
    elif kind == 4:
        second = source.randrange(len(pieces))
        pieces[place], pieces[second] = pieces[second], pieces[place]
    elif kind == 5:
        start = source.randrange(len(other))
        pieces[place:place] = other[start : start + source.randint(1, 6)]
    elif kind == 6:
        pieces[place : place + source.randint(1, 4)] = [source.choice(other)]
    else:
        at = source.randrange(len(text) + 1)
        return text[:at] + text[at + 1 :]
    return "".join(pieces)
