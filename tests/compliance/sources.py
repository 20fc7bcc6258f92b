"""What the compliance files are made from: inputs, and expressions by topic."""

from __future__ import annotations

from vespa_colbert.rank.algebra import AGGREGATORS
from vespa_colbert.rank.scalars import BINARY, OPERATORS, UNARY

INPUTS = {
    "n": "3.0",
    "k": "-0.5",
    "x3": "tensor(x[3]):[1.0, 2.0, 3.0]",
    "f3": "tensor<float>(x[3]):[0.1, -2.5, 3.0]",
    "b3": "tensor<bfloat16>(x[3]):[1.0, 1.0078125, 3.0]",
    "i3": "tensor<int8>(x[3]):[1, -2, 127]",
    "xy": "tensor<float>(x[3],y[2]):[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]",
    "y2": "tensor<float>(y[2]):[10.0, -20.0]",
    "s": "tensor(s{}):{a:1.0, b:2.0}",
    "s2": "tensor<float>(s{}):{b:10.0, '7':20.0}",
    "t": "tensor(t{}):{b:5.0}",
    "st": "tensor(s{},t{}):{{s:a,t:p}:1.0, {s:a,t:q}:2.0, {s:b,t:q}:3.0}",
    "m": "tensor<float>(s{},x[3]):{a:[1.0, 2.0, 3.0], b:[4.0, 5.0, 6.5]}",
    "mi": "tensor<int8>(s{},x[2]):{'0':[-127, 3], '1':[15, -1]}",
    "none": "tensor<float>(s{},x[3]):{}",
    "odd": "tensor(x[5]):[NaN, Infinity, -Infinity, 0.0, -1.0]",
}

ODD_IN_JAVA = {"erf", "max", "min", "bit", "hamming", "ldexp", "pow", "sign", "round"}
"""Functions that are not tried on NaN and infinities: docs/expression-differences.md."""

SCALARS = [
    *(f"{name}({each})" for name in UNARY for each in ("n", "k", "f3", "m", "x3 / 4")),
    *(f"{name}(odd)" for name in UNARY if name not in ODD_IN_JAVA | {"relu"}),
    *(f"join(x3, f3, f(a,b)({name}(a, b)))" for name in BINARY),
    *(f"{name}(n, k)" for name in BINARY),
    "map(i3, f(a)(bit(a, 0)))",
    "sum(hamming(i3, 7))",
    "ldexp(k, 4.9)",
    "bit(n, -1)",
    "round(-2.5) + round(2.5) * 10 + round(0.49999999999999994) * 100",
    "fmod(-7, 3)",
    "isNan(0 / 0) + isNan(1 / 0)",
    "relu(-1) + elu(1)",
]

OPERATIONS = [
    *(f"n {operator} k" for operator in OPERATORS),
    *(f"x3 {operator} f3" for operator in OPERATORS),
    *(f"m {operator} 2" for operator in OPERATORS),
    *(f"s {operator} s" for operator in OPERATORS),
    *("xy * y2", "xy - x3", "s * t", "m * s", "st - s", "none + m", "mi * mi", "b3 + i3"),
    *("n + k * 2 - 4 / n", "2 ^ 3 ^ 2", "-n + 1", "!n + !0", "n > 2 && k < 0 || 0"),
    *(
        "n in [1, 3]",
        "k in [-0.5, 'text']",
        "if(n > 2, n, k)",
        "if(k, xy, xy * 2)",
        "if(n, 1, 2, 0.5)",
    ),
    *("true + false", "1 ~= 1", "1e10 ~= 1.1e10", "0.1 + 0.2 == 0.3"),
    *("0 / 0", "1 / 0", "-1 / 0", "1e308 * 10", "odd + 1", "odd * 0"),
    "switch(3) {case 1: 10, case 3: 30, default: 5}",
    "switch(n) {case 1: x3, default: x3 * 2}",
    "switch(k) {case 1: 10, default: n}",
]

REDUCTIONS = [
    *(
        f"reduce({each}, {aggregator}{dimensions})"
        for aggregator in sorted(AGGREGATORS)
        for each, dimensions in (
            *(("n", ""), ("x3", ""), ("f3", ", x"), ("i3", ""), ("xy", ", y"), ("xy", ", y, x")),
            *(("s", ""), ("st", ", s"), ("m", ", s"), ("m", ", x"), ("mi", ""), ("none", "")),
            *(("none", ", s"), ("none", ", x"), ("odd", "")),
        )
    ),
    *("sum(xy)", "avg(m, s)", "count(st, t)", "prod(x3, x)", "median(m, x)"),
]

