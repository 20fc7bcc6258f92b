"""``vespa-colbert feed``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import (
    AppOption,
    JsonFlag,
    PoolFactorOption,
    ProtectedTokensOption,
    RecipeOption,
    load_recipe,
    namespace_of,
    pooling_of,
)
from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vespa_colbert.embedder.pooling import TokenPooling
    from vespa_colbert.index import Feed, FeedResult
    from vespa_colbert.recipe import Recipe

STDOUT = Path("-")


SourceArgument: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        help="A corpus: JSON lines, a BEIR folder, - for stdin. Or the folder of a local index."
    ),
]
ModelOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("-m", "--model", help="Embeds a corpus for tensors that documents have."),
]
OutputOption: TypeAlias = Annotated[
    Path | None, typer.Option("-o", "--output", help="The feed; - for stdout.")
]
TensorsFlag: TypeAlias = Annotated[
    bool | None,
    typer.Option("--tensors/--no-tensors", help="Feed the documents' tensor fields."),
]
EmbedOption: TypeAlias = Annotated[
    str, typer.Option("--embed", help="What is embedded into them, as in: input text")
]
GroupOption: TypeAlias = Annotated[
    str, typer.Option("--group", help="Field with a document's group, for personal search.")
]
NamespaceOption: TypeAlias = Annotated[
    str, typer.Option("--namespace", help="First part of ids; the application's name.")
]
SchemaOption: TypeAlias = Annotated[
    str, typer.Option("--schema", help="Which, where there are several.")
]
ResumeFlag: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Go on where an earlier run with --resume stopped.")
]


def command(
    source: SourceArgument = None,
    application: AppOption = None,
    model: ModelOption = None,
    output: OutputOption = None,
    tensors: TensorsFlag = None,
    embed: EmbedOption = "",
    group: GroupOption = "",
    namespace: NamespaceOption = "",
    schema: SchemaOption = "",
    resume: ResumeFlag = False,
    pool_factor: PoolFactorOption = None,
    protected_tokens: ProtectedTokensOption = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the Vespa feed of a corpus or of a local index.

    Example: vespa-colbert feed corpus.jsonl -a output/app -o - | vespa feed -
    """
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline import FeedOptions, only_schema, open_feed, sent_fields

    said = load_recipe(recipe)
    path = output or said.index.feed
    if resume and path == STDOUT:
        raise typer.BadParameter("stdout cannot be resumed; name a file with -o")
    package = application or said.app.output
    taken = source or said.corpus.path or said.index.output
    options = FeedOptions(
        namespace=namespace or namespace_of(said, package),
        group=group,
        tensors=tensors,
        embed=embed,
        threads=said.index.threads,
        given=sent_fields(package),
        pooling=_pooling(said, taken, model, pool_factor, protected_tokens),
        application=package,
    )
    kind, folder = only_schema(package, schema), None if model is None else read_model_folder(model)
    with _source(taken) as found:
        feed = open_feed(found, kind, options, folder)
        result = _write(feed, path, _count(found), resume=resume)
    _tell(result, path, as_json=as_json)


def _pooling(
    said: Recipe, source: Path, model: Path | None, factor: float | None, protected: int | None
) -> TokenPooling:
    """Return how the vectors that are made here are pooled.

    Raises:
        SpecError: If it is asked for where none are made.
    """
    from vespa_colbert.index import is_index_folder

    is_asked = factor is not None or protected is not None
    if is_asked and (model is None or is_index_folder(source)):
        raise SpecError(
            f"{source}: --pool-factor and --protected-tokens go with a corpus and a model (-m), "
            "which make vectors; those of an index are pooled when it is embedded"
        )
    return pooling_of(said, factor, protected)


@contextlib.contextmanager
def _source(given: Path) -> Iterator[Path]:
    """Yield the folder of an index as it is, or the file of a corpus."""
    from vespa_colbert.index import is_index_folder
    from vespa_colbert.pipeline import corpus_file

    if is_index_folder(given):
        yield given
        return
    with corpus_file(given) as corpus:
        yield corpus


def _write(feed: Feed, path: Path, total: int, *, resume: bool) -> FeedResult:
    from vespa_colbert.index import resume_feed, stream_feed, write_feed

    with Console().track("feed", total) as progress:
        if path == STDOUT:
            return stream_feed(feed, sys.stdout.buffer, progress=progress)
        return (resume_feed if resume else write_feed)(feed, path, progress=progress)


def _count(source: Path) -> int:
    """Return how many documents there are to come: lines, or those of an index."""
    from vespa_colbert.index import is_index_folder
    from vespa_colbert.index.manifest import read_manifest

    if is_index_folder(source):
        return read_manifest(source).documents
    if not source.is_file():
        return 0
    with source.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def _tell(result: FeedResult, path: Path, *, as_json: bool) -> None:
    if result.left_out:
        names = ", ".join(result.left_out)
        Console().say(f"warning: left out, as the schema's documents have no such field: {names}")
    if path == STDOUT:
        Console().say(f"{result.operations} put operations")
    elif as_json:
        print_json({
            "feed": path,
            "operations": result.operations,
            "kept": result.kept,
            "left-out": result.left_out,
        })
    else:
        kept = f", {result.kept} of them kept from an earlier run" if result.kept else ""
        print_line(f"{path}: {result.operations} put operations{kept}")
