"""Text → tree, by the grammar in ``grammar.lark``; operators grouped as Vespa groups them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, cast

import lark

from vespa_colbert.errors import ExpressionSyntaxError
from vespa_colbert.rank.nodes import (
    PRECEDENCE,
    Call,
    Embraced,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Number,
    Operation,
    String,
)

__all__ = ["MAX_NESTING", "MAX_OPERANDS", "parse_expression"]

MAX_NESTING = 200
"""Parentheses inside each other that an expression may have: evaluation walks the tree by
recursion, and Vespa's own parser overflows its stack somewhere beyond 1 000."""

MAX_OPERANDS = 500
"""Operands that one chain of operators may have: ``a + b + c`` nests as deep as it is long."""

WORDS = {
    "NUMBER": "a number",
    "NAME": "a name",
    "STRING": "a string",
    "OPERATOR": "an operator",
    "MINUS": "'-'",
    "NOT": "'!'",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "RSQB": "']'",
    "IN": "'in'",
    "$END": "the end",
}
HIDDEN = frozenset({"TRUE", "FALSE", "LAMBDA_START", "DOT", "OUTPUT"})


def parse_expression(source: str) -> Node:
    """Return the tree of a rank expression.

    Raises:
        ExpressionSyntaxError: With line, column, a caret and what was expected there.

    Source: RankingExpressionParser.jj, Vespa 8.700.24. Not read yet: slices, ``switch``, tensor
    literals and generators, dimension lists in parentheses (``rename``), ``$name``.
    """
    _check_nesting(source)
    try:
        # With a transformer of its own, lark hands back what that made and not a Tree.
        return cast("Node", _parser().parse(source))
    except lark.exceptions.UnexpectedToken as error:
        at = len(source) if error.token.type == "$END" else (error.token.start_pos or 0)
        got = "the end" if error.token.type == "$END" else repr(str(error.token))
        message = f"expected {_names(error.accepts or error.expected)}, got {got}"
        raise ExpressionSyntaxError(message, source, at) from None
    except _TooLongError:
        message = f"expected at most {MAX_OPERANDS} operands in a row, got more"
        raise ExpressionSyntaxError(message, source, 0) from None
    except lark.exceptions.UnexpectedCharacters as error:
        at = cast("int", error.pos_in_stream)
        message = f"expected {_names(error.allowed or ())}, got {source[at]!r}"
        raise ExpressionSyntaxError(message, source, at) from None


def _names(terminals: Any) -> str:
    words = sorted({WORDS.get(name, name) for name in terminals if name not in HIDDEN})
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _check_nesting(source: str) -> None:
    """Return nothing if no place of the source is nested too deeply.

    Raises:
        ExpressionSyntaxError: At the first parenthesis too many.
    """
    depth = 0
    for place, character in enumerate(source):
        depth += (character in "([") - (character in ")]")
        if depth > MAX_NESTING:
            message = f"expected at most {MAX_NESTING} nested parentheses, got more"
            raise ExpressionSyntaxError(message, source, place)


@functools.cache
def _parser() -> lark.Lark:
    grammar = files("vespa_colbert.rank").joinpath("grammar.lark").read_text(encoding="utf-8")
    return lark.Lark(grammar, parser="lalr", transformer=_TreeBuilder(), maybe_placeholders=False)


def group(operands: Sequence[Node], operators: Sequence[str]) -> Node:
    """Return the tree of ``operands[0] operators[0] operands[1] …`` by precedence.

    Source: OperationNode.evaluate, Vespa 8.700.24.
    """
    stack, waiting = [operands[0]], list[str]()

    def close() -> None:
        right = stack.pop()
        stack.append(Operation(stack.pop(), waiting.pop(), right))

    for operator, operand in zip(operators, operands[1:], strict=True):
        while waiting and not _binds_tighter(operator, waiting[-1]):
            close()
        waiting.append(operator)
        stack.append(operand)
    while waiting:
        close()
    return stack[0]


def _binds_tighter(operator: str, other: str) -> bool:
    if operator == other:
        return operator == "^"
    return PRECEDENCE[operator] > PRECEDENCE[other]


class _TooLongError(Exception):
    """A chain of operators is too long; turned into a syntax error at once."""


class _TreeBuilder(lark.Transformer[lark.Token, Node]):
    """One method a grammar alternative; lark calls them bottom up while it parses."""

    def start(self, items: list[Node]) -> Node:
        return items[0]

    def operation(self, items: list[Any]) -> Node:
        if len(items) > 2 * MAX_OPERANDS:
            raise _TooLongError
        return group(items[0::2], [str(operator) for operator in items[1::2]])

    def membership(self, items: list[Node]) -> Node:
        return Membership(items[0], tuple(items[1:]))

    def negation(self, items: list[Any]) -> Node:
        return Not(items[1])

    def negative(self, items: list[Any]) -> Node:
        inner = items[1]
        if isinstance(inner, Number):
            return Number(f"-{inner.text}", -inner.value)
        return Negative(inner)

    def number(self, items: list[lark.Token]) -> Node:
        text = str(items[0])
        value = int(text, 16) if text[:2] in {"0x", "0X"} else float(text)
        return Number(text, float(value))

    def string(self, items: list[lark.Token]) -> Node:
        return String(str(items[0]))

    def true(self, _items: list[lark.Token]) -> Node:
        return Number("true", 1.0)

    def false(self, _items: list[lark.Token]) -> Node:
        return Number("false", 0.0)

    def embraced(self, items: list[Node]) -> Node:
        return Embraced(items[0])

    def name(self, items: list[lark.Token]) -> Node:
        return Call(str(items[0]), position=items[0].start_pos or 0)

    def call(self, items: list[Any]) -> Node:
        name, *rest = items
        output = rest.pop() if rest and isinstance(rest[-1], lark.Token) else None
        return Call(
            str(name),
            tuple(rest),
            None if output is None else str(output),
            position=name.start_pos or 0,
        )

    def lambda_function(self, items: list[Any]) -> Node:
        *parameters, body = items[1:]
        return Lambda(tuple(str(parameter) for parameter in parameters), body)
