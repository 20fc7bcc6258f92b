"""The functions of single cells: what each computes, element by element, in double.

Where Vespa's container (Java) and its content nodes (C++) differ, the content nodes are followed:
they compute the first two phases. docs/expression-differences.md lists the cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINARY", "OPERATORS", "UNARY", "Scalar"]

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


FUNCTION = "Function in rankingexpression.rule and operation.cpp in eval, Vespa 8.700.24"
CONTAINER = "Function in rankingexpression.rule, Vespa 8.700.24; the content nodes have none"
OPERATOR = "Operator and operation.cpp in eval, Vespa 8.700.24"

LONG_RANGE = 2.0**63
INT_RANGE = 2.0**31
EXPONENTS = 5_000


def _truth(compute: Callable[[Cells, Cells], Cells]) -> Callable[[Cells, Cells], Cells]:
    """Return a comparison that gives 1.0 and 0.0."""
    return lambda left, right: np.asarray(compute(left, right), np.float64)


def _larger(left: Cells, right: Cells) -> Cells:
    return np.where(left < right, right, left)  # the left one if they do not compare


def _smaller(left: Cells, right: Cells) -> Cells:
    return np.where(right < left, right, left)


def _rounded(values: Cells) -> Cells:
    """Return the nearest whole number, halves up, within the range of Java's long."""
    below = np.floor(values)
    whole = below + (values - below >= 0.5)
    return np.asarray(np.clip(np.nan_to_num(whole, nan=0.0), -LONG_RANGE, LONG_RANGE))


def _octets(values: Cells) -> NDArray[np.uint8]:
    """Return values cut to integers of 8 bits, as x86 and ARM processors do; NaN gives 0."""
    inside = np.abs(values) < INT_RANGE
    whole: NDArray[np.int64] = np.where(inside, values, 0.0).astype(np.int64)
    return whole.astype(np.uint8)


def _bit(values: Cells, places: Cells) -> Cells:
    inside = (places > -1) & (places < 8)
    shift: NDArray[np.uint8] = np.where(inside, places, 0.0).astype(np.uint8)
    bits = np.right_shift(_octets(values), shift) & np.uint8(1)
    found: Cells = np.where(inside, bits, 0).astype(np.float64)
    return found


def _hamming(left: Cells, right: Cells) -> Cells:
    distances: NDArray[np.uint8] = np.bitwise_count(_octets(left) ^ _octets(right))
    return distances.astype(np.float64)


def _scaled(values: Cells, exponents: Cells) -> Cells:
    """Return ``values * 2 ** exponents``, the exponents cut to integers."""
    whole = np.trunc(np.nan_to_num(exponents, nan=-EXPONENTS))
    # Beyond a few thousand every result is 0 or infinite.
    scaled: Cells = np.ldexp(values, np.clip(whole, -EXPONENTS, EXPONENTS).astype(np.int64))
    return scaled


def _about_equal(left: Cells, right: Cells) -> Cells:
    """Return 1 where two values are equal to about the precision of a float.

    Source: approx.h in vespalib, Vespa 8.700.24.
    """
    one = np.float32(1.0)
    ratio = np.nextafter((right / left).astype(np.float32), one) == one
    near = left.astype(np.float32)
    beside = near == np.nextafter(right.astype(np.float32), near)
    is_large = (left > 1.0) | (left < -1.0)
    return np.asarray((left == right) | np.where(is_large, ratio, beside), np.float64)


_erf = np.frompyfunc(math.erf, 1, 1)

UNARY = {
    row.name: row
    for row in (
        Scalar("abs", np.abs, CONTAINER),
        Scalar("acos", np.arccos, FUNCTION),
        Scalar("asin", np.arcsin, FUNCTION),
        Scalar("atan", np.arctan, FUNCTION),
        Scalar("ceil", np.ceil, FUNCTION),
        Scalar("cos", np.cos, FUNCTION),
        Scalar("cosh", np.cosh, FUNCTION),
        Scalar("elu", lambda x: np.where(x < 0, np.exp(x) - 1, x), FUNCTION),
        Scalar("erf", lambda x: np.asarray(_erf(x), np.float64), FUNCTION),
        Scalar("exp", np.exp, FUNCTION),
        Scalar("fabs", np.abs, FUNCTION),
        Scalar("floor", np.floor, FUNCTION),
        Scalar("isNan", lambda x: np.isnan(x).astype(np.float64), FUNCTION),
        Scalar("log", np.log, FUNCTION),
        Scalar("log10", np.log10, FUNCTION),
        Scalar("relu", lambda x: np.where(x < 0, 0.0, x), FUNCTION),
        Scalar("round", _rounded, CONTAINER),
        Scalar("sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x)), FUNCTION),
        Scalar("sign", lambda x: np.where(x >= 0, 1.0, -1.0), CONTAINER),
        Scalar("sin", np.sin, FUNCTION),
        Scalar("sinh", np.sinh, FUNCTION),
        Scalar("sqrt", np.sqrt, FUNCTION),
        Scalar("square", np.square, CONTAINER),
        Scalar("tan", np.tan, FUNCTION),
        Scalar("tanh", np.tanh, FUNCTION),
    )
}
"""Functions of one argument, applied to every cell."""

BINARY = {
    row.name: row
    for row in (
        Scalar("atan2", np.arctan2, FUNCTION),
        Scalar("bit", _bit, FUNCTION),
        Scalar("fmod", np.fmod, FUNCTION),
        Scalar("hamming", _hamming, FUNCTION),
        Scalar("ldexp", _scaled, FUNCTION),
        Scalar("max", _larger, FUNCTION),
        Scalar("min", _smaller, FUNCTION),
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
        Scalar("~=", _about_equal, OPERATOR),
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
"""Operators between two values, joined."""
