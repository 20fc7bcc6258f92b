from __future__ import annotations

import pytest

from vespa_colbert.rank.functions import (
    FUNCTIONS,
    NOT_REPRODUCED,
    OPERATOR_ROWS,
    RESERVED,
    SCALARS,
    Function,
)
from vespa_colbert.rank.language.built_ins import BUILT_INS
from vespa_colbert.rank.language.operators import PRECEDENCE

SCALARS_OF_VESPA = {
    *("abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "elu", "exp", "fabs"),
    *("floor", "isNan", "log", "log10", "relu", "round", "sigmoid", "sign", "sin"),
    *("sinh", "square", "sqrt", "tan", "tanh", "erf", "atan2", "fmod", "ldexp", "max"),
    *("min", "pow", "bit", "hamming"),
}
"""The constants of Function in com.yahoo.searchlib.rankingexpression.rule, Vespa 8.700.24."""

TENSOR_FUNCTIONS_OF_VESPA = {
    *("map", "map_subspaces", "filter_subspaces", "cell_order", "top", "reduce", "join"),
    *("merge", "rename", "concat", "l1_normalize", "l2_normalize", "euclidean_distance"),
    *("cosine_similarity", "matmul", "softmax", "xw_plus_b", "argmax", "argmin", "cell_cast"),
    *("expand", "unpack_bits", "avg", "count", "median", "prod", "sum", "if"),
}
"""What RankingExpressionParser.jj knows by name with arguments in parentheses."""


def test_every_function_of_vespa_has_a_row() -> None:
    assert FUNCTIONS.keys() == {*SCALARS_OF_VESPA, *TENSOR_FUNCTIONS_OF_VESPA}
    assert SCALARS.keys() == {*SCALARS_OF_VESPA}
    assert NOT_REPRODUCED.keys() == {"random"}
    assert FUNCTIONS.keys() < RESERVED


def test_the_grammar_and_the_table_of_functions_know_the_same_names() -> None:
    # switch has a grammar of its own, with braces, and is no call.
    assert {*BUILT_INS, "switch"} == RESERVED


def test_every_operator_of_the_grammar_has_a_row() -> None:
    assert OPERATOR_ROWS.keys() == PRECEDENCE.keys()


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=lambda row: row.name)
def test_a_row_says_where_its_behaviour_is_from(row: Function) -> None:
    assert "8.700.24" in row.source
    assert row.signature.startswith(f"{row.name}(tensor")


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("reduce", "reduce(tensor, aggregator, dimension, …)"),
        ("unpack_bits", "unpack_bits(tensor, [cell type], [big or little])"),
        ("join", "join(tensor, tensor, f(x,y)(…))"),
        ("rename", "rename(tensor, (dimension, …), (dimension, …))"),
        ("if", "if(tensor, tensor, tensor, [probability])"),
    ],
)
def test_a_signature_shows_how_a_call_is_written(name: str, signature: str) -> None:
    assert FUNCTIONS[name].signature == signature


@pytest.mark.parametrize(
    ("name", "counts"),
    [("reduce", {2, 3, 9}), ("sum", {1, 2, 9}), ("unpack_bits", {1, 2, 3}), ("if", {3, 4})],
)
def test_how_many_arguments_a_function_takes(name: str, counts: set[int]) -> None:
    assert {count for count in (0, 1, 2, 3, 4, 9) if FUNCTIONS[name].takes(count)} >= counts
    assert not FUNCTIONS[name].takes(0)
