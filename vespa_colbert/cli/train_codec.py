"""``vespa-colbert train-codec``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe

TRAINING: dict[str, Any] = {
    "bits": Annotated[
        int | None, typer.Option("--bits", help="Bits a component: 1, 2 or 4; else 2.")
    ],
    "centroids": Annotated[
        int | None,
        typer.Option("--centroids", min=0, help="How many; else 0, as many as PLAID takes."),
    ],
    "iterations": Annotated[
        int | None,
        typer.Option("--iterations", min=1, help="How often k-means moves them; else 4."),
    ],
    "seed": Annotated[
        int | None, typer.Option("--seed", min=0, help="Of all that is drawn; else 0.")
    ],
}


@takes_flags("training", TRAINING)
def command(
    source: Annotated[
        Path | None, typer.Argument(help="A local index with float vectors, or PLAID's index.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the codec.")] = Path(
        "output/codec"
    ),
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    training: Given | None = None,
) -> None:
    """Train ColBERTv2's residual codec on an index, or take over the one of PLAID's index.

    Example: vespa-colbert train-codec output/index -o output/codec --bits 2
    """
    from vespa_colbert.codec import CodecOptions
    from vespa_colbert.pipeline.compressed_index import is_plaid_index
    from vespa_colbert.pipeline.residuals import make_codec

    said, given = load_recipe(recipe), training or {}
    options, index = CodecOptions(**given), source or said.index.output
    if given and is_plaid_index(index):
        raise typer.BadParameter(
            "PLAID's index has a codec; leave it out", param_hint=f"--{next(iter(given))}"
        )
    with Console().track("k-means", options.iterations) as progress:
        codec = make_codec(index, output, options, progress=progress)
    if as_json:
        print_json({
            "codec": output,
            "dim": codec.dim,
            "bits": codec.bits,
            "centroids": len(codec.centroids),
            "bytes-a-token": codec.width,
            "average-residual": codec.average_residual,
        })
        return
    print_line(f"{output}: {len(codec.centroids)} centroids, {codec.bits} bits a component")
    print_line(f"  {codec.width} bytes a token and the number of its centroid; dim {codec.dim}")
    print_line("  next: [tokens] residual in a recipe, generate, compress")
