"""``vespa-colbert compress``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

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
    from collections.abc import Mapping

    from vespa_colbert.pipeline.compressed_index import CompressedIndex
    from vespa_colbert.recipe import Recipe

SourceArgument: TypeAlias = Annotated[
    Path | None, typer.Argument(help="A local index with float vectors, or PLAID's index.")
]
CodecOption: TypeAlias = Annotated[
    Path | None, typer.Option("--codec", help="Codes a local index; the recipe's.")
]
OutputOption: TypeAlias = Annotated[
    Path | None, typer.Option("-o", "--output", help="The Vespa feed.")
]
PlaidOption: TypeAlias = Annotated[
    Path | None, typer.Option("--plaid", help="Write PLAID's index there, and no feed.")
]
IndexOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--index", help="Write a local index of residuals there, and no feed."),
]
CorpusOption: TypeAlias = Annotated[
    Path | None, typer.Option("--corpus", help="Documents of PLAID's index, in its order.")
]
ModelOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("-m", "--model", help="Made PLAID's index, for --index; the recipe's."),
]
NamespaceOption: TypeAlias = Annotated[
    str, typer.Option("--namespace", help="First part of ids; the application's name.")
]


def command(
    source: SourceArgument = None,
    application: AppOption = None,
    codec: CodecOption = None,
    output: OutputOption = None,
    plaid: PlaidOption = None,
    coded: IndexOption = None,
    corpus: CorpusOption = None,
    model: ModelOption = None,
    namespace: NamespaceOption = "",
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write an index whose vectors are kept as residuals: its feed, a local index, PLAID's files.

    PLAID's index is taken as it is: nothing is encoded again.

    Example: vespa-colbert compress my-plaid-index --corpus corpus.jsonl -a output/app

    Example: vespa-colbert compress output/index --codec output/codec --index output/coded
    """
    from vespa_colbert.pipeline.compressed_index import compressed_index
    from vespa_colbert.pipeline.residuals import plaid_index

    _require_one(output, plaid, coded)
    said = load_recipe(recipe)
    index = compressed_index(source or said.index.output, codec or said.tokens.residual)
    is_plaid, is_fed = index.local is None, plaid is None and coded is None
    _require_heeded({
        "--codec": codec is not None and is_plaid,
        "--corpus": corpus is not None and plaid is not None,
        "--model": model is not None and not (is_plaid and coded is not None),
        "--namespace": bool(namespace) and not is_fed,
    })
    package = application or said.app.output
    texts = corpus or (None if index.local else said.corpus.path)
    if plaid is not None:
        written, path, what = plaid_index(index, plaid), plaid, "documents in PLAID's files"
    elif coded is not None:
        made_by = None if index.local else model or said.export.output
        written, path, what = _index(index, package, coded, texts, made_by), coded, "documents"
    else:
        path, what = output or said.index.feed, "put operations"
        written = _feed(index, package, path, texts, said, namespace)
    if as_json:
        print_json({"output": path, "documents": written, "bytes-a-token": index.codec.width})
    else:
        print_line(f"{path}: {written} {what}, {index.codec.width} bytes a token")


def _require_one(output: Path | None, plaid: Path | None, coded: Path | None) -> None:
    """Return nothing if at most one thing is to be written.

    Raises:
        BadParameter: If there are more.
    """
    paths = {"--output": output, "--plaid": plaid, "--index": coded}
    given = [name for name, path in paths.items() if path is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"expected one of {', '.join(paths)}, got {', '.join(given)}")


def _require_heeded(unheeded: Mapping[str, bool]) -> None:
    """Return nothing if all that was given says something.

    Args:
        unheeded: Flag → whether it was given where it says nothing.

    Raises:
        BadParameter: If one was.
    """
    for flag in (flag for flag, is_unheeded in unheeded.items() if is_unheeded):
        raise typer.BadParameter(
            "says nothing about what is read and written here; leave it out", param_hint=flag
        )


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
