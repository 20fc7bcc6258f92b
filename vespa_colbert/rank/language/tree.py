"""Grammar rules → nodes: operators grouped as Vespa groups them, faults with their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import lark

from vespa_colbert.rank.language.checks import fault_of, free_features
from vespa_colbert.rank.language.literals import (
    Block,
    Cells,
    Entries,
    WrittenType,
    literal_cells,
    written_type,
)
from vespa_colbert.rank.language.nodes import (
    Call,
    Case,
    Coordinate,
    Dimensions,
    Embraced,
    Generated,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Number,
    Operation,
    Pattern,
    Slice,
    String,
    Switch,
    TensorLiteral,
)
from vespa_colbert.rank.language.operators import binds_tighter, is_ambiguous
from vespa_colbert.rank.language.words import number_value, unquoted
from vespa_colbert.tensor import Dimension

__all__ = ["MAX_OPERANDS", "FaultError", "group", "tree_builder"]

MAX_OPERANDS = 500
"""Operands that one chain of operators may have: ``a + b + c`` nests as deep as it is long."""

MOST_DIGITS = 10


class FaultError(Exception):
    """A fault found while the tree is built; turned into a syntax error at once."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message, self.position = message, position


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


def check_grouping(operators: Sequence[lark.Token]) -> None:
    """Return nothing if the container and the content nodes group a chain to the same value.

    Raises:
        FaultError: At the operator that they do not agree on.
    """
    waiting = list[str]()
    for token in operators:
        operator = str(token)
        while waiting:
            if is_ambiguous(waiting[-1], operator):
                raise FaultError(_two_meanings(waiting[-1], operator), token.start_pos or 0)
            if binds_tighter(operator, waiting[-1]):
                break
            waiting.pop()
        waiting.append(operator)


def _two_meanings(before: str, operator: str) -> str:
    return (
        f"{before} and {operator} in a row mean one thing to Vespa's container and another to its "
        "content nodes: expected parentheses"
    )


def _number(text: str, token: lark.Token) -> Number:
    """Return a number.

    Raises:
        FaultError: If Vespa cannot read it.
    """
    if (value := number_value(text)) is None:
        message = f"expected a number of digits that a 64-bit integer holds, got {text!r}"
        raise FaultError(message, token.start_pos or 0)
    return Number(text, value)


def tree_builder(*, strict_grouping: bool) -> lark.Transformer[lark.Token, Node]:
    """Return what makes nodes of grammar rules.

    Args:
        strict_grouping: Whether to refuse a chain that Vespa's container and its content nodes
            group differently.
    """
    return _TreeBuilder(strict_grouping=strict_grouping)


