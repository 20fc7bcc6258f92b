"""Functions of a rank profile, put in the place of their calls.

Expanded trees make kernels visible: a MaxSim is recognised whether it was written in one line or
spread over five functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vespa_colbert.errors import ExpressionError, ExpressionTypeError
from vespa_colbert.rank.algebra import AGGREGATORS
from vespa_colbert.rank.functions import BINARY, RESERVED, SCALARS
from vespa_colbert.rank.nodes import (
    Call,
    Embraced,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Operation,
    children,
)

__all__ = ["FunctionBody", "calls", "expand", "is_bare", "plain"]

TAKES_WORDS = {*AGGREGATORS, "reduce", "cell_cast", "unpack_bits"} - BINARY.keys()
"""Functions whose arguments from the second on are names of dimensions, aggregators, cell types.

``max`` and ``min`` are not among them: what a name means there is decided by its first argument.
"""

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
    if not isinstance(node, Call) or not _is_profile_call(node, functions):
        return _with_children(node, lambda child: _expanded(child, functions, entered))
    if node.name in entered:
        cycle = " → ".join((*entered, node.name))
        raise ExpressionError(f"function {node.name} calls itself: {cycle}")
    body = _bound(node, functions[node.name], lambda each: _expanded(each, functions, entered))
    inner = _expanded(body, functions, (*entered, node.name))
    return Embraced(inner, node.name if node.arguments is None else None)


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
    return _with_children(node, lambda child: _substitute(child, arguments))


def is_bare(node: Node) -> bool:
    """Return whether a node is a name and nothing else."""
    return isinstance(node, Call) and node.arguments is None and node.output is None


def _with_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return the node with ``change`` applied to each child that is an expression."""
    if isinstance(node, Call) and node.arguments:
        words = node.name in TAKES_WORDS
        first, *rest = node.arguments
        changed = (each if words and is_bare(each) else change(each) for each in rest)
        return replace(node, arguments=(change(first), *changed))
    if isinstance(node, Operation):
        return _chain(node, change)
    if isinstance(node, Embraced | Negative | Not):
        return replace(node, inner=change(node.inner))
    if isinstance(node, Membership):
        members = tuple(change(child) for child in node.members)
        return Membership(change(node.value), members)
    if isinstance(node, Lambda):
        return replace(node, body=change(node.body))
    return node


def _chain(node: Operation, change: Callable[[Node], Node]) -> Node:
    """Return a chain of operators with ``change`` applied to its operands."""
    first, operations = node.chain()
    changed = change(first)
    for each in operations:
        changed = Operation(changed, each.operator, change(each.right))
    return changed
