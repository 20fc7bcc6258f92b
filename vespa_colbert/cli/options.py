"""Options that several verbs share, and the recipe behind them: a flag wins over its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar

import typer

from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.embedder.pooling import TokenPooling
    from vespa_colbert.recipe import Recipe

__all__ = [
    "AllowPickleFlag",
    "AppOption",
    "IndexOption",
    "JsonFlag",
    "ModelOption",
    "PoolFactorOption",
    "ProfileOption",
    "ProtectedTokensOption",
    "QuestionArgument",
    "RecipeOption",
    "RuntimeOption",
    "load_recipe",
    "namespace_of",
    "needed",
    "numbers",
    "pooling_of",
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
QuestionArgument: TypeAlias = Annotated[str, typer.Argument(help="The question.")]
ProfileOption: TypeAlias = Annotated[
    str | None, typer.Option("-p", "--profile", help="The rank profile.")
]
AllowPickleFlag: TypeAlias = Annotated[
    bool, typer.Option("--allow-pickle", help="Open torch files (.bin): tensors only.")
]

PoolFactorOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--pool-factor", min=1.0, help="Vectors of a document pooled into one, about; they are fed."
    ),
]
ProtectedTokensOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--protected-tokens", min=0, help="First vectors that are not pooled; 1 else."),
]

RuntimeOption: TypeAlias = Annotated[
    Literal["onnxruntime", "openvino-bf16"],
    typer.Option(
        "--runtime",
        help="openvino-bf16: token vectors in bfloat16, faster, not exact (cosine about 0.9999).",
    ),
]

T = TypeVar("T")
N = TypeVar("N", int, float)


def load_recipe(path: Path | None) -> Recipe:
    """Return the recipe named, the one in this folder, or the defaults.

    Raises:
        SpecError: If it is not valid; all its faults are listed.
    """
    from vespa_colbert.recipe import Recipe, read_recipe

    if path is None and not DEFAULT_RECIPE.is_file():
        return Recipe()
    return read_recipe(path or DEFAULT_RECIPE)


def namespace_of(said: Recipe, application: Path) -> str:
    """Return the first part of document ids: the package's name, or else the recipe's."""
    from vespa_colbert.pipeline import package_name

    return package_name(application) or said.app.name


def pooling_of(said: Recipe, factor: float | None, protected: int | None) -> TokenPooling:
    """Return how token vectors are pooled, flags before recipe keys."""
    from vespa_colbert.embedder.pooling import TokenPooling

    stated = said.index.pooling
    return TokenPooling(
        factor=stated.factor if factor is None else factor,
        protected=stated.protected if protected is None else protected,
    )


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


def numbers(text: str, flag: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    """Return the numbers of a list such as ``64,32``.

    Args:
        text: The list.
        flag: Where it was given, for the message.
        kind: What reads one of them.

    Raises:
        SpecError: If one is no number.
    """
    try:
        return tuple(kind(each) for each in text.split(",") if each.strip())
    except ValueError:
        what = "widths such as 64,32" if kind is int else "numbers such as 1,0.5"
        raise SpecError(f"{flag}: expected {what}, got {text!r}") from None
