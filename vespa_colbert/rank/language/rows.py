"""Operators in a row: a tree of operations as it is written."""

from __future__ import annotations

from vespa_colbert.rank.language.nodes import Node, Operation
from vespa_colbert.rank.language.operators import binds_tighter

__all__ = ["row_of"]


def row_of(node: Operation) -> tuple[list[Node], list[str]]:
    """Return the operands and the operators between them, as Vespa's container writes them.

    An operand that is an operation itself needs parentheses there.
    """
    first, operations = node.chain()
    operands, operators = [first], list[str]()
    for each in operations:
        if isinstance(each.left, Operation) and binds_tighter(each.operator, each.left.operator):
            operands, operators = [each.left], []
        operators.append(each.operator)
        right = each.right
        if isinstance(right, Operation) and binds_tighter(right.operator, each.operator):
            more, between = row_of(right)
            operands += more
            operators += between
        else:
            operands.append(right)
    return operands, operators
