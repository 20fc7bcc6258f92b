from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from vespa_colbert.errors import (
    ArrayError,
    ExpressionError,
    ExpressionSyntaxError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.evaluate import Evaluation, batch_numbers
from vespa_colbert.rank.functions import NOT_REPRODUCED, RESERVED
from vespa_colbert.rank.language.nodes import Call, Node
from vespa_colbert.rank.language.parser import MAX_NESTING, MAX_OPERANDS, parse_expression
from vespa_colbert.rank.result_types import ResultTypes
from vespa_colbert.tensor import Tensor, TensorType

NAN, INF = float("nan"), float("inf")


def tensor(kind: str, cells: object) -> Tensor:
    """Return a tensor from nested lists, or from labels → nested lists where one is mapped."""
    tensor_type = TensorType.parse(kind)
    if isinstance(cells, dict):
        keys = {key if isinstance(key, tuple) else (key,): value for key, value in cells.items()}
        return Tensor.from_subspaces(tensor_type, keys)
    return Tensor.dense(tensor_type, np.array(cells))


def evaluate(source: str, features: Mapping[str, Tensor] | None = None) -> Tensor:
    run = Evaluation((features or {}).get, 1)
    return run.value(parse_expression(source), {})


def number(source: str, **features: float) -> float:
    values = {name: Tensor.number(value) for name, value in features.items()}
    return evaluate(source, values).as_number()


FEATURES = {
    "n": Tensor.number(3.0),
    "x3": tensor("tensor(x[3])", [1.0, 2.0, 3.0]),
    "f3": tensor("tensor<float>(x[3])", [1.0, 2.0, 3.0]),
    "i3": tensor("tensor<int8>(x[3])", [1, -2, 3]),
    "b3": tensor("tensor<bfloat16>(x[3])", [1.0, 1.0078125, 3.0]),
    "y2": tensor("tensor<float>(y[2])", [10.0, 20.0]),
    "xy": tensor("tensor<float>(x[3],y[2])", [[1, 2], [3, 4], [5, 6]]),
    "s": tensor("tensor(s{})", {"a": 1.0, "b": 2.0}),
    "s2": tensor("tensor<float>(s{})", {"b": 10.0, "c": 20.0}),
    "t": tensor("tensor(t{})", {"b": 5.0}),
    "m": tensor("tensor<float>(s{},x[3])", {"a": [1, 2, 3], "b": [4, 5, 6]}),
    "none": tensor("tensor<float>(s{},x[3])", {}),
    "st": tensor("tensor(s{},t{})", {("a", "p"): 1.0, ("a", "q"): 2.0, ("b", "q"): 3.0}),
    "i2": tensor("tensor<int8>(d{},x[2])", {"0": [-127, 3]}),
}


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


class TestJoin:
    @pytest.mark.parametrize(
        ("source", "kind", "cells"),
        [
            ("x3 * 2", "tensor(x[3])", [2, 4, 6]),
            ("10 - x3", "tensor(x[3])", [9, 8, 7]),
            ("6 / f3", "tensor<float>(x[3])", [6, 3, 2]),
            ("2 ^ x3", "tensor(x[3])", [2, 4, 8]),
            ("2 > x3", "tensor(x[3])", [1, 0, 0]),
            ("x3 >= f3", "tensor(x[3])", [1, 1, 1]),
            ("f3 * f3", "tensor<float>(x[3])", [1, 4, 9]),
            ("x3 - f3", "tensor(x[3])", [0, 0, 0]),
            ("i3 + i3", "tensor<float>(x[3])", [2, -4, 6]),
            ("i3 * x3", "tensor(x[3])", [1, -4, 9]),
            ("b3 + b3", "tensor<float>(x[3])", [2, 2.015625, 6]),
            ("f3 * y2", "tensor<float>(x[3],y[2])", [[10, 20], [20, 40], [30, 60]]),
            ("xy - f3", "tensor<float>(x[3],y[2])", [[0, 1], [1, 2], [2, 3]]),
            ("y2 - xy", "tensor<float>(x[3],y[2])", [[9, 18], [7, 16], [5, 14]]),
            ("s + s", "tensor(s{})", {"a": 2, "b": 4}),
            ("s * s2", "tensor(s{})", {"b": 20}),
            ("s2 - s", "tensor(s{})", {"b": 8}),
            ("s * t", "tensor(s{},t{})", {("a", "b"): 5, ("b", "b"): 10}),
            ("m * f3", "tensor<float>(s{},x[3])", {"a": [1, 4, 9], "b": [4, 10, 18]}),
            ("m - s", "tensor(s{},x[3])", {"a": [0, 1, 2], "b": [2, 3, 4]}),
            ("m * s2", "tensor<float>(s{},x[3])", {"b": [40, 50, 60]}),
            ("s2 * x3", "tensor(s{},x[3])", {"b": [10, 20, 30], "c": [20, 40, 60]}),
            ("st * s", "tensor(s{},t{})", {("a", "p"): 1, ("a", "q"): 2, ("b", "q"): 6}),
            ("m + none", "tensor<float>(s{},x[3])", {}),
            ("none * 2", "tensor<float>(s{},x[3])", {}),
            ("max(x3, 2)", "tensor(x[3])", [2, 2, 3]),
            ("min(f3, i3)", "tensor<float>(x[3])", [1, -2, 3]),
            ("pow(x3, 2)", "tensor(x[3])", [1, 4, 9]),
            ("join(x3, f3, f(a,b)(a * 10 + b))", "tensor(x[3])", [11, 22, 33]),
            ("join(n, f3, f(a,b)(if(a > b, a, -b)))", "tensor<float>(x[3])", [3, 3, -3]),
        ],
    )
    def test_cells_that_agree_on_shared_dimensions_meet(
        self, source: str, kind: str, cells: object
    ) -> None:
        assert evaluate(source, FEATURES) == tensor(kind, cells)

    def test_float_cells_are_computed_in_double_and_rounded_once(self) -> None:
        third = tensor("tensor<float>(x[1])", [1 / 3])
        exact = float(np.float32(1 / 3)) * float(np.float32(1 / 3))
        assert evaluate("a * a", {"a": third}).values[0, 0] == np.float32(exact)

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ("tensor(x[3])", "tensor(x[4])"),
            ("tensor(x[3])", "tensor(x{})"),
            ("tensor(s{},x[3])", "tensor(s[2])"),
        ],
    )
    def test_dimensions_that_do_not_fit_are_refused(self, left: str, right: str) -> None:
        features = {
            "a": Tensor.empty(TensorType.parse(left)),
            "b": Tensor.empty(TensorType.parse(right)),
        }
        with pytest.raises(ExpressionTypeError, match="cannot join"):
            evaluate("a * b", features)


