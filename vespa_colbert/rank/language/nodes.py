"""The tree of a rank expression: frozen nodes that print themselves in canonical form.

Parsing what a node prints gives the node again; ``vespa_text`` prints what Vespa's Java prints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from vespa_colbert.rank.language.operators import binds_tighter, is_ambiguous
from vespa_colbert.rank.language.tensor_nodes import Generated, LiteralCell, Pattern, TensorLiteral
from vespa_colbert.rank.language.words import is_identifier, output_text, quoted, unquoted

__all__ = [
    "Call",
    "Case",
    "Coordinate",
    "Dimensions",
    "Embraced",
    "Generated",
    "Lambda",
    "LiteralCell",
    "Membership",
    "Negative",
    "Node",
    "Not",
    "Number",
    "Operation",
    "Pattern",
    "Slice",
    "String",
    "Switch",
    "TensorLiteral",
    "children",
    "shortened",
]


ANY_ALL = ("||", "&&")

SHOWN = 120
"""Characters of an expression that a message shows."""


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

    @property
    def value(self) -> str:
        """What the string stands for, without quotes and escapes."""
        return unquoted(self.text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Call:
    """A name with or without arguments: a built-in, a function of the profile, or a feature.

    The arguments of a built-in are written as Vespa's grammar has them: a name of a dimension, an
    aggregator or a cell type is a ``Call`` without arguments, a list of dimensions ``Dimensions``,
    a function literal ``Lambda``. A built-in's name with other arguments, such as ``log(a, b)``,
    is a feature of that name.

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
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        """Return the hash, computed once: every evaluation asks for those of all calls."""
        if self._hash == 0:
            object.__setattr__(self, "_hash", hash((self.name, self.arguments, self.output)))
        return self._hash

    def __str__(self) -> str:
        listed = "" if self.arguments is None else f"({', '.join(map(str, self.arguments))})"
        return self.name + listed + output_text(self.output)

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
        function: The function of the profile whose call was here; it makes no other expression.
    """

    inner: Node
    stands_for: str | None = None
    function: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"({self.inner})"


@dataclass(frozen=True, slots=True)
class Negative:
    """The negative of an expression."""

    inner: Node

    def __str__(self) -> str:
        kinds = Operation | Membership | Not | Negative | Slice | Number
        return f"-({self.inner})" if isinstance(self.inner, kinds) else f"-{self.inner}"


@dataclass(frozen=True, slots=True)
class Not:
    """1 where the expression is 0, else 0."""

    inner: Node

    def __str__(self) -> str:
        is_loose = isinstance(self.inner, Operation | Membership | Not)
        return f"!({self.inner})" if is_loose else f"!{self.inner}"


@dataclass(frozen=True, slots=True)
class Membership:
    """1 where the value equals one of the list: ``x in [1, 2]``."""

    value: Node
    members: tuple[Node, ...]

    def __str__(self) -> str:
        value = str(self.value)
        if isinstance(self.value, Membership) or getattr(self.value, "operator", "") in ANY_ALL:
            value = f"({value})"
        return f"{value} in [{', '.join(map(str, self.members))}]"


@dataclass(frozen=True, slots=True)
class Lambda:
    """A function literal: ``f(x,y)(x * y)``; only ever an argument of a built-in."""

    parameters: tuple[str, ...]
    body: Node

    def __str__(self) -> str:
        return f"f({','.join(self.parameters)})({self.body})"


@dataclass(frozen=True, slots=True)
class Dimensions:
    """A list of dimensions in parentheses, as ``rename`` has them: ``(a, b)``."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """Where a slice cuts one dimension: at a label that is written out, or at a computed index.

    Attributes:
        dimension: Its name; ``None`` in a short form: ``t{label}`` cuts the one mapped dimension,
            ``t[index]`` the one indexed dimension.
        label: The label, if one is written out.
        index: An expression for the index or, in a mapped dimension, for the number that is the
            label; given if and only if ``label`` is not.
    """

    dimension: str | None
    label: str | None = None
    index: Node | None = None

    def __str__(self) -> str:
        if self.label is not None:
            text = self.label
            if not is_identifier(text) or text in {"true", "false"}:
                text = quoted(text)
        else:
            text = str(self.index)
            # A bare name or string would be read as a label.
            is_name = isinstance(self.index, Call) and is_identifier(text)
            if self.dimension and (is_name or isinstance(self.index, String)):
                text = f"({text})"
        return text if self.dimension is None else f"{self.dimension}:{text}"


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a tensor: ``t{label}``, ``t[expression]``, ``t{x:label, y:(expression)}``.

    Attributes:
        subject: The tensor.
        coordinates: One or more, each with its dimension; or a single one without.
        position: Where the bracket stands in the source, characters from 0.
    """

    subject: Node
    coordinates: tuple[Coordinate, ...]
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        is_loose = isinstance(self.subject, Operation | Membership | Not | Slice)
        subject = f"({self.subject})" if is_loose else str(self.subject)
        first = self.coordinates[0]
        if first.dimension is None and first.index is not None:
            return f"{subject}[{first}]"
        return f"{subject}{{{', '.join(map(str, self.coordinates))}}}"


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a switch: its result counts where the subject equals its value."""

    value: Node
    result: Node


@dataclass(frozen=True, slots=True)
class Switch:
    """``switch(subject) { case value: result, default: otherwise }``; the first equal case counts.

    Attributes:
        subject: What the cases are compared with.
        cases: One or more.
        default: The result if no case is equal.
        position: Where it stands in the source, characters from 0.
    """

    subject: Node
    cases: tuple[Case, ...]
    default: Node
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        cases = "".join(f"case {case.value}: {case.result}, " for case in self.cases)
        return f"switch({self.subject}) {{ {cases}default: {self.default} }}"


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below a node, in the order they are written."""
    match node:
        case Call():
            found = node.arguments or ()
        case Operation():
            found = node.left, node.right
        case Embraced() | Negative() | Not():
            found = (node.inner,)
        case Membership():
            found = node.value, *node.members
        case Slice():
            found = node.subject, *(each.index for each in node.coordinates if each.index)
        case TensorLiteral():
            found = tuple(cell.value for cell in node.cells)
        case Switch():
            cases = (part for case in node.cases for part in (case.value, case.result))
            found = node.subject, *cases, node.default
        case Lambda() | Generated():
            found = (node.body,)
        case _:
            found = ()
    return found


def shortened(node: Node) -> str:
    """Return an expression for a message: its beginning where it is long."""
    text = str(node)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


Leaf: TypeAlias = Number | String | Dimensions | Pattern
Wrapper: TypeAlias = Embraced | Negative | Not | Lambda | Generated
Node: TypeAlias = Leaf | Wrapper | Call | Operation | Membership | Slice | TensorLiteral | Switch
