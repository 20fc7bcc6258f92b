"""``vespa-colbert diagnose``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.export_options import takes_kind_options
from vespa_colbert.cli.flags import Given
from vespa_colbert.cli.options import AllowPickleFlag, JsonFlag
from vespa_colbert.cli.streams import input_lines
from vespa_colbert.errors import CollectionError

SIDE = "A checkpoint folder, a model folder, vectors (.npy), or package.module:function, file.py:f."


SideArgument: TypeAlias = Annotated[str, typer.Argument(metavar="A", help=SIDE)]
OtherArgument: TypeAlias = Annotated[str, typer.Argument(metavar="B", help="The same.")]
TextsArgument: TypeAlias = Annotated[
    Path, typer.Argument(help="A text a line, or JSON lines with text; - for stdin.")
]
RoleOption: TypeAlias = Annotated[
    Literal["query", "document"],
    typer.Option("--role", help="What the texts are: whose instruction is put before them."),
]
ToleranceOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--tolerance", min=0.0, help="Largest difference that is none, at length 1: 5e-6."
    ),
]


@takes_kind_options
def command(
    a: SideArgument,
    b: OtherArgument,
    texts: TextsArgument,
    role: RoleOption = "document",
    tolerance: ToleranceOption = None,
    allow_pickle: AllowPickleFlag = False,
    as_json: JsonFlag = False,
    facts: Given | None = None,
) -> None:
    """Say why two vectorisers of texts disagree: the settings, each shown by closing it; exit 1.

    Tokenizer, instruction, ids, mask, hidden states, pooling, projection, dims, length 1 and dtype
    are walked in this order. Of a function or a file of vectors, settings are found by trying them
    on the other side. --pooling and its like state what a plain encoder's files do not say.

    Example: vespa-colbert diagnose BAAI-bge-small-zh my_bge.py:embed texts.txt
    """
    from vespa_colbert.checkpoint import ReadOptions, StatedFacts
    from vespa_colbert.diagnose import diagnose, open_side
    from vespa_colbert.diagnose.closeness import FLOAT32
    from vespa_colbert.diagnose.report import report_lines

    given = _texts(texts)
    options, stated = ReadOptions(allow_pickle=allow_pickle), StatedFacts(**(facts or {}))
    one, other = (open_side(each, given, role, options=options, stated=stated) for each in (a, b))
    found = diagnose(
        one,
        other,
        given,
        role=role,
        tolerance=FLOAT32 if tolerance is None else tolerance,
        progress=Console().say,
    )
    if as_json:
        print_json(_finite(asdict(found)))
    else:
        for line in report_lines(found):
            print_line(line)
    if not found.agree:
        raise typer.Exit(1)


def _texts(path: Path) -> list[str]:
    """Return the texts of a file: lines as they are, or the texts of JSON lines."""
    with input_lines(path) as lines:
        texts = [
            _text_of(line.rstrip("\r\n"), f"{path} line {number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
    if not texts:
        raise CollectionError(f"{path}: expected a text a line, got none")
    return texts


def _text_of(line: str, where: str) -> str:
    from vespa_colbert.json_lines import json_object, valid_text

    if not line.lstrip().startswith("{"):
        return line
    row = json_object(line, where)
    if not isinstance(row.get("text"), str):
        raise CollectionError(f'{where}: expected a text under "text"')
    return valid_text(row["text"], "text", where)


def _finite(value: Any) -> Any:
    """Return what JSON can say: null for a difference that there is no number for."""
    return json.loads(json.dumps(value), parse_constant=lambda _name: None)
