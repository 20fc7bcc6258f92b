"""``vespa-colbert embed``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.flags import Given, takes_flags
from vespa_colbert.cli.options import (
    AppOption,
    JsonFlag,
    ModelOption,
    PoolFactorOption,
    ProtectedTokensOption,
    RecipeOption,
    RuntimeOption,
    load_recipe,
    namespace_of,
    needed,
    pooling_of,
)
from vespa_colbert.errors import SpecError

if TYPE_CHECKING:
    from vespa_colbert.pipeline import Embedded, EmbedRequest, ShardEmbedded
    from vespa_colbert.recipe import Recipe

SHOWN = 10
"""Skipped lines that are said; the report has all of them."""

CorpusArgument: TypeAlias = Annotated[
    Path | None,
    typer.Argument(help="JSON lines with _id, title and text, or a BEIR folder; - for stdin."),
]
OutputOption: TypeAlias = Annotated[
    Path | None, typer.Option("-o", "--output", help="The local index.")
]
FeedOption: TypeAlias = Annotated[Path | None, typer.Option("--feed", help="The Vespa feed file.")]
IndexOnlyFlag: TypeAlias = Annotated[bool, typer.Option("--index-only", help="Write no feed.")]
ShardOption: TypeAlias = Annotated[
    str, typer.Option("--shard", help="One part of the corpus, as 2/8; the last one joins all.")
]
OnErrorOption: TypeAlias = Annotated[
    Literal["fail", "skip"],
    typer.Option("--on-error", help="Of bad lines: skip lists them in INDEX.skipped.jsonl."),
]
EngineOption: TypeAlias = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="ray: all machines of a cluster.")
]

CodecOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--codec", help="Keep residuals in place of vectors; with --index-only."),
]

DENSE: dict[str, Any] = {
    "role": Annotated[
        Literal["query", "document"] | None,
        typer.Option("--role", help="What the texts are, of a dense model alone: document."),
    ],
    "dims": Annotated[
        int | None, typer.Option("--dims", help="First components, of a dense model alone.")
    ],
}
"""What may be said of a dense model's vectors → the flag that does."""


@takes_flags("dense", DENSE)
def command(
    corpus: CorpusArgument = None,
    application: AppOption = None,
    model: ModelOption = None,
    output: OutputOption = None,
    feed: FeedOption = None,
    index_only: IndexOnlyFlag = False,
    shard: ShardOption = "",
    on_error: OnErrorOption = "fail",
    engine: EngineOption = "local",
    runtime: RuntimeOption = "onnxruntime",
    pool_factor: PoolFactorOption = None,
    protected_tokens: ProtectedTokensOption = None,
    codec: CodecOption = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
    dense: Given | None = None,
) -> None:
    """Embed a corpus as the application's schema says: a local index and a Vespa feed file.

    A run that was killed leaves INDEX.partial; run it again, and it goes on where it stopped.

    Tensors that no model here makes stand in the corpus, under _tensors of each line.

    With the model folder of a dense model: a line with a vector for every line with a text, to the
    output or stdout, and no application is needed.

    Example: vespa-colbert embed corpus.jsonl -a output/app -m output/model -o output/index

    Example: vespa-colbert embed - -m output/dense --role query < texts.jsonl > vectors.jsonl
    """
    from vespa_colbert.export import is_dense_folder, read_model_folder
    from vespa_colbert.pipeline import EmbedRequest, corpus_file, only_schema
    from vespa_colbert.pipeline.residuals import coded_field

    said = load_recipe(recipe)
    folder, package = model or said.export.output, application or said.app.output
    if is_dense_folder(folder):
        _write_vectors(said, folder, corpus, output, runtime, dense or {})
        return
    _check_flags(folder, dense, codec, index_only=index_only)
    with corpus_file(needed(corpus or said.corpus.path, "the corpus", "corpus.path")) as source:
        made_by = read_model_folder(folder)
        request = EmbedRequest(
            corpus=source,
            model=made_by,
            schema=only_schema(package),
            output=output or said.index.output,
            threads=said.index.threads,
            on_error=on_error,
            pooling=pooling_of(said, pool_factor, protected_tokens),
            runtime=runtime,
            coded=None if codec is None else coded_field(package, codec, made_by),
        )
        path = None if index_only else feed or said.index.feed
        made = _made(request, path, shard, engine)
        operations = 0 if made.missing else _completed(request, package, path, said)
    _tell(made, path, operations, as_json=as_json)


def _check_flags(model: Path, dense: Given | None, codec: Path | None, *, index_only: bool) -> None:
    """Return nothing if what is asked can be had of a model of token vectors."""
    if dense:
        raise SpecError(f"{model}: --role and --dims go with the model folder of a dense model")
    if codec is not None and not index_only:
        raise SpecError("--codec: embed with --index-only, then feed the index: vespa-colbert feed")


