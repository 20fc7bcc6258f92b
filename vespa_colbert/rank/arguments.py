"""The arguments of a call, read as the parameters of its function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vespa_colbert.errors import ExpressionTypeError
from vespa_colbert.rank.algebra import AGGREGATORS
from vespa_colbert.rank.expand import plain
from vespa_colbert.rank.functions import Function, Parameter
from vespa_colbert.rank.language.nodes import (
    Call,
    Coordinate,
    Dimensions,
    Lambda,
    Node,
    Number,
    Operation,
    Slice,
    Switch,
)
from vespa_colbert.tensor import CellType, TensorType

__all__ = ["Reader", "as_choices", "coordinates"]

V = TypeVar("V")

WORDS: dict[Parameter, tuple[str, ...]] = {
    Parameter.AGGREGATOR: tuple(AGGREGATORS),
    Parameter.CELL_ORDER: ("max", "min"),
    Parameter.BIT_ORDER: ("big", "little"),
}
LAMBDAS = {
    Parameter.CELL_FUNCTION: 1,
    Parameter.PAIR_FUNCTION: 2,
    Parameter.SUBSPACE_FUNCTION: 1,
}


@dataclass(frozen=True, slots=True)
class Reader(Generic[V]):
    """What becomes of arguments that are expressions: values or types.

    Attributes:
        value: Of an expression.
        cells: Of a function of cells.
        subspaces: Of a function of dense subspaces.
    """

    value: Callable[[Node], V]
    cells: Callable[[Lambda], Any]
    subspaces: Callable[[Lambda], Any]

    def operands(self, row: Function, arguments: tuple[Node, ...]) -> list[Any]:
        """Return the arguments of a call as the function's rule and kernel take them."""
        found: list[Any] = []
        for place, parameter in enumerate(row.parameters):
            if parameter is Parameter.DIMENSIONS:
                found.append(tuple(_name(each, row.name) for each in arguments[place:]))
            elif place < len(arguments):
                found.append(self._operand(parameter, arguments[place], row.name))
        return found

    def _operand(self, parameter: Parameter, argument: Node, name: str) -> Any:
        if parameter is Parameter.TENSOR:
            return self.value(argument)
        if parameter in LAMBDAS:
            function = _lambda(argument, LAMBDAS[parameter], name)
            is_dense = parameter is Parameter.SUBSPACE_FUNCTION
            return self.subspaces(function) if is_dense else self.cells(function)
        if parameter is Parameter.NAMES:
            given = plain(argument)
            return given.names if isinstance(given, Dimensions) else (_name(given, name),)
        if parameter is Parameter.PROBABILITY:
            return _probability(argument)
        word = _name(argument, name)
        if parameter is Parameter.CELL_TYPE:
            return _cell_type(word, name)
        if parameter in WORDS and word not in WORDS[parameter]:
            raise ExpressionTypeError(
                f"{name}: expected one of {', '.join(WORDS[parameter])}, got {word}"
            )
        return word


def _name(node: Node, function: str) -> str:
    """Return the word that a node is.

    Raises:
        ExpressionTypeError: If it is something else.
    """
    node = plain(node)
    if isinstance(node, Call) and node.arguments is None and node.output is None:
        return node.name
    if isinstance(node, Number):
        return node.text
    raise ExpressionTypeError(f"{function}: expected a name, got {node}")


def _lambda(node: Node, parameters: int, function: str) -> Lambda:
    """Return the node if it is a function literal with that many parameters.

    Raises:
        ExpressionTypeError: If not.
    """
    if not isinstance(node, Lambda) or len(node.parameters) != parameters:
        raise ExpressionTypeError(
            f"{function}: expected a function of {parameters}, as in f(x)(x * 2), got {node}"
        )
    return node


def _cell_type(word: str, function: str) -> CellType:
    """Return the cell type that a word spells.

    Raises:
        ExpressionTypeError: If it spells none.
    """
    try:
        return CellType(word)
    except ValueError:
        known = ", ".join(each.value for each in CellType)
        raise ExpressionTypeError(
            f"{function}: expected a cell type among {known}, got {word}"
        ) from None


def _probability(node: Node) -> float:
    """Return the probability that an ``if`` states.

    Raises:
        ExpressionTypeError: If it is no number.
    """
    node = plain(node)
    if not isinstance(node, Number):
        raise ExpressionTypeError(f"if: expected a number as probability, got {node}")
    return node.value


def as_choices(node: Switch) -> Node:
    """Return a switch as an ``if`` in an ``if``.

    Source: SwitchNode, Vespa 8.700.24.
    """
    chosen = node.default
    for case in reversed(node.cases):
        chosen = Call("if", (Operation(node.subject, "==", case.value), case.result, chosen))
    return chosen


def coordinates(node: Slice, kind: TensorType) -> Mapping[str, str | Node]:
    """Return dimension → label or index written out, or the expression of one.

    Args:
        node: A slice.
        kind: The type of what it cuts, as Vespa sees it.

    Raises:
        ExpressionTypeError: If a dimension is not there, named twice or has no such index, or a
            short form does not say which dimension is meant.

    Source: Slice, Vespa 8.700.24, and TensorPeek in NodeTypes in eval.
    """
    places: dict[str, str | Node] = {}
    for each in node.coordinates:
        name = each.dimension or _only_dimension(node, each, kind)
        found = kind.dimension(name)
        if found is None or name in places:
            raise ExpressionTypeError(f"{node}: expected each dimension of {kind} once, got {name}")
        place = each.label if each.index is None else _written(each.index)
        if found.size is not None and isinstance(place, str):
            _require_index(place, found.size, node, name)
        places[name] = each.index if place is None and each.index is not None else place or ""
    return places


def _only_dimension(node: Slice, coordinate: Coordinate, kind: TensorType) -> str:
    """Return the dimension that a short form means: the only one, mapped or indexed as it says.

    Raises:
        ExpressionTypeError: If there are others: Vespa cannot send such a form to content nodes.
    """
    names = kind.mapped if coordinate.index is None else kind.indexed
    if len(names) != 1 or len(kind.dimensions) != 1:
        form = "mapped" if coordinate.index is None else "indexed"
        raise ExpressionTypeError(
            f"{node}: expected one dimension, {form}, got {kind}; name it, as in t{{x:1}}"
        )
    return names[0]


def _written(index: Node) -> str | None:
    """Return a whole number that is written out as its digits, or ``None``."""
    if isinstance(index, Number) and index.value.is_integer():
        return str(int(index.value))
    return None


def _require_index(place: str, size: int, node: Slice, name: str) -> None:
    """Return nothing if a text is an index below a size.

    Raises:
        ExpressionTypeError: If not.
    """
    if not (place.isascii() and place.isdigit()) or int(place) >= size:
        raise ExpressionTypeError(
            f"{node}: expected an index of {name} from 0 to {size - 1}, got {place}"
        )
