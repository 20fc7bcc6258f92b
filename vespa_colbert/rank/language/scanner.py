"""Text → tokens: Vespa's words, and which names are built-ins where they stand.

Vespa's parser looks four tokens ahead to see whether ``log(`` starts its own function or a feature
of that name: ``log(a, b)`` is a feature, ``log(a + b, c)`` is a fault. The tokens say which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import lark

from vespa_colbert.rank.language.built_ins import BUILT_INS
from vespa_colbert.rank.language.words import IDENTIFIER, STRING, longest_word

__all__ = ["Scanner"]

AGGREGATORS = frozenset({"avg", "count", "max", "median", "min", "prod", "sum"})
"""Words that say how ``reduce`` puts cells together."""

KEYWORDS = {
    "in": "IN",
    "case": "CASE",
    "default": "DEFAULT",
    "f": "F",
    "true": "TRUE",
    "false": "FALSE",
}
PUNCTUATION = {
    "(": "LPAR",
    ")": "RPAR",
    "[": "LSQB",
    "]": "RSQB",
    "{": "LBRACE",
    "}": "RBRACE",
    ",": "COMMA",
    ":": "COLON",
    ".": "DOT",
    "$": "DOLLAR",
    "!": "BANG",
    "-": "MINUS",
    "<": "LESS",
    ">": "GREATER",
}
SIGNS = r"\|\||&&|>=|<=|~=|!=|==|[-+*/%^<>!()\[\]{},:.$]"
TOKEN = re.compile(
    rf"(?P<blank>(?:[ \t\r\n]|\#[^\n\r]*)+)|(?P<word>{IDENTIFIER})|(?P<string>{STRING})"
    rf"|(?P<sign>{SIGNS})"
)

CONSTANTS = frozenset({"INTEGER", "FLOAT", "STRING", "TRUE", "FALSE"})
NAMES = frozenset({"NAME", "AGGREGATOR", "IN", "CASE", "DEFAULT", "F"})
STARTS = CONSTANTS | NAMES | {"BANG", "MINUS", "LPAR", "DOLLAR", "UNPACK_BITS"}
"""Terminals that an expression may start with, before built-ins are told from features."""

CONTINUES = frozenset({"OPERATOR", "MINUS", "LESS", "GREATER", "IN", "LSQB", "LBRACE"})
"""Terminals that may follow a value within an expression."""

AFTER = {
    "BANG": STARTS - {"BANG"},
    "MINUS": STARTS - {"BANG"},
    "LPAR": STARTS,
    "DOLLAR": NAMES | {"TRUE", "FALSE"},
    "UNPACK_BITS": frozenset({"LPAR"}),
}
"""Terminal that an expression may start with → those that may come next."""

ENDS = {
    "VALUE_FUNCTION": frozenset({"RPAR"}),
    "REDUCTION": frozenset({"RPAR", "COMMA"}),
    "LARGEST": frozenset({"RPAR", "COMMA"}),
    "UNPACK_BITS": frozenset({"RPAR", "COMMA"}),
}
"""Terminals that may follow the first argument of a built-in; a comma where none is listed."""


class Scanner(lark.lexer.Lexer):
    """The tokens of an expression; what is no token comes out as ``UNKNOWN``, the last."""

    def __init__(self, _settings: Any) -> None:
        """Take no notice of the grammar: its terminals are those of this module."""

    def lex(self, text: str) -> Iterator[lark.Token]:  # type: ignore[override]
        """Yield the tokens, each with its place in the text."""
        tokens = list(_tokens(text))
        kinds = [token.type for token in tokens]
        for place, token in enumerate(tokens):
            if token.type in {"NAME", "AGGREGATOR"}:
                token.type = _kind(str(token), kinds, place)
            yield token


def _tokens(text: str) -> Iterator[lark.Token]:
    """Yield the tokens, built-ins as names."""
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            yield lark.Token("UNKNOWN", text[at], at)
            return
        kind, value = found.lastgroup, found[0]
        if kind == "word":
            kind, value = _word(text, at, value)
            yield lark.Token(kind, value, at)
        elif kind == "string":
            yield lark.Token("STRING", value, at)
        elif kind == "sign":
            yield lark.Token(PUNCTUATION.get(value, "OPERATOR"), value, at)
        at += len(value)


def _word(text: str, at: int, word: str) -> tuple[str, str]:
    """Return the kind and the text of the longest word or number that stands at a place."""
    if not word[0].isdigit():
        kind = "AGGREGATOR" if word in AGGREGATORS else KEYWORDS.get(word, "NAME")
        return ("UNPACK_BITS" if word == "unpack_bits" else kind), word
    return longest_word(text, at)


def _kind(word: str, kinds: list[str], place: int) -> str:
    """Return the terminal that a name is where it stands."""
    if place and kinds[place - 1] in {"DOT", "DOLLAR"}:
        return kinds[place]
    following = kinds[place + 1 : place + 4]
    if word in {"if", "switch"}:
        return word.upper() if following[:1] == ["LPAR"] else "NAME"
    built_in = BUILT_INS.get(word)
    if built_in is None:
        return kinds[place]
    starts = _starts_type if built_in in {"TENSOR", "PATTERN"} else _starts_call
    return built_in if starts(built_in, [*following, "", "", ""]) else kinds[place]


def _starts_call(built_in: str, following: list[str]) -> bool:
    """Return whether three terminals after a name are a call's, as far as Vespa looks."""
    bracket, first, second = following[:3]
    if bracket != "LPAR":
        return False
    after_value = CONTINUES | ENDS.get(built_in, frozenset({"COMMA"}))
    if first in CONSTANTS:
        return second in after_value
    if first in NAMES:
        return second in after_value | {"LPAR", "DOT"}
    return second in AFTER.get(first, ())


def _starts_type(built_in: str, following: list[str]) -> bool:
    """Return whether three terminals after a name are a tensor type's, as far as Vespa looks."""
    names = NAMES | {"TRUE", "FALSE"}
    bracket, first, second = following[:3]
    if bracket == "LESS":
        return first in names and second == "GREATER"
    if bracket != "LPAR":
        return False
    if first == "RPAR":
        return built_in == "PATTERN" or second in {"LPAR", "COLON"}
    if first == "COMMA":
        return second in names
    return first in names and second in {"LBRACE", "LSQB"}
