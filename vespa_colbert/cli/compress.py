"""``vespa-colbert compress``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import (
    AppOption,
    JsonFlag,
    RecipeOption,
    load_recipe,
    namespace_of,
)

if TYPE_CHECKING:
    from vespa_colbert.pipeline.residuals import CompressedIndex
    from vespa_colbert.recipe import Recipe


def command(
    source: Annotated[
        Path | None, typer.Argument(help="A local index with float vectors, or PLAID's index.")
    ] = None,
    application: AppOption = None,
    codec: Annotated[
        Path | None, typer.Option("--codec", help="Codes a local index; the recipe's.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The Vespa feed.")] = None,
    plaid: Annotated[
        Path | None, typer.Option("--plaid", help="Write PLAID's index there, and no feed.")
    ] = None,
    coded: Annotated[
        Path | None,
        typer.Option("--index", help="Write a local index of residuals there, and no feed."),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Documents of PLAID's index, in its order.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("-m", "--model", help="Made PLAID's index, for --index; the recipe's."),
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", help="First part of ids; the application's name.")
    ] = "",
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write an index whose vectors are kept as residuals: its feed, a local index, PLAID's files.

    PLAID's index is taken as it is: nothing is encoded again.

    Example: vespa-colbert compress my-plaid-index --corpus corpus.jsonl -a output/app

    Example: vespa-colbert compress output/index --codec output/codec --index output/coded
    """
    from vespa_colbert.pipeline.residuals import compressed_index, plaid_index

    said = load_recipe(recipe)
    if plaid is not None and coded is not None:
        raise typer.BadParameter("--index and --plaid: expected one of them, got both")
    index = compressed_index(source or said.index.output, codec or said.tokens.residual)
    package = application or said.app.output
    texts = corpus or (None if index.local else said.corpus.path)
    if plaid is not None:
        written, path, what = plaid_index(index, plaid), plaid, "documents in PLAID's files"
    elif coded is not None:
        made_by = None if index.local else model or said.export.output
        written, path, what = _index(index, package, coded, texts, made_by), coded, "documents"
    else:
        path = output or said.index.feed
        written = _feed(index, package, path, texts, said, namespace)
        what = "put operations"
    if as_json:
        print_json({"output": path, "documents": written, "bytes-a-token": index.codec.width})
        return
    print_line(f"{path}: {written} {what}, {index.codec.width} bytes a token")


def _feed(
    index: CompressedIndex,
    package: Path,
    path: Path,
    corpus: Path | None,
    said: Recipe,
    namespace: str,
) -> int:
    from vespa_colbert.index import FeedFields, write_feed
    from vespa_colbert.pipeline import only_schema
    from vespa_colbert.pipeline.residuals import residual_feed

    schema = only_schema(package)
    fields = FeedFields.of_schema(schema, namespace=namespace or namespace_of(said, package))
    feed = residual_feed(index, package, schema, fields, corpus)
    with Console().track("compress", len(index.lengths())) as progress:
        return write_feed(feed, path, progress=progress).operations


def _index(
    index: CompressedIndex, package: Path, path: Path, corpus: Path | None, model: Path | None
) -> int:
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline.coded_index import write_coded_index

    made_by = None if model is None else read_model_folder(model)
    with Console().track("compress", len(index.lengths())) as progress:
        return write_coded_index(
            index, path, package, corpus=corpus, model=made_by, progress=progress
        )
