"""``vespa-colbert check``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import print_json, print_line
from vespa_colbert.cli.options import AllowPickleFlag, JsonFlag

if TYPE_CHECKING:
    from vespa_colbert.reranker import Report


def command(
    folder: Annotated[
        Path, typer.Argument(help="Custom weights, a model folder, or a model with versions.")
    ],
    allow_pickle: AllowPickleFlag = False,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="Tokens of a pair, special ones too.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what is wrong with a cross-encoder's folder, each fault with its remedy; exit 1 if any.

    Config, weights, tokenizer and how they fit are read without a network; then a few pairs are
    scored.

    Example: vespa-colbert check models/my-reranker
    """
    from vespa_colbert.checkpoint import ReadOptions
    from vespa_colbert.export.versions import open_model
    from vespa_colbert.reranker import check_cross_encoder

    options = ReadOptions(allow_pickle=allow_pickle)
    report = check_cross_encoder(open_model(folder), options, max_tokens=max_tokens)
    if as_json:
        print_json({"sound": report.is_sound, **asdict(report)})
    else:
        for line in report_lines(report):
            print_line(line)
    if not report.is_sound:
        raise typer.Exit(1)


def report_lines(report: Report) -> list[str]:
    """Return a report as lines of text."""
    verdict = "sound" if report.is_sound else "not usable"
    facts = ", ".join(f"{name} {value}" for name, value in report.facts.items())
    lines = [f"{report.path}: {verdict}" + (f"; {facts}" if facts else "")]
    for each in report.diagnoses:
        lines += [
            f"  {each.severity} {each.code} ({each.step}): {each.found}",
            f"    remedy: {each.remedy}",
        ]
    lines += [f"  not checked: {each}" for each in report.not_checked]
    if report.scores:
        lines.append("  logits of sample queries (rows) and passages:")
        lines += ["    " + "  ".join(f"{each:9.4f}" for each in row) for row in report.scores]
    return lines
