"""Options that several verbs share, and the recipe behind them: a flag wins over its key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.recipe import Recipe

__all__ = [
    "AppOption",
    "IndexOption",
    "JsonFlag",
    "ModelOption",
    "RecipeOption",
    "load_recipe",
    "needed",
]

DEFAULT_RECIPE = Path("recipe.toml")

RecipeOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("-r", "--recipe", help="The recipe; recipe.toml in this folder if there is one."),
]
JsonFlag: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AppOption: TypeAlias = Annotated[
    Path | None, typer.Option("-a", "--application", help="The application package.")
]
ModelOption: TypeAlias = Annotated[
    Path | None, typer.Option("-m", "--model", help="The model folder.")
]
IndexOption: TypeAlias = Annotated[
    Path | None, typer.Option("-i", "--index", help="The local index.")
]

T = TypeVar("T")


def load_recipe(path: Path | None) -> Recipe:
    """Return the recipe named, the one in this folder, or the defaults.

    Raises:
        SpecError: If it is not valid; all its faults are listed.
    """
    from vespa_colbert.recipe import Recipe, read_recipe

    if path is None and not DEFAULT_RECIPE.is_file():
        return Recipe()
    return read_recipe(path or DEFAULT_RECIPE)


def needed(value: T | None, what: str, key: str) -> T:
    """Return a value that a verb cannot do without.

    Raises:
        SpecError: If neither the command line nor the recipe names it.
    """
    if value is None:
        raise SpecError(
            f"{what} is not named: give it on the command line, or as {key} in a recipe"
        )
    return value
