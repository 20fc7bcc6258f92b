"""``vespa-colbert generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag, ModelOption, RecipeOption, load_recipe

if TYPE_CHECKING:
    from vespa_colbert.export import ModelFolder


def command(
    model: ModelOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The application package.")
    ] = None,
    templates: Annotated[
        Path | None, typer.Option("--templates", help="Templates of your own (see `templates`).")
    ] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print a complete application package that `vespa deploy` takes as it is.

    Example: vespa-colbert generate -m output/model -o output/app
    """
    from vespa_colbert.app import render_app
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.rank import parse_expression
    from vespa_colbert.recipe import recipe_application

    said = load_recipe(recipe)
    if model is not None:
        said = said.model_copy(update={"export": said.export.model_copy(update={"output": model})})
    folder = output or said.app.output
    package = render_app(
        recipe_application(said), folder, templates=templates, parse=parse_expression
    )
    if said.model.embedder is None:
        made = read_model_folder(said.export.output, check=False)
        if not made.is_verified:
            Console().say(f"warning: {made.path}: {made.comparison}")
        for line in _width_lines(made, said.tokens.dims) if said.app.cell_types else []:
            Console().say(line)
    if as_json:
        print_json({"path": package.path, "name": package.name, "files": sorted(package.files)})
        return
    print_line(f"{package.path}: application {package.name}")
    for name, digest in sorted(package.files.items()):
        print_line(f"  {name}  {digest.size} bytes")


def _width_lines(model: ModelFolder, dims: tuple[int, ...]) -> list[str]:
    """Return what there is to say of the widths that a model was trained for, if it states them."""
    if not model.cuts:
        return []
    known = (model.embedder.dim, *model.cuts)
    if not dims:
        return [f"{model.path}: trained to be cut too: [tokens] dims = {list(known)} stores all"]
    unknown = [width for width in dims if width not in known]
    return [
        f"warning: {model.path}: [tokens] dims: not trained to be cut to {width}, but to "
        f"{', '.join(map(str, model.cuts))}"
        for width in unknown
    ]
