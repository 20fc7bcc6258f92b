"""``vespa-colbert verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line, table
from vespa_colbert.cli.options import (
    AppOption,
    IndexOption,
    JsonFlag,
    ModelOption,
    RecipeOption,
    load_recipe,
)

if TYPE_CHECKING:
    from vespa_colbert.verify import ParityReport

__all__ = ["command", "ladder_lines"]


def command(
    application: AppOption = None,
    index: IndexOption = None,
    model: ModelOption = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="JSON lines with _id and text.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The report.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare ids, rows, bits and scores with Vespa's own Java; exit 3 where they differ.

    Example: vespa-colbert verify -a output/app -i output/index -m output/model
    """
    from vespa_colbert.cli.java import open_java
    from vespa_colbert.cli.search import open_searcher
    from vespa_colbert.errors import ParityError
    from vespa_colbert.files import atomic_file
    from vespa_colbert.index import read_queries
    from vespa_colbert.pipeline import ProofOptions, prove

    said = load_recipe(recipe)
    console, asked = Console(), said.verify
    searcher = open_searcher(said, application, index, model)
    source = queries or said.evaluate.queries
    texts = {} if source is None else {each.id: each.text for each in read_queries(source)}
    options = ProofOptions(
        documents=asked.documents, queries=asked.queries, pairs=asked.pairs, seed=asked.seed
    )
    with open_java(console) as java:
        report = prove(searcher, java, texts, options, console)
    path = output or asked.output
    with atomic_file(path) as part:
        part.write_text(report.to_json(), encoding="utf-8")
    if as_json:
        print_json(json.loads(report.to_json()))
    else:
        for line in ladder_lines(report):
            print_line(line)
        print_line(f"report: {path}")
    if not report.passed:
        raise ParityError(failure(report))


def failure(report: ParityReport) -> str:
    """Return why a report did not pass, in one line."""
    first = report.first_difference
    if first is None:
        return "nothing was checked"
    return f"{first.name}: {report.judges[0]} and {report.judges[1]} differ ({first.note})"


def ladder_lines(report: ParityReport) -> list[str]:
    """Return the ladder as lines of text."""
    from vespa_colbert.verify import Verdict

    rows: list[tuple[str, ...]] = [("rung", "cases", "values", "worst", "allowed", "verdict")]
    for rung in report.rungs:
        is_checked = rung.verdict is not Verdict.NOT_CHECKED
        allowed = "exact" if rung.measure == "exact" else f"{rung.tolerance:.0e} {rung.measure}"
        worst = f"{rung.worst:.0f} differ" if rung.measure == "exact" else f"{rung.worst:.1e}"
        rows.append((
            rung.name,
            str(rung.cases),
            str(rung.values),
            worst if is_checked else "-",
            allowed,
            f"{rung.verdict}{f' ({rung.note})' if rung.note else ''}",
        ))
    return table(rows)
