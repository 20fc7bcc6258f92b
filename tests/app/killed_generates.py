"""A process that forks ``generate`` and kills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import lxml.etree

from tests.killed_processes import Target, answer
from vespa_colbert.app import read_package
from vespa_colbert.app.render import MANIFEST_FILE
from vespa_colbert.cli.generate import command
from vespa_colbert.errors import SpecError
from vespa_colbert.recipe import read_recipe

IMPORTED = (jinja2, lxml.etree, read_recipe)


def target(request: dict[str, Any]) -> Target:
    recipe, output = Path(request["recipe"]), Path(request["output"])
    old = manifest(output)
    return Target(
        run=lambda: command(recipe=recipe, output=output),
        output=output,
        state=lambda: state(output, old),
        rerun=True,
    )


def manifest(output: Path) -> str:
    path = output / MANIFEST_FILE
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def state(output: Path, old: str) -> str:
    """Return which package stands there: every file that its manifest names, and no other."""
    if not output.exists():
        return "none"
    try:
        package = read_package(output)
    except SpecError as error:
        return f"broken: {error}"
    present = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    if present != {*package.files, MANIFEST_FILE}:
        return f"mixed: {sorted(present)}"
    return "old" if manifest(output) == old else "new"


if __name__ == "__main__":
    answer(target)