class TestReduce:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("sum(x3)", 6.0),
            ("reduce(x3, sum)", 6.0),
            ("reduce(x3, avg, x)", 2.0),
            ("prod(x3)", 6.0),
            ("count(xy)", 6.0),
            ("median(x3)", 2.0),
            ("median(xy)", 3.5),
            ("reduce(i3, max)", 3.0),
            ("reduce(i3, min, x)", -2.0),
            ("max(i3, x)", 3.0),
            ("min(i3, x)", -2.0),
            ("sum(m)", 21.0),
            ("sum(m, s, x)", 21.0),
            ("reduce(m, avg, x, s)", 3.5),
            ("sum(s)", 3.0),
            ("sum(none)", 0.0),
            ("count(none)", 0.0),
            ("reduce(none, max)", 0.0),
            ("reduce(none, min, s, x)", 0.0),
            ("prod(none)", 0.0),
            ("avg(none)", 0.0),
            ("median(none)", 0.0),
            ("sum(sum(m, x), s)", 21.0),
            ("sum(reduce(sum(m * f3, x), max, s))", 32.0),
        ],
    )
    def test_to_a_number(self, source: str, wanted: float) -> None:
        assert evaluate(source, FEATURES).as_number() == wanted

    @pytest.mark.parametrize(
        ("source", "kind", "cells"),
        [
            ("sum(xy, x)", "tensor<float>(y[2])", [9, 12]),
            ("sum(xy, y)", "tensor<float>(x[3])", [3, 7, 11]),
            ("reduce(xy, max, y)", "tensor<float>(x[3])", [2, 4, 6]),
            ("max(xy, x)", "tensor<float>(y[2])", [5, 6]),
            ("avg(xy, x)", "tensor<float>(y[2])", [3, 4]),
            ("median(xy, x)", "tensor<float>(y[2])", [3, 4]),
            ("count(xy, y)", "tensor<float>(x[3])", [2, 2, 2]),
            ("prod(xy, y)", "tensor<float>(x[3])", [2, 12, 30]),
            ("sum(m, s)", "tensor<float>(x[3])", [5, 7, 9]),
            ("sum(m, x)", "tensor<float>(s{})", {"a": 6, "b": 15}),
            ("median(m, s)", "tensor<float>(x[3])", [2.5, 3.5, 4.5]),
            ("reduce(st, max, t)", "tensor(s{})", {"a": 2, "b": 3}),
            ("reduce(st, count, s)", "tensor(t{})", {"p": 1, "q": 2}),
            ("sum(none, s)", "tensor<float>(x[3])", [0, 0, 0]),
            ("reduce(none, max, s)", "tensor<float>(x[3])", [0, 0, 0]),
            ("sum(none, x)", "tensor<float>(s{})", {}),
            ("sum(i2, d)", "tensor<float>(x[2])", [-127, 3]),
            ("sum(x3, x) * f3", "tensor<float>(x[3])", [6, 12, 18]),
        ],
    )
    def test_to_a_smaller_tensor(self, source: str, kind: str, cells: object) -> None:
        assert evaluate(source, FEATURES) == tensor(kind, cells)

    @pytest.mark.parametrize(
        ("cells", "largest", "smallest"),
        [
            ([1, NAN, 2], 2.0, 1.0),
            ([NAN, -3], -3.0, -3.0),
            ([NAN, NAN], -INF, INF),
            ([NAN, INF, -INF], INF, -INF),
        ],
    )
    def test_nan_is_neither_largest_nor_smallest(
        self, cells: list[float], largest: float, smallest: float
    ) -> None:
        features = {"a": tensor(f"tensor(x[{len(cells)}])", cells)}
        assert evaluate("reduce(a, max)", features).as_number() == largest
        assert evaluate("reduce(a, min)", features).as_number() == smallest

    @pytest.mark.parametrize("aggregator", ["sum", "avg", "prod", "median"])
    def test_nan_makes_everything_else_nan(self, aggregator: str) -> None:
        features = {"a": tensor("tensor(x[3])", [1, NAN, INF])}
        assert math.isnan(evaluate(f"reduce(a, {aggregator})", features).as_number())

    @pytest.mark.parametrize("source", ["sum(x3, y)", "reduce(m, max, x, qt)", "sum(n, x)"])
    def test_a_dimension_that_is_not_there_is_refused(self, source: str) -> None:
        with pytest.raises(ExpressionTypeError, match="reduce: expected dimensions of"):
            evaluate(source, FEATURES)

    def test_a_dimension_named_twice_is_refused(self) -> None:
        with pytest.raises(ExpressionTypeError, match="occurs twice"):
            evaluate("reduce(m, sum, x, x)", FEATURES)

    @pytest.mark.parametrize("source", ["max(x3)", "max(m, x, s)", "min(m)"])
    def test_max_and_min_take_two_arguments_as_in_vespas_grammar(self, source: str) -> None:
        with pytest.raises(ExpressionSyntaxError):
            evaluate(source, FEATURES)

    def test_a_name_in_max_is_a_feature_if_it_is_no_dimension(self) -> None:
        assert evaluate("max(x3, n)", FEATURES) == tensor("tensor(x[3])", [3, 3, 3])


