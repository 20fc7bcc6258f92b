"""``vespa-colbert index``: what is done to a local index after it was made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.embed import OnErrorOption, tell_skipped
from vespa_colbert.cli.options import (
    AppOption,
    JsonFlag,
    ModelOption,
    PoolFactorOption,
    ProtectedTokensOption,
    RecipeOption,
    RuntimeOption,
    load_recipe,
    needed,
    pooling_of,
)
from vespa_colbert.errors import IndexFolderError, SpecError

if TYPE_CHECKING:
    from vespa_colbert.index.manifest import IndexManifest
    from vespa_colbert.recipe import Recipe

app = typer.Typer(
    no_args_is_help=True,
    help="""Check, change or join local indexes; readers keep the state that they opened.

    Example: vespa-colbert index check output/index
    """,
)

IndexArgument: TypeAlias = Annotated[
    Path | None, typer.Argument(help="The local index; that of the recipe else.")
]
CorpusOption: TypeAlias = Annotated[
    Path | None, typer.Option("--corpus", help="JSON lines, or a BEIR folder; - for stdin.")
]
CodecOption: TypeAlias = Annotated[
    Path | None, typer.Option("--codec", help="Codes what goes to residuals; the recipe's.")
]


def _index(path: Path | None, recipe: Path | None) -> Path:
    return path or load_recipe(recipe).index.output


@app.command()
def check(
    index: IndexArgument = None, recipe: RecipeOption = None, as_json: JsonFlag = False
) -> None:
    """Read every byte of an index and compare it with its checksums.

    Example: vespa-colbert index check output/index
    """
    from vespa_colbert.index import all_faults
    from vespa_colbert.index.manifest import read_manifest

    path = _index(index, recipe)
    if faults := all_faults(path):
        raise IndexFolderError(f"{path} is damaged; embed again\n  " + "\n  ".join(faults))
    _tell(path, read_manifest(path), "whole", as_json=as_json)


@app.command()
def compact(
    index: IndexArgument = None, recipe: RecipeOption = None, as_json: JsonFlag = False
) -> None:
    """Bring all documents together in one segment, without the deleted ones.

    Example: vespa-colbert index compact output/index
    """
    from vespa_colbert.index import write_index

    path = _index(index, recipe)
    with write_index(path) as writer:
        writer.compact()
        _tell(path, writer.manifest, "compact", as_json=as_json)


@app.command()
def delete(
    index: IndexArgument = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Of a document; repeatable.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--ids", help="A file with an id a line.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Delete documents by their ids: all of them, or none if one is not there.

    Example: vespa-colbert index delete output/index --id doc-1 --id doc-2
    """
    from vespa_colbert.index import write_index
    from vespa_colbert.json_lines import numbered_lines

    wanted = list(ids or ())
    if file is not None:
        wanted += [line for _number, line in numbered_lines(file)]
    if not wanted:
        got = "neither" if file is None else f"{file} without a line"
        raise SpecError(f"which documents: expected --id or a file of --ids, got {got}")
    path = _index(index, recipe)
    with write_index(path) as writer:
        count = writer.delete(wanted)
        _tell(path, writer.manifest, f"{count} deleted", as_json=as_json)


@app.command()
def append(
    index: IndexArgument = None,
    corpus: CorpusOption = None,
    application: AppOption = None,
    model: ModelOption = None,
    on_error: OnErrorOption = "fail",
    runtime: RuntimeOption = "onnxruntime",
    pool_factor: PoolFactorOption = None,
    protected_tokens: ProtectedTokensOption = None,
    codec: CodecOption = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Embed more documents into an index, in place of those with the same ids.

    Example: vespa-colbert index append output/index --corpus more.jsonl -a output/app
    """
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.index.manifest import read_manifest
    from vespa_colbert.pipeline import EmbedRequest, append_corpus, corpus_file, only_schema
    from vespa_colbert.pipeline.residuals import coded_field

    said = load_recipe(recipe)
    output, package = index or said.index.output, application or said.app.output
    taken, made_by = _codec(output, codec, said), read_model_folder(model or said.export.output)
    with corpus_file(needed(corpus or said.corpus.path, "the corpus", "corpus.path")) as source:
        request = EmbedRequest(
            corpus=source,
            model=made_by,
            schema=only_schema(package),
            output=output,
            threads=said.index.threads,
            on_error=on_error,
            pooling=pooling_of(said, pool_factor, protected_tokens),
            runtime=runtime,
            coded=None if taken is None else coded_field(package, taken, made_by),
        )
        done = append_corpus(request, reporter=Console())
    tell_skipped(done)
    state = f"{done.kept} of the documents were there as they are"
    _tell(done.path, read_manifest(done.path), state, as_json=as_json)


def _codec(index: Path, given: Path | None, said: Recipe) -> Path | None:
    """Return the codec of what goes to an index of residuals; none for one of vectors.

    Raises:
        SpecError: If a codec is named for an index of vectors.
    """
    from vespa_colbert.index.manifest import read_manifest

    is_coded = read_manifest(index).is_coded
    if given is not None and not is_coded:
        raise SpecError(f"{index}: holds vectors and no residuals; leave out --codec")
    return given or said.tokens.residual if is_coded else None


@app.command()
def merge(
    indexes: Annotated[list[Path], typer.Argument(help="Indexes of different documents.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new index.")],
    as_json: JsonFlag = False,
) -> None:
    """Join indexes, made with the same model, into a new one; embed --shard does it by itself.

    Example: vespa-colbert index merge one/index two/index -o output/index
    """
    from vespa_colbert.index import open_snapshot
    from vespa_colbert.index.join import merge_snapshots
    from vespa_colbert.index.manifest import read_manifest

    snapshots = [open_snapshot(each) for each in indexes]
    of_one = ("corpus", "shard")
    said = snapshots[0].manifest.origin
    origin = {name: each for name, each in said.items() if name not in of_one}
    merge_snapshots(snapshots, output, origin)
    _tell(output, read_manifest(output), f"joined from {len(indexes)}", as_json=as_json)


def _tell(path: Path, manifest: IndexManifest, state: str, *, as_json: bool) -> None:
    deleted = sum(each.deleted for each in manifest.segments)
    size = sum(each.size for each in manifest.files.values())
    if as_json:
        print_json({
            "index": path,
            "state": state,
            "documents": manifest.documents,
            "deleted": deleted,
            "segments": len(manifest.segments),
            "generation": manifest.generation,
            "bytes": size,
        })
        return
    many = len(manifest.segments)
    segments = "1 segment" if many == 1 else f"{many} segments"
    print_line(
        f"{path}: {state}; {manifest.documents} documents in {segments}, "
        f"{deleted} deleted, {size:,} bytes, generation {manifest.generation}"
    )
