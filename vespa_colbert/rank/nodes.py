"""The tree of a rank expression: frozen nodes that print themselves in canonical form."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Operation:
    """Two operands and an operator."""

    left: Node
    operator: str
    right: Node

    def __str__(self) -> str:
        return f"{self._side(self.left)} {self.operator} {self._side(self.right, right=True)}"

    def _side(self, side: Node, *, right: bool = False) -> str:
        if not isinstance(side, Operation):
            return str(side)
        own, other = PRECEDENCE[self.operator], PRECEDENCE[side.operator]
        tighter = other > own or (other == own and right == (self.operator == "^"))
        return str(side) if tighter else f"({side})"


@dataclass(frozen=True, slots=True)
class Embraced:
    """An expression in parentheses; kept so that printing does not change what was written."""

    inner: Node

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


Node: TypeAlias = (
    Number | String | Call | Operation | Embraced | Negative | Not | Membership | Lambda
)