class TestMapAndCasts:
    @pytest.mark.parametrize(
        ("source", "kind", "cells"),
        [
            ("map(x3, f(a)(a * a))", "tensor(x[3])", [1, 4, 9]),
            ("map(i3, f(a)(a + 0.5))", "tensor<float>(x[3])", [1.5, -1.5, 3.5]),
            ("map(s, f(x)(if(x > 1, 100, x)))", "tensor(s{})", {"a": 1, "b": 100}),
            ("map(s, f(x)(x in [2]))", "tensor(s{})", {"a": 0, "b": 1}),
            ("map(f3, f(x)(7))", "tensor<float>(x[3])", [7, 7, 7]),
            ("map(x3, f(x)(sum(x)))", "tensor(x[3])", [1, 2, 3]),
            ("map(x3, f(x)(count(x)))", "tensor(x[3])", [1, 1, 1]),
            ("map(x3, f(x)(max(x, 2) - !x))", "tensor(x[3])", [2, 2, 3]),
            ("map(none, f(x)(x + 1))", "tensor<float>(s{},x[3])", {}),
            ("-i3", "tensor<float>(x[3])", [-1, 2, -3]),
            ("!f3", "tensor<float>(x[3])", [0, 0, 0]),
            ("abs(i3)", "tensor<float>(x[3])", [1, 2, 3]),
            ("x3 in [1, 3]", "tensor(x[3])", [1, 0, 1]),
            ("cell_cast(x3, float)", "tensor<float>(x[3])", [1, 2, 3]),
            ("cell_cast(i3, double)", "tensor(x[3])", [1, -2, 3]),
            ("cell_cast(i3, int8)", "tensor<int8>(x[3])", [1, -2, 3]),
            ("cell_cast(b3 * 1.004, bfloat16)", "tensor<bfloat16>(x[3])", [1, 1.0078125, 3]),
            (
                "cell_cast(m, bfloat16)",
                "tensor<bfloat16>(s{},x[3])",
                {"a": [1, 2, 3], "b": [4, 5, 6]},
            ),
            (
                "unpack_bits(i2)",
                "tensor<float>(d{},x[16])",
                {"0": [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]},
            ),
            (
                "unpack_bits(i2, double, big)",
                "tensor(d{},x[16])",
                {"0": [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]},
            ),
        ],
    )
    def test_cells_by_hand(self, source: str, kind: str, cells: object) -> None:
        assert evaluate(source, FEATURES) == tensor(kind, cells)

    def test_a_double_too_large_for_a_float_becomes_infinite(self) -> None:
        assert number("a * 10", a=1e308) == INF
        features = {"a": tensor("tensor(x[1])", [1e300])}
        for cells in ("float", "bfloat16"):
            assert evaluate(f"cell_cast(a, {cells})", features).values[0, 0] == INF

    @pytest.mark.parametrize(
        ("source", "error", "message"),
        [
            (
                "cell_cast(n, float)",
                ExpressionTypeError,
                "a number cannot have cells of type float",
            ),
            ("cell_cast(x3 * 1e10, int8)", ArrayError, "expected less than 2147483648"),
            ("unpack_bits(x3)", ExpressionTypeError, "expected int8 cells"),
            ("join(x3, x3, f(a)(a))", ExpressionTypeError, r"expected a function of 2"),
            ("join(x3, x3, f(a,b)(tensor(x[2])(x)))", ExpressionTypeError, "expected a number"),
            ("f(a)(a)(b)", ExpressionError, "expected"),
            ("if(x3, 1, 2)", ExpressionTypeError, "x3: expected a number"),
            ("n in [1, n]", UnsupportedFunctionError, "only constants are reproduced as members"),
            ("random(x[3])", UnsupportedFunctionError, "other numbers every time"),
            ("x3{y:1}", ExpressionTypeError, "expected each dimension of"),
            ("x3{x:3}", ExpressionTypeError, "an index of x from 0 to 2, got 3"),
            ("x3{x:a}", ExpressionTypeError, "an index of x from 0 to 2, got a"),
            ("m{s:a,s:b}", ExpressionTypeError, "each dimension of .* once, got s"),
            ("x3{x:(x3)}", ExpressionTypeError, "expected a number"),
            ("m[0]", ExpressionTypeError, "expected one dimension, indexed"),
            ("m{a}", ExpressionTypeError, "expected one dimension, mapped"),
            ("st{a}", ExpressionTypeError, "expected one dimension, mapped"),
            ("rename(x3, y, z)", ExpressionTypeError, "rename: expected dimensions"),
            ("rename(xy, x, y)", ExpressionTypeError, "two dimensions .* would have one name"),
            ("concat(s, s, s)", ExpressionTypeError, "concat: s is a mapped dimension"),
            ("merge(x3, s, f(a,b)(a))", ExpressionTypeError, "expected the same dimensions"),
            ("top(1, x3)", ExpressionTypeError, "top: expected mapped dimensions only"),
            ("top(x3, s)", ExpressionTypeError, "top: expected a number of cells"),
            ("cosine_similarity(s, s, s)", ExpressionTypeError, "with one size on both sides"),
            ("euclidean_distance(x3, y2, x)", ExpressionTypeError, "with one size on both sides"),
            ("map_subspaces(m, f(a)(tensor(s{}):{a:1}))", ExpressionTypeError, "mapped dimensions"),
            ("map_subspaces(m, f(a)(tensor(s[2])(s)))", ExpressionTypeError, "dimension s already"),
            ("filter_subspaces(x3, f(a)(a))", ExpressionTypeError, "expected a mapped dimension"),
            ("tensor(x[2])(x3)", ExpressionTypeError, "x3: expected a number"),
            ("tensor(x[99999],y[99999])(x)", ExpressionTypeError, "expected at most 134217728"),
            ("tensor(x[2]):[1, x3]", ExpressionTypeError, "x3: expected a number"),
            ("expand(x3, x)", ExpressionTypeError, "cannot join"),
        ],
    )
    def test_what_is_not_computed_says_so(
        self, source: str, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            evaluate(source, FEATURES)


class TestTensors:
    @pytest.mark.parametrize(
        ("source", "kind", "cells"),
        [
            ("merge(s, s2, f(a,b)(a - b))", "tensor(s{})", {"a": 1, "b": -8, "c": 20}),
            ("merge(x3, f3, f(a,b)(a + b))", "tensor(x[3])", [2, 4, 6]),
            ("rename(xy, x, z)", "tensor<float>(y[2],z[3])", [[1, 3, 5], [2, 4, 6]]),
            ("rename(i2, (d, x), (x, d))", "tensor<int8>(x{},d[2])", {"0": [-127, 3]}),
            ("concat(x3, n, x)", "tensor(x[4])", [1, 2, 3, 3]),
            ("concat(i3, b3, x)", "tensor<float>(x[6])", [1, -2, 3, 1, 1.0078125, 3]),
            ("concat(i3, i3, y)", "tensor<int8>(x[3],y[2])", [[1, 1], [-2, -2], [3, 3]]),
            ("concat(1, 2, z)", "tensor(z[2])", [1, 2]),
            ("concat(s, t, x)", "tensor(s{},t{},x[2])", {("a", "b"): [1, 5], ("b", "b"): [2, 5]}),
            ("concat(xy, y2, x)", "tensor<float>(x[4],y[2])", [[1, 2], [3, 4], [5, 6], [10, 20]]),
            ("m{s:a}", "tensor<float>(x[3])", [1, 2, 3]),
            ("m{s:nosuch}", "tensor<float>(x[3])", [0, 0, 0]),
            ("st{t:q}", "tensor(s{})", {"a": 2, "b": 3}),
            ("st{t:nosuch}", "tensor(s{})", {}),
            ("i2{d:(n - 3)}", "tensor<int8>(x[2])", [-127, 3]),
            ("i2{d:(n)}", "tensor<int8>(x[2])", [0, 0]),
            ("xy{x:(n)}", "tensor<float>(y[2])", [0, 0]),
            ("xy{x:(n - 1.5)}", "tensor<float>(y[2])", [3, 4]),
            ("m{x:(n)}", "tensor<float>(s{})", {}),
            ("m{x:1}", "tensor<float>(s{})", {"a": 2, "b": 5}),
            ("tensor(x[3])(x * n)", "tensor(x[3])", [0, 3, 6]),
            (
                "tensor<int8>(x[2],y[2])(x * 200 + y)",
                "tensor<int8>(x[2],y[2])",
                [[0, 1], [-56, -55]],
            ),
            ("tensor(x[2])(x3{x:(x)} + x)", "tensor(x[2])", [1, 3]),
            ("tensor(j[2])(reduce(i2{d:(j)}, count))", "tensor(j[2])", [2, 2]),
            ("tensor(x[2])(sum(tensor(x[3])(x)) * x)", "tensor(x[2])", [0, 3]),
            ("tensor<float>(x[2]):[n, n / 2]", "tensor<float>(x[2])", [3, 1.5]),
            ("tensor(x{},y[2]):{a:[1, n]}", "tensor(x{},y[2])", {"a": [1, 3]}),
            ("range(x[2],y[3])", "tensor(x[2],y[3])", [[0, 1, 2], [1, 2, 3]]),
            ("diag<float>(x[2],y[2])", "tensor<float>(x[2],y[2])", [[1, 0], [0, 1]]),
            ("map_subspaces(m, f(a)(sum(a) - a{x:0}))", "tensor<float>(s{})", {"a": 5, "b": 11}),
            ("map_subspaces(xy, f(a)(a))", "tensor<float>(x[3],y[2])", [[1, 2], [3, 4], [5, 6]]),
            ("map_subspaces(i2, f(a)(a))", "tensor<int8>(d{},x[2])", {"0": [-127, 3]}),
            ("map_subspaces(i2, f(a)(a{x:1}))", "tensor<float>(d{})", {"0": 3}),
            ("map_subspaces(none, f(a)(tensor<int8>(y[2])(y)))", "tensor<int8>(s{},y[2])", {}),
            ("filter_subspaces(m, f(a)(a{x:0} > 1))", "tensor<float>(s{},x[3])", {"b": [4, 5, 6]}),
            ("cell_order(xy, max)", "tensor<float>(x[3],y[2])", [[5, 4], [3, 2], [1, 0]]),
            ("cell_order(s, min)", "tensor(s{})", {"a": 0, "b": 1}),
            ("top(1, s)", "tensor(s{})", {"b": 2}),
            (
                "unpack_bits(i2, int8, little)",
                "tensor<int8>(d{},x[16])",
                {"0": [1, *[0] * 6, 1, 1, 1, *[0] * 6]},
            ),
            ("cell_cast(x3 * 100, int8)", "tensor<int8>(x[3])", [100, -56, 44]),
            ("matmul(xy, f3, x)", "tensor<float>(y[2])", [22, 28]),
            ("xw_plus_b(f3, xy, y2, x)", "tensor<float>(y[2])", [32, 48]),
            (
                "l1_normalize(xy, x)",
                "tensor<float>(x[3],y[2])",
                [[1 / 9, 2 / 12], [3 / 9, 4 / 12], [5 / 9, 6 / 12]],
            ),
            ("argmax(xy, y)", "tensor<float>(x[3],y[2])", [[0, 1], [0, 1], [0, 1]]),
            ("argmin(s)", "tensor(s{})", {"a": 1, "b": 0}),
            ("expand(s, z)", "tensor(s{},z[1])", {"a": [1], "b": [2]}),
            ("bit(i3, 1)", "tensor<float>(x[3])", [0, 1, 1]),
            ("hamming(i3, 3)", "tensor<float>(x[3])", [1, 7, 0]),
            ("ldexp(x3, 2.9)", "tensor(x[3])", [4, 8, 12]),
        ],
    )
    def test_cells_by_hand(self, source: str, kind: str, cells: object) -> None:
        found = evaluate(source, FEATURES)
        types = ResultTypes(lambda name: FEATURES[name].type)
        assert found == tensor(kind, cells)
        assert types.of(parse_expression(source)) == found.type

    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("st{s:a, t:q}", 2.0),
            ("s{b} + x3[1]", 4.0),
            ("st{s:b, t:p}", 0.0),
            ("x3{x:(n)}", 0.0),
            ("x3{x:(-1)}", 0.0),
            ("euclidean_distance(x3, f3 * 2, x)", math.sqrt(14)),
            ("cosine_similarity(f3, f3, x)", 1.0),
            ("sum(softmax(x3, x))", 1.0),
            ("sum(l2_normalize(concat(3, 4, x), x))", 0.6 + 0.8),
            ("switch(n) {case 1: 10, case 3: 30, default: 5}", 30.0),
            ("switch(n) {case 1: 10, default: 5}", 5.0),
            ("switch('b') {case 'a': 1, case 'b': 2, default: 3}", 2.0),
            ("1 ~= 1.00000001", 1.0),
            ("1 ~= 1.001", 0.0),
            ("1e30 ~= 1.00000001e30", 1.0),
            ("round(2.5) + round(-2.5)", 1.0),
            ("sign(-0.5) + sign(0)", 0.0),
            ("'text' == 'text'", 1.0),
            ("'text' in ['a', 'text']", 1.0),
        ],
    )
    def test_numbers_by_hand(self, source: str, wanted: float) -> None:
        assert evaluate(source, FEATURES).as_number() == pytest.approx(wanted, rel=1e-15)

    def test_nan_is_last_in_every_order(self) -> None:
        features = {"a": tensor("tensor(x[4])", [1, NAN, 3, 2])}
        assert evaluate("cell_order(a, max)", features).values.tolist() == [[2, 3, 0, 1]]
        assert evaluate("cell_order(a, min)", features).values.tolist() == [[0, 3, 2, 1]]


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


