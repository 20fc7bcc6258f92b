from __future__ import annotations

import math

import numpy as np
import pytest

from tests.rank.evaluations import FEATURES, INF, NAN, evaluate, tensor
from vespa_colbert.errors import (
    ExpressionSyntaxError,
    ExpressionTypeError,
)
from vespa_colbert.tensor import Tensor, TensorType


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
