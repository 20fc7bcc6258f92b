"""Files of cases: every line has its answer, whatever the line is."""

from __future__ import annotations

import json

import pytest

from vespa_colbert.errors import ExpressionError
from vespa_colbert.rank import standalone
from vespa_colbert.rank.standalone import evaluate_cases, evaluate_expression
from vespa_colbert.tensor import Tensor


def answer(line: str) -> dict[str, str]:
    (found,) = evaluate_cases([line.encode()])
    return found


def value(expression: str, **inputs: object) -> str:
    return answer(json.dumps({"expression": expression, "inputs": inputs}))["result"]


class TestInputs:
    @pytest.mark.parametrize(
        ("given", "written"),
        [
            (1, "1.0"),
            (-2.5, "-2.5"),
            (float("nan"), "NaN"),
            (float("-inf"), "-Infinity"),
            ("-0", "-0.0"),
            ("inf", "Infinity"),
            ("tensor():{5}", "5.0"),
        ],
    )
    def test_a_number_is_a_number_or_its_literal(self, given: object, written: str) -> None:
        assert value("a", a=given) == written

    @pytest.mark.parametrize("given", ["true", "null", "[1]", '{"x": 1}'])
    def test_another_json_value_is_no_input(self, given: str) -> None:
        found = answer(f'{{"expression": "1", "inputs": {{"a": {given}}}}}')
        assert found["error"] == "case"
        assert "an object of name and literal" in found["message"]

    def test_a_number_is_no_expression(self) -> None:
        assert answer('{"expression": 1}')["error"] == "case"

    def test_a_bare_name_and_a_query_feature_are_two(self) -> None:
        line = {"expression": "a - query(a)", "inputs": {"a": "5", "query( a )": "2"}}
        assert answer(json.dumps(line))["result"] == "3.0"

    @pytest.mark.parametrize(
        "line",
        [
            '{"expression": "a", "inputs": {"a": "1", "a": "2"}}',
            '{"expression": "a", "expression": "1", "inputs": {"a": "1"}}',
            '{"expression": "query(a)", "inputs": {"query(a)": "1", "query( a )": "2"}}',
        ],
    )
    def test_none_of_two_with_one_name_wins(self, line: str) -> None:
        assert "result" not in answer(line)

    def test_two_inputs_of_one_name_are_named(self) -> None:
        one = Tensor.number(1.0)
        with pytest.raises(ExpressionError, match=r"query\(a\), query\( a \)"):
            evaluate_expression("1", {"query(a)": one, "query( a )": one})

    @pytest.mark.parametrize(
        "line",
        [
            '{"expression": "\\"\\ud800\\""}',
            '{"expression": "a", "inputs": {"a": "tensor(x{}):{\'\\udfff\':1}"}}',
            '{"expression": "1", "inputs": {"\\ud800": "1"}}',
        ],
    )
    def test_half_a_surrogate_pair_is_no_text(self, line: str) -> None:
        found = answer(line)
        assert found["error"] == "case"
        assert "half a surrogate pair" in found["message"]

    def test_a_label_beyond_the_basic_plane_is_text(self) -> None:
        assert answer(
            '{"expression": "a{x:\'\\ud83d\\ude00\'}", "inputs": {"a": "{{x:😀}:3}"}}'
        ) == {
            "type": "double",
            "result": "3.0",
        }


class TestResults:
    @pytest.mark.parametrize(
        ("expression", "kind", "result"),
        [
            ("tensor(y[2],x[1])(y)", "tensor(x[1],y[2])", "{{x:0,y:0}:0.0, {x:0,y:1}:1.0}"),
            ("tensor<int8>(x{}):{'a b':1}", "tensor<int8>(x{})", "{{x:'a b'}:1.0}"),
            (
                "tensor(m{},x[1]):{a:[1],b:[2]}",
                "tensor(m{},x[1])",
                "{{m:a,x:0}:1.0, {m:b,x:0}:2.0}",
            ),
            ("tensor(x{}):{}", "tensor(x{})", "{}"),
        ],
    )
    def test_every_cell_has_its_address(self, expression: str, kind: str, result: str) -> None:
        found = answer(json.dumps({"expression": expression}))
        assert found == {"type": kind, "result": f"{kind}:{result}"}

    @pytest.mark.parametrize(
        ("expression", "kind"),
        [
            ("tensor(x[5000000])(x)", "value"),
            ("tensor(x[1000000000])(x)", "type"),
            ("tensor(x[1000000000]):{}", "type"),
            ("reduce(tensor(x[20000])(x) * tensor(y[20000])(y), sum)", "type"),
            ("concat(a, a, x)", "type"),
        ],
    )
    def test_a_few_words_do_not_fill_the_memory(self, expression: str, kind: str) -> None:
        given = {"a": "tensor(x[100000000]):{}"} if "(a" in expression else {}
        found = answer(json.dumps({"expression": expression, "inputs": given}))
        assert (found.get("error"), "cells" in found["message"]) == (kind, True)


@pytest.mark.parametrize("label", ["2", "-1", "a", "sum1", "'1 '", "9" * 5000, "\u0661"])
def test_a_cell_must_be_at_an_index_of_its_dimension(label: str) -> None:
    found = answer(json.dumps({"expression": f"tensor(m{{}},x[2]):{{{{m:a,x:{label}}}:1}}"}))
    assert found["error"] in {"type", "syntax"}
    assert found["error"] == "syntax" or "an index of x from 0 to 1" in found["message"]


@pytest.mark.parametrize(
    ("subject", "place", "found"),
    [
        ("tensor(x[2]):[5,6]", "1e300", "0.0"),
        ("tensor(x[2]):[5,6]", "-1e300", "0.0"),
        ("tensor(x[2]):[5,6]", "1/0", "0.0"),
        ("tensor(x[2]):[5,6]", "-0.5", "5.0"),
        ("tensor(x{}):{9007199254740992:7}", "9007199254740992", "7.0"),
        # No double is this label: the one next to it must not find it.
        ("tensor(x{}):{9007199254740993:7}", "9007199254740992", "0.0"),
        (f"tensor(x{{}}):{{{'9' * 5000}:7}}", "1e300", "0.0"),
    ],
)
def test_a_computed_place_that_is_not_there_is_zero(subject: str, place: str, found: str) -> None:
    assert value(f"a{{x:({place})}}", a=subject) == found


def test_a_fault_of_ours_costs_no_other_case_its_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def evaluate(expression: str, inputs: object) -> object:
        if expression == "2":
            raise IndexError("out of reach")
        return evaluate_expression(expression, {})

    monkeypatch.setattr(standalone, "evaluate_expression", evaluate)
    lines = [json.dumps({"expression": each}).encode() for each in "123"]

    found = list(evaluate_cases(lines))

    assert [each.get("result") for each in found] == ["1.0", None, "3.0"]
    assert found[1] == {"error": "internal", "message": "IndexError: out of reach"}
    assert "IndexError" in caplog.text