TENSORS = [
    *("map(x3, f(a)(a * a))", "map(m, f(a)(if(a > 2, a, -a)))", "map(none, f(a)(a))"),
    *("join(m, x3, f(a,b)(a * 10 + b))", "join(s, s2, f(a,b)(a - b))"),
    *("merge(s, s2, f(a,b)(a - b))", "merge(x3, f3, f(a,b)(b))", "merge(none, m, f(a,b)(a))"),
    *("rename(xy, x, z)", "rename(xy, (x, y), (y, x))", "rename(m, (s, x), (x, s))"),
    *("concat(x3, n, x)", "concat(n, k, z)", "concat(xy, y2, x)", "concat(s, t, x)"),
    *("concat(i3, i3, x)", "concat(i3, b3, x)", "concat(m, x3, x)", "concat(m, m, y)"),
    *(f"cell_cast({each}, {cells})" for each in ("x3", "m", "f3") for cells in ("double", "float")),
    *("cell_cast(f3, bfloat16)", "cell_cast(x3 * 100, int8)", "cell_cast(f3, int8)"),
    *(f"unpack_bits({each})" for each in ("i3", "mi")),
    *(
        f"unpack_bits(mi, {cells}, {order})"
        for cells in ("int8", "double")
        for order in ("big", "little")
    ),
    *("cell_order(xy, max)", "cell_order(f3, min)", "cell_order(s2, max)", "cell_order(n, max)"),
    *("map_subspaces(m, f(a)(a * 3 + 2))", "map_subspaces(m, f(a)(sum(a)))"),
    *("map_subspaces(xy, f(a)(reduce(a, max, x)))", "map_subspaces(none, f(a)(sum(a)))"),
    "map_subspaces(mi, f(a)(tensor<int8>(y[2])(a{x:(y)})))",
    "map_subspaces(m, f(a)(concat(a, 1, x)))",
    "map_subspaces(s, f(a)(a + 1))",
    *("filter_subspaces(m, f(a)(a{x:0} > 1))", "filter_subspaces(s, f(a)(a > 1))"),
    "filter_subspaces(st, f(a)(a - 2))",
    *("matmul(xy, y2, y)", "softmax(x3, x)", "softmax(s, s)", "l1_normalize(x3, x)"),
    *("l2_normalize(x3, x)", "cosine_similarity(x3, f3, x)", "euclidean_distance(x3, f3, x)"),
    *("argmax(xy)", "argmax(xy, x)", "argmin(m, s)", "expand(s, z)", "expand(n, z)"),
    *("xw_plus_b(x3, xy, y2, x)", "top(1, s)", "top(5, st)", "top(n - 2, s2)"),
    *("range(x[3])", "range<float>(x[2],y[2])", "diag(x[2],y[2])", "diag<int8>(x[3])"),
]

CONSTRUCTS = [
    *("x3{x:1}", "x3[1]", "x3{x:(n - 2)}", "m{s:b}", "m{s:'b'}", "m{s:a, x:2}"),
    *("st{s:a, t:q}", "st{t:q}", "s2{'7'}", "s2{s:(n + 4)}", "xy{x:(k + 1.5)}"),
    *("tensor(x[3])(x * 2)", "tensor<float>(x[2],y[2])(x + y * n)", "tensor<int8>(x[3])(100 * x)"),
    *("tensor(x[2])(x3{x:(x + 1)})", "tensor(x[2])(sum(m) * x)", "tensor(x[3])(x == 1)"),
    *("tensor(x[2]):[1, 2]", "tensor(x[2],y[2]):[[1, 2], [3, 4]]", "tensor(x{}):{a:1, b:n}"),
    *("tensor<float>(x{},y[2]):{a:[1, 2], b:[n, k]}", "tensor<bfloat16>(x[2]):[1.00390625, 3]"),
    *(
        "tensor<int8>(x{}):{a:1}",
        "tensor(x{},y{}):{{x:a,y:b}:n + 1}",
        "tensor(x[2]):{{x:0}:1,{x:1}:k}",
    ),
    *("tensor(x[2]):[n, k] * 2", "(x3 * 2){x:1}", "tensor(x[3])(x){x:2}"),
    *("5", "0.25", "1e3", "'a string that is hashed'", "'b'", "'' == ''", "n", "x3", "none"),
]

ERRORS = [
    *(
        "1 +",
        "n n",
        "sum(x3",
        "f(a)(a)",
        "tensor(x[2]):[1",
        "tensor(x{})(x)",
        "map(x3, f(a)(a + n))",
    ),
    *("reduce(x3, most)", "cell_cast(x3, half)", "cell_order(x3, avg)", "max(x3)", "if(n, 1)"),
    *("unpack_bits(i3, int8, middle)", "switch(n) {case 1: 2}", "rename(x3, x, (a, b))"),
    *("x3 + tensor(x[2]):[1, 2]", "merge(x3, s, f(a,b)(a))", "merge(x3, xy, f(a,b)(a))"),
    *("concat(s, s, s)", "xy{x:1, z:1}", "st[0]", "st{a}", "x3{a}"),
    *("rename(xy, x, y)", "cell_cast(n, float)", "unpack_bits(x3)", "unpack_bits(n)"),
    *("filter_subspaces(x3, f(a)(a))", "top(1, x3)", "top(x3, s)"),
    *("cosine_similarity(s, s, s)", "euclidean_distance(x3, y2, x)"),
    "map_subspaces(m, f(a)(tensor(s[2])(s)))",
    *("nosuch", "query(nosuch)", "nosuch(1)", "n + nosuch"),
]

TOPICS = {
    "scalars": SCALARS,
    "operations": OPERATIONS,
    "reductions": REDUCTIONS,
    "tensors": TENSORS,
    "constructs": CONSTRUCTS,
    "errors": ERRORS,
}