def _write_vectors(
    said: Recipe, model: Path, corpus: Path | None, output: Path | None, runtime: str, dense: Given
) -> None:
    """Write the vectors that a dense model makes of texts."""
    from vespa_colbert.cli.text_vectors import write_vectors

    if runtime != "onnxruntime":
        raise SpecError(
            f"{model}: --runtime {runtime} is for token vectors, whose index states it; "
            "vectors on lines cannot"
        )
    texts = needed(corpus or said.corpus.path, "the file of texts", "corpus.path")
    write_vectors(texts, model, output, threads=said.index.threads, **dense)


def _check_tensors(request: EmbedRequest) -> None:
    """Return nothing if the corpus brings the tensors that its feed is to have."""
    from vespa_colbert.pipeline import check_corpus
    from vespa_colbert.pipeline.feed import given_fields

    if request.on_error == "skip" and (given := given_fields(request.schema)):
        raise SpecError(
            f"--on-error skip: {', '.join(sorted(given))} come from the corpus, line by line; "
            "embed with --index-only, then feed a corpus without the bad lines"
        )
    check_corpus(request.corpus, request.schema)


def _made(request: EmbedRequest, feed: Path | None, shard: str, engine: str) -> ShardEmbedded:
    """Return the index that was made, of the whole corpus or of one shard, as in 2/8.

    Nothing is embedded where the feed that is to follow would lack a tensor.
    """
    from vespa_colbert.pipeline import Shard, ShardEmbedded, embed, embed_with_ray
    from vespa_colbert.pipeline.outputs import check_feed

    if feed is not None:
        check_feed(feed)
        _check_tensors(request)
    part = Shard.parse(shard) if shard else None
    if engine == "local":
        return embed(request, part, reporter=Console())
    if part is not None:
        raise SpecError("--engine ray embeds all shards; leave out --shard")
    return ShardEmbedded(embedded=embed_with_ray(request, reporter=Console()))


def _completed(request: EmbedRequest, application: Path, feed: Path | None, said: Recipe) -> int:
    """Return the number of put operations written, once the index of the whole corpus is there."""
    _keep_dense_vectors(request, application)
    return 0 if feed is None else _feed(request, feed, namespace_of(said, application))


def _keep_dense_vectors(request: EmbedRequest, application: Path) -> None:
    """Make the dense vectors that the package's own dense model gives the documents, if any."""
    from vespa_colbert.index import open_index
    from vespa_colbert.pipeline.other_models import OtherModels

    others = OtherModels(application, request.schema, threads=request.threads)
    if others.fields:
        documents = open_index(request.output).documents
        others.keep_vectors(documents, request.output.parent, Console())


def _feed(request: EmbedRequest, path: Path, namespace: str) -> int:
    """Return the number of put operations written."""
    from vespa_colbert.index import open_index
    from vespa_colbert.pipeline import feed_corpus
    from vespa_colbert.pipeline.feed import given_fields

    schema = request.schema
    corpus = request.corpus if given_fields(schema) else None
    return feed_corpus(
        open_index(request.output), path, namespace=namespace, schema=schema, corpus=corpus
    )


def _tell(made: ShardEmbedded, feed: Path | None, operations: int, *, as_json: bool) -> None:
    from vespa_colbert.index import open_snapshot

    done, missing = made.embedded, [str(each) for each in made.missing]
    manifest = open_snapshot(done.path).manifest
    rows = {name: manifest.rows(name) for name in manifest.fields}
    tell_skipped(done)
    if as_json:
        print_json({
            "index": done.path,
            "reused": done.reused,
            "documents": done.documents,
            "kept": done.kept,
            "skipped": [asdict(each) for each in done.skipped],
            "missing-shards": missing,
            "rows": rows,
            "feed": None if missing else feed,
            "operations": operations,
        })
        return
    state = "still valid, reused" if done.reused else "written"
    kept = f", {done.kept} of them kept from an earlier run" if done.kept else ""
    print_line(f"{done.path}: {state}; {done.documents} documents{kept}")
    for name, each in manifest.fields.items():
        print_line(f"  {name}  {each.type}  {rows[name]} token vectors")
    if missing:
        print_line(f"still missing: shards {', '.join(missing)}; the last one joins them")
    elif feed is not None:
        print_line(f"{feed}: {operations} put operations")


def tell_skipped(done: Embedded) -> None:
    """Say on stderr which lines were passed over."""
    for each in done.skipped[:SHOWN]:
        Console().say(f"skipped line {each.line}: {each.reason}")
    if done.skipped:
        report = done.path.with_name(f"{done.path.name}.skipped.jsonl")
        count = len(done.skipped)
        told = "1 line skipped" if count == 1 else f"{count} lines skipped"
        Console().say(f"{told}; the report is {report}")
