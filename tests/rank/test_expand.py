from __future__ import annotations

import pytest

from vespa_colbert.errors import ExpressionError, ExpressionTypeError
from vespa_colbert.rank.expand import FunctionBody, calls, expand
from vespa_colbert.rank.language.parser import MAX_OPERANDS, parse_expression


def functions(**bodies: str) -> dict[str, FunctionBody]:
    """Return functions by name; a body may begin with its parameters and a bar."""
    made = {}
    for name, text in bodies.items():
        parameters, bar, body = text.partition(" | ")
        made[name] = FunctionBody(
            parameters=tuple(parameters.split()) if bar else (),
            body=parse_expression(body if bar else text),
        )
    return made


def expanded(source: str, **bodies: str) -> str:
    return str(expand(parse_expression(source), functions(**bodies)))


@pytest.mark.parametrize(
    ("source", "bodies", "wanted"),
    [
        ("g + 1", {"g": "a * 2"}, "(a * 2) + 1"),
        ("g() + 1", {"g": "a"}, "(a) + 1"),
        ("g * g", {"g": "a - b"}, "(a - b) * (a - b)"),
        ("h", {"g": "a", "h": "g + g"}, "((a) + (a))"),
        ("g(b)", {"g": "x | x * x"}, "(b * b)"),
        ("g(b + 1)", {"g": "x | x * x"}, "((b + 1) * (b + 1))"),
        ("g(g(b))", {"g": "x | x + 1"}, "((b + 1) + 1)"),
        ("g(title)", {"g": "x | fieldMatch(x) * 2"}, "(fieldMatch(title) * 2)"),
        ("g(a, b)", {"g": "x y | x - y"}, "(a - b)"),
        ("g(b, a)", {"g": "a b | a - b"}, "(b - a)"),
        ("g(t, x)", {"g": "u d | reduce(u, sum, d)"}, "(reduce(t, sum, x))"),
        ("-g in [g]", {"g": "1"}, "-(1) in [(1)]"),
        ("!g", {"g": "1"}, "!(1)"),
        ("foo(g)", {"g": "1"}, "foo((1))"),
        ("attribute(g) * query(g)", {"g": "1"}, "attribute(g) * query(g)"),
        ("foo.g", {"foo": "1", "g": "1"}, "foo.g"),
        ("g(1).out", {"g": "x | x"}, "g(1).out"),
    ],
)
def test_a_call_is_replaced_by_the_body(source: str, bodies: dict[str, str], wanted: str) -> None:
    assert expanded(source, **bodies) == wanted


@pytest.mark.parametrize(
    "source",
    [
        "log(a)",
        "pow(a, b)",
        "max(a, b)",
        "sum(a, x)",
        "sum(a)",
        "reduce(a, sum, x)",
        "reduce(a, sum, x, dt)",
        "avg(a, dt, x)",
        "cell_cast(a, float)",
        "unpack_bits(a, float)",
        "map(a, f(x)(x + 1))",
        "if(a, b, c)",
    ],
)
def test_names_of_vespa_are_not_taken_for_functions_of_the_profile(source: str) -> None:
    """Vespa's grammar knows them before it looks at the profile; a body would be a wrong score."""
    shadows = dict.fromkeys(("log", "pow", "max", "if"), "p q r | 1")
    shadows |= dict.fromkeys(("sum", "reduce", "avg", "cell_cast", "unpack_bits", "map"), "p | p")
    shadows |= dict.fromkeys(("f", "join"), "p q | p")
    taken = dict.fromkeys(("x", "dt", "float"), "7")
    assert expanded(source, **shadows, **taken) == source


def test_a_function_of_cells_gives_way_to_one_of_the_profile_with_as_many_arguments() -> None:
    assert expanded("log(a) + pow(a, b)", log="v | v + 1", pow="v w | w") == "(a + 1) + (b)"
    assert expanded("tan(a) + bit(a, b)", tan="v | v", bit="v w | w") == "(a) + (b)"


def test_a_reserved_name_without_arguments_is_a_function_like_any_other() -> None:
    assert expanded("sum + log", sum="a", log="b") == "(a) + (b)"


