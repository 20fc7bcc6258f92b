"""Functions of a rank profile, put in the place of their calls.

Expanded trees make kernels visible: a MaxSim is recognised whether it was written in one line or
spread over five functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vespa_colbert.errors import ExpressionError, ExpressionTypeError
from vespa_colbert.rank.functions import FUNCTIONS, RESERVED, SCALARS, Parameter
from vespa_colbert.rank.language.nodes import (
    Call,
    Dimensions,
    Embraced,
    Generated,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Operation,
    Slice,
    Switch,
    TensorLiteral,
    children,
)

__all__ = ["FunctionBody", "calls", "expand", "is_bare", "plain"]

VALUES = {
    Parameter.TENSOR,
    Parameter.CELL_FUNCTION,
    Parameter.PAIR_FUNCTION,
    Parameter.SUBSPACE_FUNCTION,
}

TAKES_NAMES = {"attribute", "constant", "query"}
"""Features whose arguments are names of fields, constants and inputs, never functions.

Source: FeatureNames.isSimpleFeature and ReferenceNode.toString, Vespa 8.700.24.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionBody:
    """A function of a rank profile.

    Attributes:
        parameters: Names that calls replace.
        body: Its expression.
    """

    parameters: tuple[str, ...]
    body: Node


def plain(node: Node) -> Node:
    """Return the node without the parentheses around it."""
    while isinstance(node, Embraced):
        node = node.inner
    return node


def calls(node: Node) -> list[Call]:
    """Return every call of a tree, also those inside the arguments of others."""
    found, waiting = list[Call](), [node]
    while waiting:
        each = waiting.pop()
        waiting.extend(reversed(children(each)))
        if isinstance(each, Call):
            found.append(each)
    return found


def expand(
    node: Node, functions: Mapping[str, FunctionBody], entered: tuple[str, ...] = ()
) -> Node:
    """Return the tree with every call of a profile function replaced by its body.

    Names that Vespa's grammar reserves stay what they are: built-ins with their arguments, names
    of dimensions, aggregators and cell types, and everything inside a lambda. Functions of cells
    alone, such as ``log``, give way to a function of the profile with as many arguments.

    Args:
        node: The tree.
        functions: Name → function.
        entered: Functions that the tree is inside of.

    Raises:
        ExpressionTypeError: If a function is called with another number of arguments.
        ExpressionError: If a function calls itself, or all is nested too deeply.
    """
    try:
        return _expanded(node, functions, entered)
    except RecursionError:
        raise ExpressionError("functions and expressions are nested too deeply") from None


def _expanded(node: Node, functions: Mapping[str, FunctionBody], entered: tuple[str, ...]) -> Node:
    """Return the tree with every call replaced.

    Raises:
        ExpressionError: If a function calls itself.
    """
    if isinstance(node, Lambda):
        return node
    if isinstance(node, Call) and node.name in TAKES_NAMES and node.name not in functions:
        return node
    if isinstance(node, Generated):
        names = node.type.indexed
        functions = {name: each for name, each in functions.items() if name not in names}
    if not isinstance(node, Call) or not _is_profile_call(node, functions):
        return _with_children(node, lambda child: _expanded(child, functions, entered))
    if node.name in entered:
        cycle = " → ".join((*entered, node.name))
        raise ExpressionError(f"function {node.name} calls itself: {cycle}")
    body = _bound(node, functions[node.name], lambda each: _expanded(each, functions, entered))
    inner = _expanded(body, functions, (*entered, node.name))
    return Embraced(inner, node.name if node.arguments is None else None, node.name)


def _is_profile_call(node: Call, functions: Mapping[str, FunctionBody]) -> bool:
    if node.output is not None or node.name not in functions:
        return False
    if not node.arguments or node.name not in RESERVED:
        return True
    arity = SCALARS.get(node.name)
    return arity == len(node.arguments) == len(functions[node.name].parameters)


