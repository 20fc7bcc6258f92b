"""``vespa-colbert evaluate-expression``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag
from vespa_colbert.errors import CaseError


def command(
    expression: Annotated[str | None, typer.Argument(help="A rank expression.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "-i", "--input", help="A name and its value: 'query(q)=tensor(x[2]):[1,2]'; repeatable."
        ),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            help='A file of lines {"expression": …, "inputs": {name: literal}}, - for stdin; '
            "each gives a line with type and result, or an error."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate a rank expression as Vespa does, by itself.

    Example: vespa-colbert evaluate-expression 'sum(query(q))' -i 'query(q)=tensor(x[2]):[1,2]'
    """
    if (expression is None) == (cases is None):
        raise typer.BadParameter("expected an expression, or --cases and a file")
    if cases is not None:
        _evaluate_file(cases)
    elif expression is not None:
        _evaluate(expression, inputs or [], as_json=as_json)


def _evaluate(expression: str, inputs: list[str], *, as_json: bool) -> None:
    from vespa_colbert.rank.standalone import evaluate_expression, read_inputs
    from vespa_colbert.tensor import literal

    found = evaluate_expression(expression, read_inputs(dict(map(_pair, inputs))))
    if as_json:
        print_json({"type": str(found.type), "result": literal(found.value)})
    else:
        print_line(literal(found.value))


def _evaluate_file(path: Path) -> None:
    """Write the answer to each line; the last need not be ended."""
    from vespa_colbert.rank.standalone import evaluate_cases

    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise CaseError(f"{path}: expected a file of cases: {error.strerror}") from None
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    with Console().track("cases", len(lines)) as advance:
        for done, answer in enumerate(evaluate_cases(lines), start=1):
            print_line(json.dumps(answer))
            advance(done)


def _pair(text: str) -> tuple[str, str]:
    """Return the name and the literal of an input."""
    name, equals, literal = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"expected NAME=LITERAL, got {text!r}", param_hint="--input")
    return name.strip(), literal
