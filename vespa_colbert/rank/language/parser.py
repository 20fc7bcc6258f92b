"""Text → tree, by the grammar in ``grammar.lark``; operators grouped as Vespa groups them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import lark

from vespa_colbert.app.grammar import open_grammar
from vespa_colbert.errors import ExpressionSyntaxError
from vespa_colbert.rank.language.nodes import Node, Operation, children
from vespa_colbert.rank.language.scanner import Scanner
from vespa_colbert.rank.language.tree import MAX_OPERANDS, FaultError, tree_builder

__all__ = ["MAX_CHARACTERS", "MAX_NESTING", "MAX_OPERANDS", "parse_expression"]

MAX_NESTING = 100
"""Expressions inside each other that an expression may have: evaluation walks the tree by
recursion, and Vespa's own parser overflows its stack somewhere beyond 1 000."""

MAX_CHARACTERS = 1_000_000
"""Length that the text of an expression may have."""

WORDS = {
    "INTEGER": "a number",
    "FLOAT": "a number",
    "NAME": "a name",
    "STRING": "a string",
    "OPERATOR": "an operator",
    "MINUS": "'-'",
    "BANG": "'!'",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "COLON": "':'",
    "DOT": "'.'",
    "LSQB": "'['",
    "RSQB": "']'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "IN": "'in'",
    "F": "a function such as f(x)(x + 1)",
    "CASE": "'case'",
    "DEFAULT": "'default'",
    "AGGREGATOR": "an aggregator such as sum",
    "GREATER": "'>'",
    "$END": "the end",
}
"""Terminal → what messages call it; of those not here an expression may start with some."""

NAMES = frozenset({"NAME", "AGGREGATOR", "IN", "CASE", "DEFAULT", "F"})


def parse_expression(source: str, *, strict_grouping: bool = True) -> Node:
    """Return the tree of a rank expression.

    Args:
        source: The text.
        strict_grouping: Whether to refuse a chain of operators that Vespa's container (Java) and
            its content nodes (C++) group into different values, such as ``a * b % c``. Without, it
            is grouped as the container does; nothing that ranks may do that.

    Raises:
        ExpressionSyntaxError: With line, column, a caret and what was expected there.

    Source: RankingExpressionParser.jj, Vespa 8.700.24.
    """
    if len(source) > MAX_CHARACTERS:
        message = f"expected at most {MAX_CHARACTERS} characters, got {len(source)}"
        raise ExpressionSyntaxError(message, source, MAX_CHARACTERS)
    try:
        # With a transformer of its own, lark hands back what that made and not a Tree.
        node = cast("Node", _parser(strict_grouping).parse(source))
    except lark.exceptions.UnexpectedToken as error:
        at = len(source) if error.token.type == "$END" else (error.token.start_pos or 0)
        got = "the end" if error.token.type == "$END" else repr(str(error.token))
        message = f"expected {_names(_accepted(source, at, strict_grouping))}, got {got}"
        raise ExpressionSyntaxError(message, source, at) from None
    except FaultError as error:
        raise ExpressionSyntaxError(error.message, source, error.position) from None
    _check_nesting(node, source)
    return node


def _accepted(source: str, at: int, strict_grouping: bool) -> set[str]:  # noqa: FBT001
    """Return the terminals that may stand at a place: all that comes before it is known to fit.

    The parser that failed has closed what it was in before it saw that a token fits nowhere.
    """
    parsing: Any = _parser(strict_grouping).parse_interactive(source)
    for token in parsing.lexer_thread.lex(parsing.parser_state):
        if token.start_pos == at:
            break
        parsing.feed_token(token)
    found: set[str] = parsing.accepts()
    return found


def _names(terminals: Iterable[str]) -> str:
    """Return what is expected, in words."""
    found = set(terminals)
    if "NAME" in found:
        found -= NAMES - {"NAME"}
    if "OPERATOR" in found:
        found -= {"MINUS", "GREATER"}
    words = sorted({WORDS[name] for name in found if name in WORDS})
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _check_nesting(node: Node, source: str) -> None:
    """Return nothing if no part of the tree is nested too deeply.

    Raises:
        ExpressionSyntaxError: At the last name above the part too deep.
    """
    waiting = [(node, 0, 0)]
    while waiting:
        each, depth, position = waiting.pop()
        position = getattr(each, "position", position)
        if depth > MAX_NESTING:
            message = f"expected at most {MAX_NESTING} expressions inside each other, got more"
            raise ExpressionSyntaxError(message, source, position)
        # The left side of an operator continues a chain, which evaluation does not recurse into.
        same = each.left if isinstance(each, Operation) else None
        waiting.extend((below, depth + (below is not same), position) for below in children(each))


@functools.cache
def _parser(strict_grouping: bool) -> lark.Lark:  # noqa: FBT001 - a key of the cache
    return open_grammar(
        Path(__file__).with_name("grammar.lark"),
        lexer=Scanner,
        transformer=tree_builder(strict_grouping=strict_grouping),
        maybe_placeholders=False,
    )
