"""Rank expressions in one form, whoever wrote them: as Vespa prints them, and a little more."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vespa_colbert.app import Schema
from vespa_colbert.rank.compiled import compile_profile
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.language.vespa_text import vespa_text

__all__ = ["canonical", "canonical_phases"]

RANK = re.compile(r"^(reciprocal_rank\(.*),60\.0\)$")
"""A reciprocal rank that states the constant that it has by itself."""


def canonical(expression: str, names: Mapping[str, str] | None = None) -> str:
    """Return an expression as Vespa prints it, without needless parentheses, its sum in order.

    Args:
        expression: In the ranking language.
        names: Name → another one.
    """
    text = vespa_text(parse_expression(expression))
    known = names or {}
    text = re.sub(r"\b[A-Za-z_]\w*", lambda found: known.get(found[0], found[0]), text)
    # Vespa prints a function of one argument so that its own parser takes it and ours does not.
    terms = _parts(_stripped(text).replace("f(a)sqrt(a)", "f(a)(sqrt(a))"), " + ")
    return " + ".join(sorted(RANK.sub(r"\1)", each) for each in terms))


def canonical_phases(schema: Schema, profile: str) -> dict[str, str]:
    """Return phase → its expression in canonical form, functions in the place of their calls."""
    compiled = compile_profile(schema, profile)
    return {phase: canonical(vespa_text(node)) for phase, node in compiled.phases.items()}


def _stripped(text: str) -> str:
    """Return an expression without parentheses around an argument, the whole, or one call."""
    for found in re.finditer(r"(?<!\w)\(", text):
        start = found.start()
        end = _closing(text, start)
        inner, before, after = text[start + 1 : end], text[:start].rstrip(), text[end + 1 :]
        is_whole = before[-1:] in {"", "(", ","} and after.lstrip()[:1] in {"", ")", ","}
        if is_whole or len(_parts(inner, " ")) == 1:
            return _stripped(text[:start] + inner + after)
    return text


def _closing(text: str, start: int) -> int:
    """Return the place of the parenthesis that closes one."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place
    raise ValueError(text)


def _parts(text: str, between: str) -> list[str]:
    """Return the parts of an expression between some text that is in no parentheses."""
    found, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "({") - (letter in ")}")
        if depth == 0 and text.startswith(between, place):
            found.append(text[start:place])
            start = place + len(between)
    return [*found, text[start:]]
