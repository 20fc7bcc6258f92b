"""``vespa-colbert diff``."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vespa_colbert.cli.console import Console, print_json, print_line, table
from vespa_colbert.cli.options import JsonFlag

if TYPE_CHECKING:
    from vespa_colbert.app.change import Comparison, Difference
    from vespa_colbert.vespa_java import ChangeReport

MOST_DAYS = 30
"""How far ahead an override may be. Source: ValidationOverrides.validate, Vespa 8.700.24."""

ACTIONS = {"reindex": "index again", "refeed": "feed again", "restart": "restart"}
LONGEST = 96

LOSSES = {
    "field-type-change": "values of the old type are lost: the documents must be fed again",
    "indexing-change": "what was indexed stays as it is until the documents are indexed again",
    "schema-removal": "all documents of the schema are deleted",
    "content-cluster-removal": "all documents of the cluster are deleted",
    "indexing-mode-change": "the documents of the type are not found until they are indexed again",
    "paged-setting-removal": "the whole attribute is loaded into memory",
    "hnsw-settings-change": "the graph is built again when the node starts, which may take long",
    "global-document-change": "documents are distributed anew, and some may be lost meanwhile",
}
"""Override → what happens once it allows the change. Source: validators of Vespa 8.700.24."""


def command(
    old: Annotated[Path, typer.Argument(help="The package that runs.")],
    new: Annotated[Path, typer.Argument(help="The package that is to be deployed.")],
    as_json: JsonFlag = False,
) -> None:
    """Show what differs between two packages, and what Vespa demands for the change.

    Any packages, ours or not. Exit 0 if Vespa would deploy it, 1 if it refuses the change.

    Example: vespa-colbert diff running-app output/app
    """
    from vespa_colbert.app.change import compare_packages
    from vespa_colbert.cli.java import open_java

    found = compare_packages(old, new)
    with open_java(Console()) as java:
        report = java.compare_applications(old, new)
    if as_json:
        print_json({**comparison_json(found), "vespa": report_json(report)})
    else:
        for line in [*comparison_lines(found), "", *report_lines(report)]:
            print_line(line)
    if not report.accepted:
        raise typer.Exit(1)


def comparison_lines(found: Comparison) -> list[str]:
    """Return what differs, name by name, as lines of text."""
    if not found.differences:
        return ["nothing differs"]
    rows = [(each.change, each.item.kind, each.item.place) for each in found.differences]
    lines = list[str]()
    for line, each in zip(table(rows), found.differences, strict=True):
        lines += [line, *_part_lines(each)]
    return lines + [f"warning: {each}" for each in found.warnings]


def _part_lines(difference: Difference) -> list[str]:
    """Return before and after of what changed, where that is short enough to be read."""
    if difference.change != "changed" or difference.item.kind in {"cluster", "file"}:
        return []
    lines = []
    for name, before, after in difference.parts:
        lines += [f"      {name}", f"        - {_short(before)}", f"        + {_short(after)}"]
    return lines


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def report_lines(report: ChangeReport) -> list[str]:
    """Return Vespa's verdict as lines of text."""
    lines = [f"error: {error}" for error in report.errors]
    lines += [f"{ACTIONS[each.kind]}: {each.message}" for each in report.changes]
    for each in report.blocked:
        loss = LOSSES.get(each.override, each.meaning)
        lines += [f"refused without an override: {each.override} ({loss})"]
        lines += [f"    {message}" for message in each.messages]
    if report.blocked:
        lines += ["validation-overrides.xml that allows it:", *_overrides(report.overrides)]
    lines += [f"not checked: {each}" for each in report.not_checked]
    verdict = "deploys it" if report.accepted else "refuses it"
    return [*lines, f"Vespa {report.vespa_version} {verdict}"]


def _overrides(names: tuple[str, ...]) -> list[str]:
    until = last_day().isoformat()
    allow = [f'        <allow until="{until}">{name}</allow>' for name in names]
    return ["    <validation-overrides>", *allow, "    </validation-overrides>"]


def last_day() -> date:
    """Return the last day that an override may name, one less for other time zones."""
    return date.today() + timedelta(days=MOST_DAYS - 1)


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Return what differs as JSON."""
    return {
        "differences": [
            {
                "change": each.change,
                "kind": each.item.kind,
                "place": each.item.place,
                "parts": {
                    name: {"before": before, "after": after} for name, before, after in each.parts
                },
            }
            for each in found.differences
        ],
        "warnings": found.warnings,
    }


def report_json(report: ChangeReport) -> dict[str, Any]:
    """Return Vespa's verdict as JSON."""
    return {
        "version": report.vespa_version,
        "accepted": report.accepted,
        "errors": report.errors,
        "changes": [
            {
                "action": each.kind,
                "message": each.message,
                "override": each.override or None,
                "document-type": each.document_type or None,
                "services": each.services,
            }
            for each in report.changes
        ],
        "overrides": [
            {
                "id": each.override,
                "until": last_day().isoformat(),
                "loses": LOSSES.get(each.override, each.meaning),
                "changes": each.messages,
            }
            for each in report.blocked
        ],
        "not-checked": report.not_checked,
    }
