"""Tree → type of its value, without a value: the rules of the table, applied from the leaves up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.rank.algebra import rules
from vespa_colbert.rank.arguments import Reader, as_choices, coordinates
from vespa_colbert.rank.expand import is_bare, plain
from vespa_colbert.rank.functions import FUNCTIONS, NOT_REPRODUCED
from vespa_colbert.rank.language.nodes import (
    Call,
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
    shortened,
)
from vespa_colbert.rank.shapes import as_short_reduction
from vespa_colbert.tensor import CellType, TensorType

__all__ = ["NUMBER", "ResultTypes", "refuse_unknown", "require_indexed"]

NUMBER = TensorType(CellType.DOUBLE)


@dataclass(slots=True)
class ResultTypes:
    """The types of expanded trees.

    Attributes:
        features: Feature name → its type, or ``None`` where there is no such feature.
        inputs_first: Whether x in ``max(a, x)`` is a feature if there is one of that name, as in an
            expression by itself, and not a dimension of a, as in a schema.
    """

    features: Callable[[str], TensorType | None]
    inputs_first: bool = False
    _known: dict[Node, TensorType] = field(default_factory=dict, init=False)

    def of(self, node: Node) -> TensorType:
        """Return the type of a tree.

        Raises:
            ExpressionTypeError: If types do not fit an operation.
            UnknownFeatureError: If nothing defines a name.
            UnsupportedFunctionError: If Vespa has a function that is not reproduced.
        """
        return self._type(node, {}, closed=False)

    def of_function(self, function: Lambda, parameter: TensorType) -> TensorType:
        """Return the type that a function literal of one parameter gives."""
        return self._body(function)(parameter)

    def _type(self, node: Node, names: Mapping[str, TensorType], *, closed: bool) -> TensorType:
        inner = plain(node)
        try:
            if names:
                return self._compute(inner, names, closed=closed)
            if inner not in self._known:
                self._known[inner] = self._compute(inner, names, closed=closed)
            return self._known[inner]
        except ExpressionError as error:
            _add_place(error, node)
            raise

    def _compute(self, node: Node, names: Mapping[str, TensorType], *, closed: bool) -> TensorType:
        """Return the type of a node that is not known yet."""

        def of(each: Node) -> TensorType:
            return self._type(each, names, closed=closed)

        if isinstance(node, Number | String):
            return NUMBER
        if isinstance(node, Call):
            return self._call(node, names, closed=closed)
        if isinstance(node, Operation):
            first, operations = node.chain()
            return functools.reduce(
                rules.join_type, (of(each.right) for each in operations), of(first)
            )
        if isinstance(node, Negative | Not | Membership):
            inner = node.value if isinstance(node, Membership) else node.inner
            return rules.map_type(of(inner))
        if isinstance(node, Slice | Switch):
            return _sliced(node, of) if isinstance(node, Slice) else of(as_choices(node))
        return self._tensor(node, names, closed=closed)

    def _tensor(self, node: Node, names: Mapping[str, TensorType], *, closed: bool) -> TensorType:
        """Return the type that a node states.

        Raises:
            ExpressionTypeError: If it states none.
        """
        if isinstance(node, TensorLiteral):
            for cell in node.cells:
                _require_number(self._type(cell.value, names, closed=closed), f"{node.type}: cell")
            return node.type
        if isinstance(node, Generated | Pattern):
            require_indexed(node)
        if isinstance(node, Generated):
            inner = {**names, **dict.fromkeys(node.type.indexed, NUMBER)}
            _require_number(self._type(node.body, inner, closed=closed), f"{node.type}: cell")
        if isinstance(node, Generated | Pattern):
            return node.type
        raise ExpressionTypeError(f"{node}: expected a value")

    def _call(self, node: Call, names: Mapping[str, TensorType], *, closed: bool) -> TensorType:
        """Return the type of a name with or without arguments.

        Raises:
            ExpressionTypeError: If a lambda uses anything but its parameters.
            UnknownFeatureError: If nothing defines it.
        """
        if node.name in names and is_bare(node):
            return names[node.name]
        if node.arguments and node.output is None:
            if (short := as_short_reduction(node)) is not None:
                inner = self._type(short.argument, names, closed=closed)
                (name,) = short.dimensions
                is_input = self.inputs_first and (name in names or self.features(name) is not None)
                if inner.dimension(name) is not None and not is_input:
                    return rules.reduce_type(inner, short.dimensions)
            row = FUNCTIONS.get(node.name)
            if row is not None and row.takes(len(node.arguments)):
                reader = Reader(
                    lambda each: self._type(each, names, closed=closed), self._cells, self._body
                )
                return row.rule(*reader.operands(row, node.arguments))
        if closed:
            raise ExpressionTypeError(f"{node}: a lambda sees only its own parameters")
        found = self.features(node.feature_name)
        if found is None:
            refuse_unknown(node)
            raise UnknownFeatureError(
                f"{node.feature_name}: no function, input, field or feature has this name"
            )
        return found

    def _cells(self, function: Lambda) -> None:
        names = dict.fromkeys(function.parameters, NUMBER)
        _require_number(self._type(function.body, names, closed=True), f"{function}: as result")

    def _body(self, function: Lambda) -> Callable[[TensorType], TensorType]:
        (name,) = function.parameters
        return lambda kind: self._type(function.body, {name: kind}, closed=True)


def _add_place(error: ExpressionError, node: Node) -> None:
    """Add to an error the innermost expression whose types do not fit, and the functions it is in.

    A function that was called from another stands inside of it.
    """
    inner = plain(node)
    is_first = not getattr(error, "__notes__", ())
    if isinstance(error, ExpressionTypeError) and is_first and shortened(inner) not in str(error):
        error.add_note(shortened(inner))
    functions = []
    while isinstance(node, Embraced):
        functions.append(node.function)
        node = node.inner
    for name in reversed(functions):
        if name is not None:
            error.add_note(f"function {name}")


def _sliced(node: Slice, of: Callable[[Node], TensorType]) -> TensorType:
    kind = of(node.subject)
    places = coordinates(node, kind)
    for place in places.values():
        if not isinstance(place, str):
            _require_number(of(place), f"{node}: as index")
    return rules.peek_type(kind, list(places))


def refuse_unknown(node: Call) -> None:
    """Return nothing if Vespa has no function of that name that is not reproduced.

    Raises:
        UnsupportedFunctionError: If it has one; the message says why it is not reproduced.
    """
    if node.arguments and node.name in NOT_REPRODUCED:
        reason = NOT_REPRODUCED[node.name]
        raise UnsupportedFunctionError(f"{node}: {node.name} is not reproduced: {reason}")


def _require_number(kind: TensorType, what: str) -> None:
    """Return nothing if a type is that of a number.

    Raises:
        ExpressionTypeError: If not.
    """
    if not kind.is_number:
        raise ExpressionTypeError(f"{what} expected a number, got {kind}")


def require_indexed(node: Generated | Pattern) -> None:
    """Return nothing if a tensor can be made from its indexes.

    Raises:
        ExpressionTypeError: If a dimension has labels, or there are too many cells.
    """
    if node.type.mapped:
        raise ExpressionTypeError(f"{node}: expected indexed dimensions only, got {node.type}")
    rules.require_size(node.type, str(node))
