"""``vespa-colbert validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe


def command(
    application: Annotated[Path | None, typer.Argument(help="The application package.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Have Vespa's own config model build and validate a package; exit 1 if it refuses.

    Example: vespa-colbert validate output/app
    """
    from vespa_colbert.cli.java import open_java

    folder = application or load_recipe(recipe).app.output
    with open_java(Console()) as java:
        report = java.validate_application(folder)
    if as_json:
        print_json({
            "application": folder,
            "vespa": report.vespa_version,
            "accepted": not report.errors,
            "errors": report.errors,
            "warnings": report.warnings,
            "not-checked": report.not_checked,
            "profiles": {name: sorted(each) for name, each in report.profiles.items()},
        })
    else:
        for warning in report.warnings:
            print_line(f"warning: {warning}")
        for missed in report.not_checked:
            print_line(f"not checked: {missed}")
        for error in report.errors:
            print_line(f"error: {error}")
        verdict = "refused" if report.errors else "accepted"
        print_line(f"{folder}: {verdict} by Vespa {report.vespa_version}")
    if report.errors:
        raise typer.Exit(1)
