"""The operators of rank expressions, as Vespa's container and as its content nodes group them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PRECEDENCE", "binds_tighter", "is_ambiguous"]

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
