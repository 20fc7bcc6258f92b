"""``vespa-colbert models``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vespa_colbert.cli.check import report_lines
from vespa_colbert.cli.console import fail, print_json, print_line, table
from vespa_colbert.cli.options import JsonFlag
from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.export.versions import ModelVersion


def command(
    action: Annotated[
        Literal["publish", "list", "use", "rollback"], typer.Argument(help="What to do.")
    ],
    root: Annotated[Path, typer.Argument(help="Where the models are: ROOT/name/version.")],
    name: Annotated[str, typer.Argument(help="The model.")] = "",
    folder: Annotated[Path | None, typer.Option("--folder", help="What is published.")] = None,
    version: Annotated[
        str, typer.Option("--version", help="Its name; of a publication the next number by itself.")
    ] = "",
    unused: Annotated[
        bool, typer.Option("--unused", help="Publish without making it the one in use.")
    ] = False,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Publish what is no cross-encoder, or is faulty.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Keep versions of a model side by side; which one is in use changes by one rename.

    A path ROOT/name is taken by check and rerank for the version in use.

    Example: vespa-colbert models publish models reranker --folder output/reranker
    """
    from vespa_colbert.export import versions

    if action == "list":
        _print(versions.model_versions(root, name), as_json=as_json)
        return
    if not name:
        raise SpecError(f"models {action}: the model is not named; give ROOT and NAME")
    if action == "publish":
        if folder is None:
            raise SpecError("models publish: what is published is not named: --folder FOLDER")
        if not unchecked:
            _check(folder)
        made = versions.publish_version(folder, root, name, version=version, use=not unused)
    elif action == "use":
        made = versions.use_version(root, name, version)
    else:
        made = versions.roll_back(root, name)
    _print([made], as_json=as_json)


def _check(folder: Path) -> None:
    """Return nothing if a folder can be published.

    Raises:
        Exit: If it has a fault; it was told.
    """
    from vespa_colbert.reranker import check_cross_encoder

    report = check_cross_encoder(folder)
    if not report.is_sound:
        fail("\n".join([*report_lines(report), "nothing was published"]))
        raise typer.Exit(1)


def _print(found: Iterable[ModelVersion], *, as_json: bool) -> None:
    listed = list(found)
    if as_json:
        print_json([asdict(each) for each in listed])
        return
    rows = [
        (each.name, each.version, "in use" if each.is_current else "", str(each.path))
        for each in listed
    ]
    for line in table(rows, indent=0) if rows else []:
        print_line(line)
