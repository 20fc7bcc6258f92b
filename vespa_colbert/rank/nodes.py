"""The tree of a rank expression: frozen nodes that print themselves in canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "PRECEDENCE",
    "Call",
    "Embraced",
    "Lambda",
    "Membership",
    "Negative",
    "Node",
    "Not",
    "Number",
    "Operation",
    "String",
    "binds_tighter",
    "children",
    "is_ambiguous",
]

PRECEDENCE = {
    operator: level
    for level, operator in enumerate((
        "||",
        "&&",
        ">=",
        ">",
        "<=",
        "<",
        "~=",
        "!=",
        "==",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
    ))
}
"""Every operator has a level of its own, the later the tighter; ``^`` alone groups to the right.

Source: com.yahoo.searchlib.rankingexpression.rule.Operator, Vespa 8.700.24.
"""


SERVED_PRECEDENCE = {
    operator: level
    for level, operators in enumerate((
        ("||",),
        ("&&",),
        (">=", ">", "<=", "<", "~=", "!=", "=="),
        ("+", "-"),
        "*/%",
        "^",
    ))
    for operator in operators
}
"""Operators as the content nodes group them, which get the expression as text.

Source: operator_nodes.h in eval, Vespa 8.700.24.
"""

SAME_VALUE = (frozenset("+-"), frozenset("*/"))
"""Operators that may be grouped either way: ``a + (b - c)`` differs from ``(a + b) - c`` by no more
than rounding."""


def binds_tighter(operator: str, before: str, levels: Mapping[str, int] = PRECEDENCE) -> bool:
    """Return whether an operator takes what is between it and the one before it."""
    if levels[operator] == levels[before]:
        return operator == "^"
    return levels[operator] > levels[before]


def is_ambiguous(before: str, operator: str) -> bool:
    """Return whether Vespa's container and its content nodes compute two values of a chain."""
    differs = binds_tighter(operator, before) != binds_tighter(operator, before, SERVED_PRECEDENCE)
    return differs and not any({before, operator} <= each for each in SAME_VALUE)


@dataclass(frozen=True, slots=True)
class Number:
    """A constant, kept as written: ``0.5``, ``true``."""

    text: str
    value: float

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class String:
    """A quoted string, as feature arguments have it; ``text`` includes the quotes."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Call:
    """A name with or without arguments: a built-in, a function of the profile, or a feature.

    Attributes:
        name: ``sum``, ``max_sim``, ``attribute``.
        arguments: ``None`` where there were no parentheses, which is not the same as ``()``.
        output: What follows a dot after the parentheses.
        position: Where it stands in the source, characters from 0.
    """

    name: str
    arguments: tuple[Node, ...] | None = None
    output: str | None = None
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        listed = "" if self.arguments is None else f"({', '.join(map(str, self.arguments))})"
        return self.name + listed + ("" if self.output is None else f".{self.output}")

    @property
    def feature_name(self) -> str:
        """The name as a rank feature: arguments joined by a comma without blanks."""
        listed = "" if self.arguments is None else f"({','.join(map(str, self.arguments))})"
        return self.name + listed + ("" if self.output is None else f".{self.output}")


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """Two operands and an operator."""

    left: Node
    operator: str
    right: Node

    def chain(self) -> tuple[Node, tuple[Operation, ...]]:
        """Return the leftmost operand and the operations on it, innermost first.

        A chain of operators is long and not deep: nothing recurses along it.
        """
        operations = [self]
        while isinstance(left := operations[-1].left, Operation):
            operations.append(left)
        return left, tuple(reversed(operations))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operation) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def _parts(self) -> tuple[Node, tuple[tuple[str, Node], ...]]:
        first, operations = self.chain()
        return first, tuple((each.operator, each.right) for each in operations)

    def __str__(self) -> str:
        first, operations = self.chain()
        text = f"({first})" if operations[0]._embraces(first) else str(first)
        for each in operations:
            if each is not operations[0] and each._embraces(each.left):
                text = f"({text})"
            right = str(each.right)
            right = f"({right})" if each._embraces(each.right, right=True) else right
            text = f"{text} {each.operator} {right}"
        return text

    def _embraces(self, side: Node, *, right: bool = False) -> bool:
        """Return whether a side needs parentheses to be read as it is."""
        if not isinstance(side, Operation):
            return isinstance(side, Membership)
        before, after = self.operator, side.operator
        if not right:
            before, after = after, before
        return is_ambiguous(before, after) or binds_tighter(after, before) != right


@dataclass(frozen=True, slots=True)
class Embraced:
    """An expression in parentheses; kept so that printing does not change what was written.

    Attributes:
        inner: The expression.
        stands_for: The function of the profile whose call was here, if it had no arguments.
    """

    inner: Node
    stands_for: str | None = None

    def __str__(self) -> str:
        return f"({self.inner})"


@dataclass(frozen=True, slots=True)
class Negative:
    """The negative of an expression."""

    inner: Node

    def __str__(self) -> str:
        return f"-{self.inner}"


@dataclass(frozen=True, slots=True)
class Not:
    """1 where the expression is 0, else 0."""

    inner: Node

    def __str__(self) -> str:
        return f"!{self.inner}"


@dataclass(frozen=True, slots=True)
class Membership:
    """1 where the value equals one of the list: ``x in [1, 2]``."""

    value: Node
    members: tuple[Node, ...]

    def __str__(self) -> str:
        return f"{self.value} in [{', '.join(map(str, self.members))}]"


@dataclass(frozen=True, slots=True)
class Lambda:
    """A function literal: ``f(x,y)(x * y)``."""

    parameters: tuple[str, ...]
    body: Node

    def __str__(self) -> str:
        return f"f({','.join(self.parameters)})({self.body})"


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below a node, in the order they are written."""
    if isinstance(node, Call):
        return node.arguments or ()
    if isinstance(node, Operation):
        return node.left, node.right
    if isinstance(node, Embraced | Negative | Not):
        return (node.inner,)
    if isinstance(node, Membership):
        return node.value, *node.members
    return (node.body,) if isinstance(node, Lambda) else ()


Node: TypeAlias = (
    Number | String | Call | Operation | Embraced | Negative | Not | Membership | Lambda
)
