"""``vespa-colbert validate``.

``--json`` prints one object: ``application``, its path; ``vespa``, the release that judged, null
if none did; ``accepted``, whether it takes the package, null if it was not asked; ``passed``,
whether there is no error at all; ``errors``, ``warnings`` and ``not-checked``, lists of findings by
file and line; ``profiles``, schema → names of rank profiles. A finding is an object of ``code``
(words with dashes), ``severity`` (error, warning, not checked), ``file`` (path in the package,
empty for all of it), ``line`` (from 1, 0 for the whole file), ``reason`` and ``remedy`` (empty for
none).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe

if TYPE_CHECKING:
    from vespa_colbert.validate import Findings


def command(
    application: Annotated[Path | None, typer.Argument(help="The application package.")] = None,
    recipe: RecipeOption = None,
    no_java: Annotated[
        bool, typer.Option("--no-java", help="Make our own checks alone, without Vespa's.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what is wrong with an application package, ours or not; exit 1 on an error.

    Vespa's own config model builds and validates it as a deployment does, then comes what Vespa
    lets pass and should not. Of a recipe, also whether its pooling can be had.

    Example: vespa-colbert validate output/app
    """
    from vespa_colbert.cli.java import open_java
    from vespa_colbert.embedder.pooling import UNPOOLED
    from vespa_colbert.validate import validate_application

    folder, pooling = application, UNPOOLED
    if folder is None or recipe is not None:
        said = load_recipe(recipe)
        folder, pooling = folder or said.app.output, said.index.pooling
    with contextlib.nullcontext() if no_java else open_java(Console()) as java:
        findings = validate_application(folder, java, pooling=pooling)
    if as_json:
        _print_as_json(folder, findings)
    else:
        for finding in findings.findings:
            print_line(str(finding))
        print_line(f"{folder}: {_verdict(findings)}")
    if not findings.is_good:
        raise typer.Exit(1)


def _print_as_json(folder: Path, findings: Findings) -> None:
    from vespa_colbert.validate import Severity

    print_json({
        "application": folder,
        "vespa": findings.vespa_version or None,
        "accepted": findings.is_accepted,
        "passed": findings.is_good,
        "errors": [each.as_json() for each in findings.of(Severity.ERROR)],
        "warnings": [each.as_json() for each in findings.of(Severity.WARNING)],
        "not-checked": [each.as_json() for each in findings.of(Severity.NOT_CHECKED)],
        "profiles": findings.profiles,
    })


def _verdict(findings: Findings) -> str:
    from vespa_colbert.validate import Severity

    by = f"by Vespa {findings.vespa_version}"
    verdicts = {None: "Vespa was not asked", True: f"accepted {by}", False: f"refused {by}"}
    counts = ", ".join(f"{each.value}: {len(findings.of(each))}" for each in Severity)
    return f"{verdicts[findings.is_accepted]}; {counts}"