class _TreeBuilder(lark.Transformer[lark.Token, Node]):
    """One method a grammar alternative; lark calls them bottom up while it parses."""

    def __init__(self, *, strict_grouping: bool) -> None:
        super().__init__()
        self._strict = strict_grouping

    def start(self, items: list[Node]) -> Node:
        return items[0]

    def operation(self, items: list[Any]) -> Node:
        operators = items[1::2]
        if len(operators) >= MAX_OPERANDS:
            message = f"expected at most {MAX_OPERANDS} operands in a row, got more"
            raise FaultError(message, operators[MAX_OPERANDS - 1].start_pos or 0)
        if self._strict:
            check_grouping(operators)
        return group(items[0::2], [str(operator) for operator in operators])

    def membership(self, items: list[Any]) -> Node:
        value, keyword, *members = items
        if self._strict and isinstance(value, Operation) and value.operator in {"&&", "||"}:
            raise FaultError(_two_meanings(value.operator, "in"), keyword.start_pos or 0)
        return Membership(value, tuple(members))

    def negation(self, items: list[Node]) -> Node:
        return Not(items[0])

    def negative(self, items: list[Any]) -> Node:
        inner = items[1]
        if isinstance(inner, Number):
            return Number(f"-{inner.text}", -inner.value)
        return Negative(inner)

    def twice_negative(self, items: list[Any]) -> Node:
        return cast("Node", items[2])

    def number(self, items: list[lark.Token]) -> Node:
        return _number(str(items[-1]), items[0])

    def negative_number(self, items: list[lark.Token]) -> Node:
        return _number(f"-{items[1]}", items[0])

    def string(self, items: list[lark.Token]) -> Node:
        try:
            unquoted(items[0])
        except ValueError as error:
            raise FaultError(str(error), items[0].start_pos or 0) from None
        return String(str(items[0]))

    def truth(self, items: list[lark.Token]) -> Node:
        return Number(str(items[0]), float(items[0] == "true"))

    def embraced(self, items: list[Node]) -> Node:
        return Embraced(items[0])

    def feature(self, items: list[Any]) -> Node:
        name, *rest = items
        arguments = next((each for each in rest if isinstance(each, tuple)), None)
        output = next((each for each in rest if isinstance(each, str)), None)
        return Call(str(name), arguments, output, position=name.start_pos or 0)

    def query_feature(self, items: list[lark.Token]) -> Node:
        (name,) = items
        at = name.start_pos or 0
        return Call("query", (Call(str(name), position=at),), position=at)

    def arguments(self, items: list[Node]) -> tuple[Node, ...]:
        return tuple(items)

    def output(self, items: list[lark.Token]) -> str:
        return ".".join(map(str, items))

    def word(self, items: list[lark.Token]) -> lark.Token:
        return items[0]

    name = word

    def call(self, items: list[Any]) -> Node:
        token, *rest = items
        arguments = [part for each in rest for part in (each if isinstance(each, list) else [each])]
        found = Call(str(token), tuple(arguments), position=token.start_pos or 0)
        if reason := fault_of(found):
            raise FaultError(f"{found.name}: {reason}", found.position)
        return found

    def named(self, items: list[lark.Token]) -> Node:
        return Call("".join(items), position=items[0].start_pos or 0)

    def tags(self, items: list[Node]) -> list[Node]:
        return items

    def dimensions(self, items: list[Any]) -> Node:
        return Dimensions(tuple(items[0]) if isinstance(items[0], list) else (str(items[0]),))

    def words(self, items: list[lark.Token]) -> list[str]:
        return [str(item) for item in items]

    def function(self, items: list[Any]) -> Node:
        token, parameters, body = items
        found = Lambda(tuple(parameters), body)
        if outside := next(free_features(found), None):
            listed = ", ".join(parameters) or "none"
            raise FaultError(
                f"{outside}: expected a parameter of the function that it stands in ({listed})",
                outside.position or token.start_pos or 0,
            )
        return found

    def probability(self, items: list[lark.Token]) -> Node:
        text = "".join(items)
        value = math.nan if {*"lLxX"} & set(text) else float(text.rstrip("fFdD"))
        if not 0 <= value <= 1:
            message = f"expected a probability between 0 and 1, got {text}"
            raise FaultError(message, items[0].start_pos or 0)
        return Number(text, value)

    def case(self, items: list[Any]) -> Case:
        _, value, result = items
        return Case(value, result)

    def switch(self, items: list[Any]) -> Node:
        token, subject, *cases, _, default = items
        return Switch(subject, tuple(cases), default, position=token.start_pos or 0)

    def coordinate(self, items: list[Any]) -> Coordinate:
        name, value = items
        return _coordinate(str(name), value)

    def slice(self, items: list[Any]) -> Node:
        subject, bracket, *coordinates = items
        return Slice(subject, tuple(coordinates), position=bracket.start_pos or 0)

    def short_slice(self, items: list[Any]) -> Node:
        subject, bracket, value = items
        return Slice(subject, (_coordinate(None, value),), position=bracket.start_pos or 0)

    def index_slice(self, items: list[Any]) -> Node:
        subject, bracket, value = items
        return Slice(subject, (Coordinate(None, index=value),), position=bracket.start_pos or 0)

    def generated(self, items: list[Any]) -> Node:
        token, written, body = items
        self._require_indexed(token, written)
        return Generated(written.type, body, position=token.start_pos or 0)

    def pattern(self, items: list[Any]) -> Node:
        token, written = items
        self._require_indexed(token, written)
        return Pattern(str(token), written.type, position=token.start_pos or 0)

    def _require_indexed(self, token: lark.Token, written: WrittenType) -> None:
        """Return nothing if every dimension has a size.

        Raises:
            FaultError: If one is mapped.
        """
        if mapped := written.type.mapped:
            raise FaultError(
                f"{token}: expected indexed dimensions, which have a size, got {mapped[0]}{{}}",
                token.start_pos or 0,
            )

    def literal(self, items: list[Any]) -> Node:
        token, written, body = items
        at = token.start_pos or 0
        try:
            return TensorLiteral(written.type, literal_cells(written, body), position=at)
        except ValueError as error:
            raise FaultError(str(error), at) from None

    def type(self, items: list[Any]) -> WrittenType:
        dimensions = [each for each in items if isinstance(each, tuple)]
        tokens = [each for each in items if isinstance(each, lark.Token)]
        name = next((each for each in tokens if each.type not in {"LESS", "GREATER"}), None)
        at = tokens[0].start_pos if tokens else dimensions[0][1] if dimensions else 0
        try:
            return written_type(str(name or "double"), [each for each, _ in dimensions])
        except ValueError as error:
            raise FaultError(str(error), at or 0) from None

    def mapped_dimension(self, items: list[lark.Token]) -> tuple[Dimension, int]:
        return Dimension(str(items[0])), items[0].start_pos or 0

    def unbound_dimension(self, items: list[lark.Token]) -> Any:
        """Refuse a dimension without a size.

        Raises:
            FaultError: Always: Vespa's content nodes do not know such dimensions.
        """
        raise FaultError(f"expected a size, as in {items[0]}[3]", items[0].start_pos or 0)

    def indexed_dimension(self, items: list[Any]) -> tuple[Dimension, int]:
        name, size = items
        at = name.start_pos or 0
        if not size.isdecimal() or len(size) > MOST_DIGITS or int(size) < 1:
            raise FaultError(f"{name}: expected a size of 1 or more, got {size}", at)
        return Dimension(str(name), int(size)), at

    def size(self, items: list[lark.Token]) -> str:
        return "".join(items)

    def block(self, items: list[Any]) -> Block:
        first, *rest = items
        values = first.values if isinstance(first, Block) else [first]
        for each in rest:
            values += each.values if isinstance(each, Block) else [each]
        return Block(values)

    def object(self, items: list[Any]) -> Entries:
        return Entries(tuple(items))

    def entry(self, items: list[Any]) -> tuple[str, Any]:
        label, value = items
        return label, value

    def cell_list(self, items: list[Any]) -> Cells:
        return Cells(tuple(items))

    def cell(self, items: list[Any]) -> tuple[dict[str, str], Node]:
        *pairs, value = items
        return dict(pairs), value

    def pair(self, items: list[Any]) -> tuple[str, str]:
        name, label = items
        return str(name), label

    def label(self, items: list[lark.Token]) -> str:
        text = "".join(items)
        if items[0].type != "STRING":
            return text
        if text.endswith(f"\\{text[0]}"):
            message = "expected a label that does not end in a backslash"
            raise FaultError(message, items[0].start_pos or 0)
        return text[1:-1]


def _coordinate(dimension: str | None, value: Node) -> Coordinate:
    if isinstance(value, String):
        return Coordinate(dimension, label=value.value)
    if isinstance(value, Call) and value.arguments is None and value.output is None:
        return Coordinate(dimension, label=value.name)
    return Coordinate(dimension, index=value)