KIND = TensorType.parse("tensor<float>(dt{},x[2])")
ROWS = DocumentRows(
    type=KIND,
    offsets=np.array([0, 2, 2, 3], np.int64),
    values=np.array([[1, 2], [3, 4], [-5, -6]], np.float32),
)
BATCH: dict[str, Tensor | DocumentRows] = {
    "attribute(rows)": ROWS,
    "bm25(text)": batch_numbers([1.0, 0.0, NAN]),
    "query(qt)": tensor("tensor<float>(qt{},x[2])", {"0": [1, 0], "1": [0, 1]}),
    "query(w)": tensor("tensor<float>(x[2])", [1, 10]),
    "query(n)": Tensor.number(2.0),
}


class TestBatch:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("bm25(text)", [1, 0, NAN]),
            ("bm25(text) + query(n)", [3, 2, NAN]),
            ("query(n) - bm25(text) * 10", [-8, 2, NAN]),
            ("-bm25(text)", [-1, 0, NAN]),
            ("count(bm25(text))", [1, 1, 1]),
            ("sum(bm25(text))", [1, 0, NAN]),
            ("if(bm25(text) > 0, 10, bm25(text) - 1)", [10, -1, NAN]),
            ("if(bm25(text), 1, 2)", [1, 2, 1]),
            ("if(query(n) > 5, 1, bm25(text))", [1, 0, NAN]),
            ("bm25(text) in [0]", [0, 1, 0]),
            ("map(bm25(text), f(x)(if(x > 0, 5, 6)))", [5, 6, 6]),
            ("sum(attribute(rows))", [10, 0, -11]),
            ("count(attribute(rows))", [4, 0, 2]),
            ("reduce(attribute(rows), max)", [4, 0, -5]),
            ("reduce(attribute(rows), min)", [1, 0, -6]),
            ("reduce(attribute(rows), avg)", [2.5, 0, -5.5]),
            ("reduce(attribute(rows), median)", [2.5, 0, -5.5]),
            ("reduce(attribute(rows), prod)", [24, 0, 30]),
            ("sum(attribute(rows) * query(w))", [64, 0, -65]),
            ("sum(reduce(attribute(rows), max, dt))", [7, 0, -11]),
            ("sum(reduce(attribute(rows), max, dt) + 1)", [9, 2, -9]),
            ("reduce(sum(attribute(rows), dt) * query(w), sum)", [64, 0, -65]),
            ("sum(reduce(sum(query(qt) * attribute(rows), x), max, dt), qt)", [7, 0, -11]),
            ("max(sum(attribute(rows), x), dt)", [7, None, -11]),
            ("sum(query(w)) + 1", [12, 12, 12]),
        ],
    )
    def test_scores_by_hand(self, source: str, wanted: list[float | None]) -> None:
        # A maximum over no token is 0 when nothing is left to label it, as in Vespa.
        expected = [0.0 if value is None else value for value in wanted]
        got = Evaluation(BATCH.get, 3).scores(parse_expression(source))
        assert np.array_equal(got, expected, equal_nan=True)

    def test_a_tensor_is_no_condition(self) -> None:
        with pytest.raises(ExpressionTypeError, match="expected a number"):
            Evaluation(BATCH.get, 3).scores(parse_expression("if(attribute(rows), 1, 2)"))

    def test_branches_of_two_types_are_refused(self) -> None:
        with pytest.raises(ExpressionTypeError, match="expected branches of one type"):
            Evaluation(BATCH.get, 3).scores(parse_expression("if(bm25(text), query(w), 1)"))

    def test_every_document_takes_its_own_branch(self) -> None:
        source = "sum(if(bm25(text), query(w), query(w) * 2))"
        found = Evaluation(BATCH.get, 3).scores(parse_expression(source))
        assert found.tolist() == [11, 22, 11]

    def test_a_batch_of_none_has_no_scores(self) -> None:
        nothing = ROWS.select(np.zeros(0, np.int64))
        features = BATCH | {"attribute(rows)": nothing, "bm25(text)": batch_numbers([])}
        for source in ("bm25(text) + 1", "sum(attribute(rows) * query(w))", "query(n)"):
            assert Evaluation(features.get, 0).scores(parse_expression(source)).shape == (0,)
