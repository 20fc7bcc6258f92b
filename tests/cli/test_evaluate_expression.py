from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_an_expression_and_its_inputs(run: Run) -> None:
    ran = run(
        "evaluate-expression",
        "query(q) * 2 + n",
        *("--input", "query(q)=tensor(x[2]):[1,2]", "-i", "n=0.5"),
    )

    assert (ran.code, ran.out) == (0, "tensor(x[2]):[2.5, 4.5]\n")


def test_type_and_result_as_json(run: Run) -> None:
    ran = run("evaluate-expression", "reduce(a, max)", "-i", "a=tensor<int8>(x{}):{b:3}", "--json")

    assert ran.json == {"type": "double", "result": "3.0"}


def test_an_error_names_what_is_wrong(run: Run) -> None:
    ran = run("evaluate-expression", "1 + nosuch")

    assert (ran.code, ran.out) == (1, "")
    assert "nosuch: no function, input, field or feature has this name" in ran.err


def test_wrong_usage(run: Run, tmp_path: Path) -> None:
    assert run("evaluate-expression").code == 2
    assert run("evaluate-expression", "1", "--cases", tmp_path / "f").code == 2
    assert run("evaluate-expression", "a", "-i", "a").code == 2
    assert run("evaluate-expression", "--cases", tmp_path / "nosuch").code == 1


def test_every_line_of_a_file_is_answered_in_order(run: Run, tmp_path: Path) -> None:
    cases = [
        b'{"expression": "a+1", "inputs": {"a": "tensor<float>(x[2]):[1,2]"}}',
        b"not json",
        b'{"expression": "a*", "inputs": {}}',
        b'{"expression": "a*b", "inputs": {"a": "tensor(x[2]):[1,2]", "b": "tensor(x[1]):[1]"}}',
        b'{"expression": "nosuch"}',
        b'{"expression": "random(x[2])"}',
        b'{"expression": "a", "inputs": {"a": "tensor(x[2]):[1"}}',
        b'{"expression": "a", "inputs": {"a": true}}',
        b"",
        b'["expression"]',
        b"\xff",
        '{"expression": "count(a)", "inputs": {"a": "tensor(x{}):{\'\u2028\':1}"}}'.encode(),
        b'{"expression": "cell_cast(a,int8)", "inputs": {"a": "tensor(x[1]):[3e9]"}}',
        b'{"expression": "0/0"}\r',
    ]
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b"\n".join(cases) + b"\n")

    ran = run("evaluate-expression", "--cases", path)

    answers = [json.loads(line) for line in ran.out.split("\n")[:-1]]
    assert ran.code == 0
    assert [each.get("error") or each["result"] for each in answers] == [
        "tensor<float>(x[2]):{{x:0}:2.0, {x:1}:3.0}",
        "case",
        "syntax",
        "type",
        "unknown",
        "unsupported",
        "syntax",
        "case",
        "case",
        "case",
        "case",
        "1.0",
        "value",
        "NaN",
    ]
    assert all("message" in each for each in answers if "error" in each)
    assert "input a" in answers[6]["message"]


def test_a_last_line_without_an_end_is_answered(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b'{"expression": "1"}\n{"expression": "2"}')

    assert run("evaluate-expression", "--cases", path).out.count("\n") == 2


def test_a_file_without_cases_has_no_answers(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b"")

    assert run("evaluate-expression", "--cases", path).out == ""


def test_cases_from_stdin_and_progress_on_stderr(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(b'{"expression": "1"}\n{"expression": "1+1"}\n'))
    monkeypatch.setattr(sys, "stdin", given)

    ran = run("evaluate-expression", "--cases", "-")

    assert [json.loads(line)["result"] for line in ran.out.splitlines()] == ["1.0", "2.0"]
    assert "cases: 2/2" in ran.err
