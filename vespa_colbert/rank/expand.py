"""Functions of a rank profile, put in the place of their calls.

Expanded trees make kernels visible: a MaxSim is recognised whether it was written in one line or
spread over five functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vespa_colbert.errors import ExpressionError, ExpressionTypeError
from vespa_colbert.rank.nodes import (
    Call,
    Embraced,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Operation,
)

__all__ = ["MAX_DEPTH", "FunctionBody", "calls", "expand", "plain"]

MAX_DEPTH = 100
"""Functions that may call each other in a row; more is taken for a cycle."""


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
    found = [node] if isinstance(node, Call) else []

    def visit(child: Node) -> Node:
        found.extend(calls(child))
        return child

    _with_children(node, visit)
    return found


def expand(node: Node, functions: Mapping[str, FunctionBody], depth: int = 0) -> Node:
    """Return the tree with every call of a profile function replaced by its body.

    Args:
        node: The tree.
        functions: Name → function.
        depth: Functions already entered.

    Raises:
        ExpressionTypeError: If a function is called with another number of arguments.
        ExpressionError: If functions call each other without end.
    """
    if depth > MAX_DEPTH:
        raise ExpressionError(f"functions call each other more than {MAX_DEPTH} deep: a cycle?")
    if isinstance(node, Call) and node.name in functions and node.output is None:
        function, given = functions[node.name], node.arguments or ()
        if len(given) != len(function.parameters):
            raise ExpressionTypeError(
                f"function {node.name}: expected {len(function.parameters)} arguments "
                f"({', '.join(function.parameters)}), got {len(given)}"
            )
        arguments = dict(zip(function.parameters, given, strict=True))
        return Embraced(expand(_substitute(function.body, arguments), functions, depth + 1))
    return _with_children(node, lambda child: expand(child, functions, depth))


def _substitute(node: Node, arguments: Mapping[str, Node]) -> Node:
    """Return the tree with parameters replaced, also inside the arguments of features."""
    if not arguments:
        return node
    if isinstance(node, Call) and node.arguments is None and node.name in arguments:
        given = plain(arguments[node.name])
        return given if isinstance(given, Call) else Embraced(given)
    if isinstance(node, Lambda):
        hidden = {name: arguments[name] for name in arguments if name not in node.parameters}
        return replace(node, body=_substitute(node.body, hidden))
    return _with_children(node, lambda child: _substitute(child, arguments))


def _with_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return the node with ``change`` applied to each child."""
    if isinstance(node, Call) and node.arguments:
        return replace(node, arguments=tuple(change(child) for child in node.arguments))
    if isinstance(node, Operation):
        return replace(node, left=change(node.left), right=change(node.right))
    if isinstance(node, Embraced | Negative | Not):
        return replace(node, inner=change(node.inner))
    if isinstance(node, Membership):
        members = tuple(change(child) for child in node.members)
        return Membership(change(node.value), members)
    if isinstance(node, Lambda):
        return replace(node, body=change(node.body))
    return node
