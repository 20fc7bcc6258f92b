"""``vespa-colbert init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vespa_colbert.cli.console import print_line


def command(
    path: Annotated[Path, typer.Argument(help="The recipe to write.")] = Path("recipe.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe.")] = False,
) -> None:
    """Write a commented recipe: one TOML file that drives every other verb.

    Example: vespa-colbert init recipe.toml
    """
    from vespa_colbert.errors import OutputError
    from vespa_colbert.files import atomic_file
    from vespa_colbert.recipe import default_recipe

    if path.exists() and not force:
        raise OutputError(f"{path}: there is a file already; choose another name or give --force")
    with atomic_file(path) as part:
        part.write_text(default_recipe(), encoding="utf-8")
    print_line(f"{path}: edit [checkpoint] and [corpus], then: vespa-colbert export -r {path}")
