"""The built-in functions of Vespa's grammar: their names, and what each takes."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.rank.language.nodes import Call

__all__ = ["BUILT_INS", "SHAPES", "Shape", "is_built_in", "operands"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a built-in takes.

    Attributes:
        operands: How many expressions come first; names, lists of them and lambdas follow.
        least: Fewest arguments, all counted.
        most: Most arguments, ``None`` if there is no limit.
    """

    operands: int
    least: int
    most: int | None

    def takes(self, arguments: int) -> bool:
        """Return whether that many arguments fit."""
        return self.least <= arguments and (self.most is None or arguments <= self.most)


SHAPES = {
    "VALUE_FUNCTION": Shape(1, 1, 1),
    "PAIR_FUNCTION": Shape(2, 2, 2),
    "LARGEST": Shape(2, 2, 2),
    "REDUCTION": Shape(1, 1, None),
    "REDUCE": Shape(1, 2, None),
    "MAP": Shape(1, 2, 2),
    "JOIN": Shape(2, 3, 3),
    "RENAME": Shape(1, 3, 3),
    "CONCAT": Shape(2, 3, 3),
    "CELL_ORDER": Shape(1, 2, 2),
    "NAMED_FUNCTION": Shape(1, 2, 2),
    "NAMED_PAIR_FUNCTION": Shape(2, 3, 3),
    "XW_PLUS_B": Shape(3, 4, 4),
    "UNPACK_BITS": Shape(1, 1, 3),
    "IF": Shape(3, 3, 4),
}
"""Terminal of ``grammar.lark`` → what it takes."""

ONE_CELL = (
    "abs acos asin atan ceil cos cosh elu erf exp fabs floor isNan log log10 relu round sigmoid "
    "sign sin sinh sqrt square tan tanh"
)
BUILT_INS = {
    **dict.fromkeys(ONE_CELL.split(), "VALUE_FUNCTION"),
    **dict.fromkeys(("atan2", "bit", "fmod", "hamming", "ldexp", "pow", "top"), "PAIR_FUNCTION"),
    **dict.fromkeys(("max", "min"), "LARGEST"),
    **dict.fromkeys(("avg", "count", "median", "prod", "sum", "argmax", "argmin"), "REDUCTION"),
    **dict.fromkeys(
        ("l1_normalize", "l2_normalize", "softmax", "expand", "cell_cast"), "NAMED_FUNCTION"
    ),
    **dict.fromkeys(("matmul", "euclidean_distance", "cosine_similarity"), "NAMED_PAIR_FUNCTION"),
    **dict.fromkeys(("map", "map_subspaces", "filter_subspaces"), "MAP"),
    **dict.fromkeys(("join", "merge"), "JOIN"),
    **dict.fromkeys(("range", "diag", "random"), "PATTERN"),
    "tensor": "TENSOR",
    "if": "IF",
    "reduce": "REDUCE",
    "rename": "RENAME",
    "concat": "CONCAT",
    "cell_order": "CELL_ORDER",
    "xw_plus_b": "XW_PLUS_B",
    "unpack_bits": "UNPACK_BITS",
}
"""Name of a built-in function → the terminal of ``grammar.lark`` that says what it takes.

Source: RankingExpressionParser.jj, Vespa 8.700.24.
"""


def is_built_in(call: Call) -> bool:
    """Return whether a call that was parsed is one of a built-in; ``log(a, b)`` is a feature."""
    shape = SHAPES.get(BUILT_INS.get(call.name, ""))
    return bool(
        shape and call.arguments and call.output is None and shape.takes(len(call.arguments))
    )


def operands(call: Call) -> int:
    """Return how many arguments of a built-in, from the first on, are expressions."""
    return SHAPES[BUILT_INS[call.name]].operands
