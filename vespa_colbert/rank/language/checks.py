"""What Vespa's classes refuse although its grammar does not: names, counts, scopes of lambdas."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.rank.language.built_ins import is_built_in, operands
from vespa_colbert.rank.language.literals import cell_type
from vespa_colbert.rank.language.nodes import (
    Call,
    Dimensions,
    Generated,
    Lambda,
    Node,
    Operation,
    Slice,
    TensorLiteral,
    children,
)
from vespa_colbert.rank.language.rows import row_of

__all__ = ["fault_of", "free_features"]

MOST_PARAMETERS = {"map": 1, "join": 2, "merge": 2}


def free_features(function: Lambda) -> Iterator[Call]:
    """Yield what a lambda uses and is no parameter of it; Vespa looks into no cell and no index.

    Source: LambdaFunctionNode.FeatureFinder, Vespa 8.700.24.
    """
    waiting: list[tuple[Node, frozenset[str]]] = [(function.body, frozenset())]
    while waiting:
        node, bound = waiting.pop()
        below = children(node)
        if isinstance(node, Call):
            if not is_built_in(node) and _name(node) not in bound.union(function.parameters):
                yield node
            below = below[: operands(node)] if is_built_in(node) else ()
        elif isinstance(node, Slice):
            below = (node.subject,)
        elif isinstance(node, TensorLiteral):
            below = ()
        elif isinstance(node, Generated):
            bound = frozenset(each.name for each in node.type.dimensions)
        waiting.extend((each, bound) for each in below)


def _name(node: Call) -> str | None:
    """Return the name of a feature that has neither arguments nor output."""
    return node.name if not node.arguments and node.output is None else None


def fault_of(call: Call) -> str | None:
    """Return what is wrong with the arguments of a built-in, ``None`` if nothing is."""
    arguments = call.arguments or ()
    last = arguments[-1]
    if isinstance(last, Lambda):
        return _fault_of_lambda(call, last)
    if call.name == "rename":
        return _fault_of_rename(arguments)
    if call.name == "cell_order" and str(last) not in {"max", "min"}:
        return f"expected max or min, got {last}"
    if call.name in {"cell_cast", "unpack_bits"} and len(arguments) > 1:
        try:
            cell_type(str(arguments[1]))
        except ValueError as error:
            return str(error)
    if call.name == "unpack_bits" and len(arguments) > 2 and str(last) not in {"big", "little"}:
        return f"expected big or little, got {last}"
    return None


def _fault_of_rename(arguments: tuple[Node, ...]) -> str | None:
    before, after = (each.names for each in arguments[1:] if isinstance(each, Dimensions))
    if not before or len(before) != len(after):
        return f"expected as many new names as old ones, got {len(before)} and {len(after)}"
    return None


def _fault_of_lambda(call: Call, function: Lambda) -> str | None:
    given = len(function.parameters)
    if call.name not in MOST_PARAMETERS:
        return None if given == 1 else f"expected a function of one parameter, got {given}"
    most = MOST_PARAMETERS[call.name]
    if given > most:
        return f"expected a function of at most {most} parameters, got {given}"
    if most == 2 and given == 1 and _starts_with_two(function):
        return "expected a function of two parameters, got one"
    return None


def _starts_with_two(function: Lambda) -> bool:
    """Return whether two names stand before and after a lambda's first operator.

    Vespa's Java then looks for a second parameter that is not there.

    Source: LambdaFunctionNode.getDirectEvaluator, Vespa 8.700.24.
    """
    if not isinstance(function.body, Operation):
        return False
    row, _ = row_of(function.body)
    return all(isinstance(each, Call) and not is_built_in(each) for each in row[:2])
