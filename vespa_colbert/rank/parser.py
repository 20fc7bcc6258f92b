"""Text → tree, by the grammar in ``grammar.lark``; operators grouped as Vespa groups them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, cast

import lark

from vespa_colbert.errors import ExpressionSyntaxError
from vespa_colbert.rank.nodes import (
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
    binds_tighter,
    children,
    is_ambiguous,
)

__all__ = ["MAX_NESTING", "MAX_OPERANDS", "parse_expression"]

MAX_NESTING = 100
"""Expressions inside each other that an expression may have: evaluation walks the tree by
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
    "LSQB": "'['",
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
    Differs: a chain that the container (Java) and the content nodes (C++) group into different
    values is refused, such as ``a * b % c``.
    """
    try:
        # With a transformer of its own, lark hands back what that made and not a Tree.
        node = cast("Node", _parser().parse(source))
    except lark.exceptions.UnexpectedToken as error:
        at = len(source) if error.token.type == "$END" else (error.token.start_pos or 0)
        got = "the end" if error.token.type == "$END" else repr(str(error.token))
        message = f"expected {_names(error.accepts or error.expected)}, got {got}"
        raise ExpressionSyntaxError(message, source, at) from None
    except _FaultError as error:
        raise ExpressionSyntaxError(error.message, source, error.position) from None
    except lark.exceptions.UnexpectedCharacters as error:
        at = cast("int", error.pos_in_stream)
        message = f"expected {_names(error.allowed or ())}, got {source[at]!r}"
        raise ExpressionSyntaxError(message, source, at) from None
    _check_nesting(node, source)
    return node


def _names(terminals: Any) -> str:
    words = sorted({WORDS.get(name, name) for name in terminals if name not in HIDDEN})
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _check_nesting(node: Node, source: str) -> None:
    """Return nothing if no part of the tree is nested too deeply.

    Raises:
        ExpressionSyntaxError: At the last name above the part too deep.
    """
    waiting = [(node, 0, 0)]
    while waiting:
        each, depth, position = waiting.pop()
        position = each.position if isinstance(each, Call) else position
        if depth > MAX_NESTING:
            message = f"expected at most {MAX_NESTING} expressions inside each other, got more"
            raise ExpressionSyntaxError(message, source, position)
        # The left side of an operator continues a chain, which evaluation does not recurse into.
        same = each.left if isinstance(each, Operation) else None
        waiting.extend((below, depth + (below is not same), position) for below in children(each))


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
        while waiting and not binds_tighter(operator, waiting[-1]):
            close()
        waiting.append(operator)
        stack.append(operand)
    while waiting:
        close()
    return stack[0]


def _check_grouping(operators: Sequence[lark.Token]) -> None:
    """Return nothing if the container and the content nodes group a chain to the same value.

    Raises:
        _FaultError: At the operator that they do not agree on.
    """
    waiting = list[str]()
    for token in operators:
        operator = str(token)
        while waiting:
            if is_ambiguous(waiting[-1], operator):
                raise _FaultError(
                    f"{waiting[-1]} and {operator} in a row mean one thing to Vespa's container "
                    "and another to its content nodes: expected parentheses",
                    token.start_pos or 0,
                )
            if binds_tighter(operator, waiting[-1]):
                break
            waiting.pop()
        waiting.append(operator)


class _FaultError(Exception):
    """A fault found while the tree is built; turned into a syntax error at once."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message, self.position = message, position


class _TreeBuilder(lark.Transformer[lark.Token, Node]):
    """One method a grammar alternative; lark calls them bottom up while it parses."""

    def start(self, items: list[Node]) -> Node:
        return items[0]

    def operation(self, items: list[Any]) -> Node:
        operators = items[1::2]
        if len(operators) >= MAX_OPERANDS:
            message = f"expected at most {MAX_OPERANDS} operands in a row, got more"
            raise _FaultError(message, operators[MAX_OPERANDS - 1].start_pos or 0)
        _check_grouping(operators)
        return group(items[0::2], [str(operator) for operator in operators])

    def membership(self, items: list[Any]) -> Node:
        value, keyword, *members = items
        if isinstance(value, Operation) and value.operator in {"&&", "||"}:
            raise _FaultError(
                f"{value.operator} and in in a row mean one thing to Vespa's container and another "
                "to its content nodes: expected parentheses",
                keyword.start_pos or 0,
            )
        return Membership(value, tuple(members))

    def negation(self, items: list[Any]) -> Node:
        return Not(items[1])

    def negative(self, items: list[Any]) -> Node:
        inner = items[1]
        if isinstance(inner, Number):
            return Number(f"-{inner.text}", -inner.value)
        return Negative(inner)

    def twice_negative(self, items: list[Any]) -> Node:
        return cast("Node", items[2])

    def number(self, items: list[lark.Token]) -> Node:
        text = str(items[0])
        return Number(text, float(text))

    def string(self, items: list[lark.Token]) -> Node:
        return String(str(items[0]))

    def true(self, _items: list[lark.Token]) -> Node:
        return Number("true", 1.0)

    def false(self, _items: list[lark.Token]) -> Node:
        return Number("false", 0.0)

    def embraced(self, items: list[Node]) -> Node:
        return Embraced(items[0])

    def name(self, items: list[lark.Token]) -> Node:
        name, *output = items
        found = str(output[0]) if output else None
        return Call(str(name), output=found, position=name.start_pos or 0)

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
