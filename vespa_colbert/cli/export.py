"""``vespa-colbert export``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe, needed
from vespa_colbert.cli.read_options import StatedOptions, read_options, takes_read_options


@takes_read_options
def command(
    checkpoint: Annotated[Path | None, typer.Argument(help="The checkpoint folder.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The model folder.")] = None,
    opset: Annotated[int | None, typer.Option("--opset", help="ONNX operator set.")] = None,
    packaging: Annotated[
        Literal["auto", "native", "exact"] | None,
        typer.Option("--packaging", help="The plain graph, or the training library's semantics."),
    ] = None,
    dims: Annotated[
        int | None, typer.Option("--dims", help="Components to leave of a token vector.")
    ] = None,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Write a model whose scores will change.")
    ] = False,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    stated: StatedOptions | None = None,
) -> None:
    """Convert a checkpoint to a model folder, compared with torch before it gets its name.

    Example: vespa-colbert export my-checkpoint -o output/model
    """
    from vespa_colbert.pipeline import export_model

    said = load_recipe(recipe)
    export = said.export.options
    export = replace(
        export,
        opset=opset or export.opset,
        packaging=packaging or export.packaging,
        dims=export.dims if dims is None else dims,
        accept_drift=accept_drift or export.accept_drift,
    )
    made = export_model(
        needed(checkpoint or said.checkpoint.path, "the checkpoint", "checkpoint.path"),
        output or said.export.output,
        export=export,
        options=read_options(said, stated),
        reporter=Console(),
    )
    folder = made.value
    if as_json:
        print_json({"reused": made.reused, "path": folder.path, **json.loads(folder.manifest())})
        return
    state = "still valid, reused" if made.reused else "written"
    worst = max(case["worst"] for case in folder.verification["cases"])
    print_line(
        f"{folder.path}: {state}; packaging {folder.packaging} ({folder.reason}); contextual "
        f"{folder.embedder.dim} wide, opset "
        f"{folder.graph['opset']}, largest difference to torch {worst:.1e} on "
        f"{len(folder.verification['cases'])} shapes"
    )