def test_an_argument_is_not_mixed_up_with_names_inside_the_function() -> None:
    assert expanded("g(b)", g="a | a + h", h="a") == "(b + (a))"


def test_parameters_are_not_seen_inside_a_lambda() -> None:
    """Vespa refuses a lambda that uses more than its own parameters; so does evaluation."""
    assert expanded("g(x)", g="k | map(k, f(k)(k * 2))") == "(map(x, f(k)(k * 2)))"


def test_a_generator_shadows_what_its_dimensions_are_called() -> None:
    """Unlike a lambda it sees functions and parameters: those that no dimension hides."""
    assert expanded("g(3)", g="k | tensor(k[2])(k)") == "(tensor(k[2])(k))"
    assert expanded("g(b)", g="k | tensor(x[2])(k + x)", x="1") == "(tensor(x[2])(b + x))"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("h{x:(h)}", "(a){x:((a))}"),
        ("h[h]", "(a)[(a)]"),
        ("h{h:h}", "(a){h:h}"),
        ("tensor(x[1]):[h]", "tensor(x[1]):{{x:0}:(a)}"),
        ("switch(h) {case h: h, default: h}", "switch((a)) {case (a): (a), default: (a)}"),
        ("concat(h, h, h)", "concat((a), (a), h)"),
        ("rename(h, h, h)", "rename((a), (h), (h))"),
        ("matmul(h, h, h)", "matmul((a), (a), h)"),
        ("top(h, h)", "top((a), (a))"),
        ("cell_order(h, max)", "cell_order((a), max)"),
    ],
)
def test_functions_inside_the_constructs_of_tensors(source: str, wanted: str) -> None:
    found = expanded(source, h="a", max="7")
    assert found.replace(" ", "") == wanted.replace(" ", "")


def test_a_parameter_can_be_a_dimension() -> None:
    assert expanded("g(y)", g="d | rename(a, (x, z), (d, w))") == "(rename(a, (x, z), (y, w)))"
    assert expanded("g(y)", g="d | concat(a, b, d)") == "(concat(a, b, y))"


class TestFaults:
    @pytest.mark.parametrize(
        ("source", "got"), [("g(1)", 1), ("g", 0), ("g()", 0), ("g(1, 2, 3)", 3)]
    )
    def test_another_number_of_arguments(self, source: str, got: int) -> None:
        wanted = rf"function g: expected 2 arguments \(x, y\), got {got}"
        with pytest.raises(ExpressionTypeError, match=wanted):
            expanded(source, g="x y | x + y")

    @pytest.mark.parametrize(
        ("bodies", "cycle"),
        [
            ({"g": "g"}, "g → g"),
            ({"g": "g + g"}, "g → g"),
            ({"g": "h + h", "h": "i + i", "i": "g"}, "g → h → i → g"),
            ({"g": "h(1)", "h": "x | h(x + 1)"}, "g → h → h"),
        ],
    )
    def test_a_function_that_calls_itself(self, bodies: dict[str, str], cycle: str) -> None:
        with pytest.raises(ExpressionError, match=f"calls itself: {cycle}"):
            expanded("g", **bodies)

    def test_a_function_as_argument_of_itself_is_no_cycle(self) -> None:
        assert expanded("g(g(g(a)))", g="x | x") == "(a)"

    def test_functions_nested_too_deeply_are_no_recursion_error(self) -> None:
        chain = {f"g{i}": f"abs(g{i + 1})" for i in range(2000)} | {"g2000": "a"}
        with pytest.raises(ExpressionError, match="nested too deeply"):
            expanded("g0", **chain)

    def test_a_long_chain_is_expanded(self) -> None:
        text = " + ".join(["g"] * MAX_OPERANDS)
        assert expanded(text, g="a") == " + ".join(["(a)"] * MAX_OPERANDS)


def test_calls_lists_every_call_in_the_order_of_the_text() -> None:
    tree = parse_expression("a + b(c, 1 + d('e')) in [g] ")
    assert [each.name for each in calls(tree)] == ["a", "b", "c", "d", "g"]


def test_calls_of_a_long_chain() -> None:
    assert len(calls(parse_expression("+".join(["a"] * MAX_OPERANDS)))) == MAX_OPERANDS