def _bound(node: Call, function: FunctionBody, change: Callable[[Node], Node]) -> Node:
    """Return a function's body with the arguments of a call in it.

    Raises:
        ExpressionTypeError: If their number is another.
    """
    given = node.arguments or ()
    if len(given) != len(function.parameters):
        raise ExpressionTypeError(
            f"function {node.name}: expected {len(function.parameters)} arguments "
            f"({', '.join(function.parameters)}), got {len(given)}"
        )
    arguments = zip(function.parameters, map(change, given), strict=True)
    return _substitute(function.body, dict(arguments))


def _substitute(node: Node, arguments: Mapping[str, Node]) -> Node:
    """Return the tree with parameters replaced, also in features, but not in lambdas."""
    if not arguments or isinstance(node, Lambda):
        return node
    if isinstance(node, Call) and node.name in arguments and is_bare(node):
        given = plain(arguments[node.name])
        return given if isinstance(given, Call) else Embraced(given)
    if isinstance(node, Call) and node.arguments:
        replaced = tuple(_substitute(each, arguments) for each in node.arguments)
        return replace(node, arguments=replaced)
    if isinstance(node, Dimensions):
        return Dimensions(tuple(_name_for(name, arguments) for name in node.names))
    if isinstance(node, Generated):
        arguments = {
            name: each for name, each in arguments.items() if name not in node.type.indexed
        }
    return _with_children(node, lambda child: _substitute(child, arguments))


def _name_for(name: str, arguments: Mapping[str, Node]) -> str:
    given = plain(arguments[name]) if name in arguments else None
    return given.name if isinstance(given, Call) and is_bare(given) else name


def is_bare(node: Node) -> bool:
    """Return whether a node is a name and nothing else."""
    return isinstance(node, Call) and node.arguments is None and node.output is None


def _is_word(name: str, place: int) -> bool:
    """Return whether an argument names a dimension, an aggregator or a cell type.

    In ``max(a, x)`` it is not one: what x means there is decided by the type of a.
    """
    if (row := FUNCTIONS.get(name)) is None or place == 0:
        return False
    return row.parameters[min(place, len(row.parameters) - 1)] not in VALUES


def _with_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return the node with ``change`` applied to each child that is an expression."""
    if isinstance(node, Call) and node.arguments:
        changed = (
            each if _is_word(node.name, place) and is_bare(each) else change(each)
            for place, each in enumerate(node.arguments)
        )
        return replace(node, arguments=tuple(changed))
    if isinstance(node, Operation):
        return _chain(node, change)
    if isinstance(node, Embraced | Negative | Not):
        return replace(node, inner=change(node.inner))
    if isinstance(node, Membership):
        members = tuple(change(child) for child in node.members)
        return Membership(change(node.value), members)
    if isinstance(node, Lambda | Generated):
        return replace(node, body=change(node.body))
    return _with_parts(node, change)


def _with_parts(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return a slice, a literal or a switch with ``change`` applied to its expressions."""
    if isinstance(node, Slice):
        coordinates = tuple(
            each if each.index is None else replace(each, index=change(each.index))
            for each in node.coordinates
        )
        return replace(node, subject=change(node.subject), coordinates=coordinates)
    if isinstance(node, TensorLiteral):
        cells = tuple(replace(cell, value=change(cell.value)) for cell in node.cells)
        return replace(node, cells=cells)
    if isinstance(node, Switch):
        cases = tuple(
            replace(case, value=change(case.value), result=change(case.result))
            for case in node.cases
        )
        return replace(
            node, subject=change(node.subject), cases=cases, default=change(node.default)
        )
    return node


def _chain(node: Operation, change: Callable[[Node], Node]) -> Node:
    """Return a chain of operators with ``change`` applied to its operands."""
    first, operations = node.chain()
    changed = change(first)
    for each in operations:
        changed = Operation(changed, each.operator, change(each.right))
    return changed
