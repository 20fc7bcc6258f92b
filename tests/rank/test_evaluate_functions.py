from __future__ import annotations

import math

import pytest

from tests.rank.evaluations import FEATURES, INF, NAN, evaluate, number, tensor
from vespa_colbert.errors import (
    ArrayError,
    ExpressionError,
    ExpressionTypeError,
    UnsupportedFunctionError,
)
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.result_types import ResultTypes


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
