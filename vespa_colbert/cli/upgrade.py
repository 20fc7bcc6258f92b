"""``vespa-colbert upgrade``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line, table
from vespa_colbert.cli.diff import last_day, report_json, report_lines
from vespa_colbert.cli.options import JsonFlag

if TYPE_CHECKING:
    from vespa_colbert.app.change import Upgrade
    from vespa_colbert.vespa_java import ChangeReport

REINDEX = (
    "http://CONFIG-SERVER:19071/application/v2/tenant/default/application/default/environment/"
    "default/region/default/instance/default/reindex"
)
"""Source: the deploy API, en/reference/api/deploy-v2.html#reindex."""


def command(
    old: Annotated[Path, typer.Argument(help="The package that runs.")],
    model: Annotated[Path, typer.Option("-m", "--model", help="The new model's folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The package with both models.")],
    final: Annotated[
        Path | None, typer.Option("--final", help="The package after that, the old model gone.")
    ] = None,
    embedder: Annotated[
        str, typer.Option(help="Id of the embedder to replace, if there are several.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Put a new model beside the old one: fields, embedder and profiles of its own, and the plan.

    Any package with a colbert-embedder. What each step takes is asked of Vespa's config model.
    Exit 1 if Vespa refuses a step.

    Example: vespa-colbert upgrade app --model output/model -o step1 --final step2
    """
    from vespa_colbert.app.change import plan_upgrade, write_step
    from vespa_colbert.export import read_model_folder

    upgrade = plan_upgrade(old, read_model_folder(model), embedder)
    write_step(upgrade, output)
    reports = _reports(upgrade, old, output, final)
    if as_json:
        print_json({
            "embedder": {"old": upgrade.old, "new": upgrade.new.name},
            "schemas": {
                each.path: {"fields": dict(each.fields), "profiles": dict(each.profiles)}
                for each in upgrade.schemas
            },
            "mentions": upgrade.mentions,
            "steps": [{"application": each.new, **report_json(each)} for each in reports],
        })
    else:
        for line in _lines(upgrade, reports):
            print_line(line)
    if not all(each.accepted for each in reports):
        raise typer.Exit(1)


def _reports(upgrade: Upgrade, old: Path, output: Path, final: Path | None) -> list[ChangeReport]:
    """Return what Vespa says of each step, after writing the package of the last one, if any."""
    from vespa_colbert.app.change import write_final
    from vespa_colbert.cli.java import open_java

    with open_java(Console()) as java:
        reports = [java.compare_applications(old, output)]
        if final is not None:
            write_final(upgrade, output, final)
            report = java.compare_applications(output, final)
            if report.blocked and not report.errors:
                names, until = report.overrides, last_day()
                write_final(upgrade, output, final, overrides=names, until=until)
                report = java.compare_applications(output, final)
            reports.append(report)
    return reports


def _lines(upgrade: Upgrade, reports: list[ChangeReport]) -> list[str]:
    """Return names and plan as lines of text."""
    rows = [("", "old", "new"), ("embedder", upgrade.old, upgrade.new.name)]
    for each in upgrade.schemas:
        rows += [("field", old, new) for old, new in each.fields.items()]
        rows += [("rank profile", old, new) for old, new in each.profiles.items()]
    lines = [*table(rows), "", f"1. Deploy {reports[0].new}", *_indented(reports[0]), ""]
    lines += _fill_lines(upgrade, reports[0])
    lines += _switch_lines(upgrade)
    if len(reports) > 1:
        lines += [
            f"4. When no query asks for the old profiles any more, deploy {reports[1].new}",
            *_indented(reports[1]),
        ]
    return lines


def _indented(report: ChangeReport) -> list[str]:
    return [f"   {line}" for line in report_lines(report)]


def _fill_lines(upgrade: Upgrade, report: ChangeReport) -> list[str]:
    """Return how the new fields are filled."""
    types = sorted({each.document_type for each in report.changes if each.document_type})
    fields = ", ".join(new for each in upgrade.schemas for new in each.fields.values())
    return [
        f"2. Fill {fields}: have Vespa index {', '.join(types) or 'the documents'} again, or feed",
        f"   Vespa Cloud begins by itself. Elsewhere: curl -X POST {REINDEX}",
        f"   and then deploy {report.new} once more. Every embedder is run for every document.",
        f"   Both models' vectors take room: vespa-colbert plan {report.new}",
        "",
    ]


def _switch_lines(upgrade: Upgrade) -> list[str]:
    """Return how queries come to the new model."""
    old, new = upgrade.old, upgrade.new.name
    profiles = [pair for each in upgrade.schemas for pair in each.profiles.items()]
    default = [after for before, after in profiles if before == "default"]
    return [
        "3. When all documents are indexed again, change the queries",
        f"   embed({old}, …) → embed({new}, …)",
        *(f"   ranking={before} → ranking={after}" for before, after in profiles),
        *(f"   a query that names no profile is one of default: name {it}" for it in default),
        f"   Before step 1: a query that says embed(…) without {old} fails beside two embedders.",
        *(f"   to be changed too: {each}" for each in upgrade.mentions),
        "",
    ]
