"""``vespa-colbert train-codec``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import JsonFlag, RecipeOption, load_recipe


def command(
    source: Annotated[
        Path | None, typer.Argument(help="A local index with float vectors, or PLAID's index.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the codec.")] = Path(
        "output/codec"
    ),
    bits: Annotated[int, typer.Option("--bits", help="Bits a component: 1, 2 or 4.")] = 2,
    centroids: Annotated[
        int, typer.Option("--centroids", min=0, help="How many; 0 for as many as PLAID takes.")
    ] = 0,
    iterations: Annotated[
        int, typer.Option("--iterations", min=1, help="How often k-means moves them.")
    ] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")] = 0,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train ColBERTv2's residual codec on an index, or take over the one of PLAID's index.

    Example: vespa-colbert train-codec output/index -o output/codec --bits 2
    """
    from vespa_colbert.codec import CodecOptions
    from vespa_colbert.pipeline.residuals import make_codec

    options = CodecOptions(bits=bits, centroids=centroids, iterations=iterations, seed=seed)
    with Console().track("k-means", iterations) as progress:
        said = load_recipe(recipe)
        codec = make_codec(source or said.index.output, output, options, progress=progress)
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
