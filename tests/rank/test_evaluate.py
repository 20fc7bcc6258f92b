from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.rank.evaluations import FEATURES, INF, NAN, evaluate, number
from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.functions import NOT_REPRODUCED, RESERVED
from vespa_colbert.rank.language.nodes import Call, Node
from vespa_colbert.rank.language.parser import MAX_NESTING, MAX_OPERANDS, parse_expression
from vespa_colbert.tensor import Tensor


class TestNumbers:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("10-3+2", 9.0),
            ("10-3-2", 5.0),
            ("2^3^2", 512.0),
            ("-2^2", 4.0),
            ("7%4", 3.0),
            ("-7%4", -3.0),
            ("7.5 % -2", 1.5),
            ("2+3*4", 14.0),
            ("8/4/2", 1.0),
            ("6/4*2", 3.0),
            ("1 < 2", 1.0),
            ("2 <= 1", 0.0),
            ("2 >= 2", 1.0),
            ("1 == 1", 1.0),
            ("1 != 1", 0.0),
            ("3 && 0", 0.0),
            ("3 && 0.5", 1.0),
            ("0 || 0", 0.0),
            ("0 || -1", 1.0),
            ("!0", 1.0),
            ("!2", 0.0),
            ("!-2", 0.0),
            ("true + true", 2.0),
            ("1/0", INF),
            ("-1/0", -INF),
            ("3 in [1, 2, 3]", 1.0),
            ("3 in [1, -3]", 0.0),
            ("if(1 > 2, 10, 20)", 20.0),
            ("if(2 > 1, 10, 20, 0.9)", 10.0),
            ("if(0.1, 10, 20)", 10.0),
            ("abs(-2)", 2.0),
            ("fabs(-2)", 2.0),
            ("ceil(1.2)", 2.0),
            ("floor(-1.2)", -2.0),
            ("sqrt(9)", 3.0),
            ("square(-3)", 9.0),
            ("exp(0)", 1.0),
            ("log(1)", 0.0),
            ("log10(1000)", 3.0),
            ("relu(-1)", 0.0),
            ("relu(2)", 2.0),
            ("elu(2)", 2.0),
            ("sigmoid(0)", 0.5),
            ("tanh(0)", 0.0),
            ("sin(0)", 0.0),
            ("cos(0)", 1.0),
            ("isNan(0/0)", 1.0),
            ("isNan(1)", 0.0),
            ("max(2, 3)", 3.0),
            ("min(2, 3)", 2.0),
            ("pow(2, 10)", 1024.0),
            ("fmod(7, 4)", 3.0),
            ("atan2(0, 1)", 0.0),
            ("sum(5)", 5.0),
            ("count(5)", 1.0),
            ("reduce(5, avg)", 5.0),
            ("max(2, 3) * min(4, 5) - -1", 13.0),
        ],
    )
    def test_a_value_computed_by_hand(self, source: str, wanted: float) -> None:
        assert number(source) == wanted

    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("elu(-1)", math.exp(-1) - 1),
            ("sigmoid(2)", 1 / (1 + math.exp(-2))),
            ("log(10)", math.log(10)),
            ("tanh(0.5)", math.tanh(0.5)),
            ("atan2(1, -2)", math.atan2(1, -2)),
        ],
    )
    def test_a_transcendental_function(self, source: str, wanted: float) -> None:
        ulps = 2  # numpy's and the C library's own error bounds
        assert abs(number(source) - wanted) <= ulps * math.ulp(wanted)

    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("x + 1", NAN),
            ("x == x", 0.0),
            ("x != x", 1.0),
            ("x < 1", 0.0),
            ("x >= 1", 0.0),
            ("!x", 0.0),
            ("x && 1", 1.0),
            ("x || 0", 1.0),
            ("if(x, 1, 2)", 1.0),
            ("if(x > 0, 1, 2)", 2.0),
            ("x in [1]", 0.0),
            ("isNan(x)", 1.0),
            ("max(x, 1)", NAN),
            ("max(1, x)", 1.0),
            ("min(1, x)", 1.0),
            ("min(x, 1)", NAN),
            ("relu(x)", NAN),
            ("sum(x)", NAN),
        ],
    )
    def test_not_a_number(self, source: str, wanted: float) -> None:
        got = number(source, x=NAN)
        assert got == wanted or (math.isnan(got) and math.isnan(wanted))

    @pytest.mark.parametrize(
        ("source", "wanted"),
        [("a / b", -INF), ("1 / b", -INF), ("b == 0", 1.0), ("i - i", NAN), ("i * 0", NAN)],
    )
    def test_infinities_and_negative_zero(self, source: str, wanted: float) -> None:
        got = number(source, a=1.0, b=-0.0, i=INF)
        assert got == wanted or (math.isnan(got) and math.isnan(wanted))


class TestNames:
    @pytest.mark.parametrize(
        "source",
        ["nosuch", "query(nosuch)", "foo(1)", "n.out", "n()", "log(n, n)", "sum()"],
    )
    def test_a_name_that_nothing_defines(self, source: str) -> None:
        with pytest.raises(UnknownFeatureError, match="no function, input, field or feature"):
            evaluate(source, FEATURES)

    @pytest.mark.parametrize("name", sorted(NOT_REPRODUCED))
    def test_a_function_that_vespa_has_and_we_have_not(self, name: str) -> None:
        with pytest.raises(UnsupportedFunctionError, match=f"{name} is not reproduced"):
            evaluate(f"{name}(n, n)", FEATURES)
        assert name in RESERVED

    def test_the_branch_not_taken_is_not_evaluated(self) -> None:
        assert evaluate("if(n > 0, n, nosuch)", FEATURES).as_number() == 3.0

    @pytest.mark.parametrize("source", ["x3", "s", "m * 2"])
    def test_a_tensor_is_no_score(self, source: str) -> None:
        with pytest.raises(ExpressionTypeError, match="expected a number for each hit, got tensor"):
            Evaluation(FEATURES.get, 2).scores(parse_expression(source))

    def test_a_number_is_the_score_of_every_document(self) -> None:
        assert Evaluation(FEATURES.get, 3).scores(parse_expression("n + 1")).tolist() == [4, 4, 4]


class TestDepth:
    def test_the_deepest_and_longest_expressions_are_evaluated(self) -> None:
        nested = "if(n,abs(" * (MAX_NESTING // 2 - 1) + "n" + "),0)" * (MAX_NESTING // 2 - 1)
        assert number(nested, n=-2.0) == 2.0
        assert number(" + ".join(["n"] * MAX_OPERANDS), n=1.0) == MAX_OPERANDS

    def test_a_chain_used_twice_is_no_recursion_error(self) -> None:
        chain = "+".join(["n"] * MAX_OPERANDS)
        assert number(f"abs({chain}) - abs({chain})", n=1.0) == 0.0

    def test_what_is_too_deep_for_the_stack_is_an_expression_error(self) -> None:
        node = parse_expression("abs(n)")
        for _ in range(20):
            inner = parse_expression("abs(" * 90 + "n" + ")" * 90)
            node = with_innermost(inner, node)
        with pytest.raises(ExpressionError, match="nested too deeply"):
            Evaluation({"n": Tensor.number(1.0)}.get, 1).scores(node)


def with_innermost(outer: Node, inner: Node) -> Node:
    """Return nested calls with another node in the place of the innermost name."""
    if not isinstance(outer, Call) or not outer.arguments:
        return inner
    return replace(outer, arguments=(with_innermost(outer.arguments[0], inner),))
