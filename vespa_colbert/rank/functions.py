"""The built-in functions of rank expressions: one table, a row a function.

A row says how many arguments there are and what computes the cells; a name that Vespa has and this
table lacks raises, it never scores 0.

Where Vespa's container (Java) and its content nodes (C++) differ, the content nodes are followed:
they compute the first two phases.

- Java takes the operands of a comparison or a power the wrong way round if a number is on the left
  and a tensor, or a reduction to a number, on the right: ``1 < sum(a)`` is ``sum(a) < 1`` there.
- Java cannot divide a number by a tensor.
- A power of 1 is 1; in Java it is NaN if the exponent is NaN or infinite.
- In Java ``true in [5]`` is true.
- ``max`` and ``min`` of two values give NaN if one is NaN. Vespa gives one of the two, and not the
  same one in C++ and in Java.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINARY", "NOT_REPRODUCED", "OPERATORS", "RESERVED", "SCALARS", "UNARY", "Scalar"]

Cells: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A function of cells.

    Attributes:
        name: As written in an expression.
        compute: Function of one or two float64 arrays, element by element.
        source: Where its behaviour is taken from.
    """

    name: str
    compute: Callable[..., Cells]
    source: str


FUNCTION = "Function, Vespa 8.700.24"
OPERATOR = "Operator and DoubleCompatibleValue, Vespa 8.700.24"


def _truth(compute: Callable[[Cells, Cells], Cells]) -> Callable[[Cells, Cells], Cells]:
    """Return a comparison that gives 1.0 and 0.0."""
    return lambda left, right: compute(left, right).astype(np.float64)


UNARY = {
    row.name: row
    for row in (
        Scalar("abs", np.abs, FUNCTION),
        Scalar("ceil", np.ceil, FUNCTION),
        Scalar("cos", np.cos, FUNCTION),
        Scalar("elu", lambda x: np.where(x < 0, np.exp(x) - 1, x), FUNCTION),
        Scalar("exp", np.exp, FUNCTION),
        Scalar("fabs", np.abs, FUNCTION),
        Scalar("floor", np.floor, FUNCTION),
        Scalar("isNan", lambda x: np.isnan(x).astype(np.float64), FUNCTION),
        Scalar("log", np.log, FUNCTION),
        Scalar("log10", np.log10, FUNCTION),
        Scalar("relu", lambda x: np.maximum(x, 0.0), FUNCTION),
        Scalar("sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x)), FUNCTION),
        Scalar("sin", np.sin, FUNCTION),
        Scalar("sqrt", np.sqrt, FUNCTION),
        Scalar("square", np.square, FUNCTION),
        Scalar("tanh", np.tanh, FUNCTION),
    )
}
"""Functions of one argument, applied to every cell."""

BINARY = {
    row.name: row
    for row in (
        Scalar("atan2", np.arctan2, FUNCTION),
        Scalar("fmod", np.fmod, FUNCTION),
        Scalar("max", np.maximum, FUNCTION),
        Scalar("min", np.minimum, FUNCTION),
        Scalar("pow", np.power, FUNCTION),
    )
}
"""Functions of two arguments, joined."""

OPERATORS = {
    row.name: row
    for row in (
        Scalar("||", _truth(lambda x, y: (x != 0) | (y != 0)), OPERATOR),
        Scalar("&&", _truth(lambda x, y: (x != 0) & (y != 0)), OPERATOR),
        Scalar(">=", _truth(lambda x, y: x >= y), OPERATOR),
        Scalar(">", _truth(lambda x, y: x > y), OPERATOR),
        Scalar("<=", _truth(lambda x, y: x <= y), OPERATOR),
        Scalar("<", _truth(lambda x, y: x < y), OPERATOR),
        Scalar("!=", _truth(lambda x, y: x != y), OPERATOR),
        Scalar("==", _truth(lambda x, y: x == y), OPERATOR),
        Scalar("+", np.add, OPERATOR),
        Scalar("-", np.subtract, OPERATOR),
        Scalar("*", np.multiply, OPERATOR),
        Scalar("/", np.divide, OPERATOR),
        Scalar("%", np.fmod, OPERATOR),
        Scalar("^", np.power, OPERATOR),
    )
}
"""Operators between two values, joined; ``~=`` is not reproduced."""

# fmt: off
SCALARS = dict.fromkeys((*BINARY, "ldexp", "bit", "hamming"), 2) | dict.fromkeys(
    (*UNARY, "acos", "asin", "atan", "cosh", "round", "sign", "sinh", "tan", "erf"), 1
)
"""Every function of one or two cells that Vespa has → how many arguments it takes.

A function of the profile with that name and number of arguments takes its place.

Source: Function and FunctionShadower, Vespa 8.700.24.
"""

NOT_REPRODUCED = frozenset(SCALARS.keys() - UNARY.keys() - BINARY.keys()) | {
    "map_subspaces", "filter_subspaces", "cell_order", "top", "merge", "rename",
    "concat", "tensor", "range", "diag", "random", "l1_normalize", "euclidean_distance",
    "cosine_similarity", "l2_normalize", "matmul", "softmax", "xw_plus_b", "argmax", "argmin",
    "expand", "switch",
}
"""Names that Vespa's language has and this evaluator does not know yet."""

RESERVED = frozenset(SCALARS) | NOT_REPRODUCED | {
    "avg", "count", "median", "prod", "sum", "reduce", "map", "join", "if", "cell_cast",
    "unpack_bits",
}
"""Names that Vespa's grammar knows, if they have arguments."""
# fmt: on
