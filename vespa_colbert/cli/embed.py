"""``vespa-colbert embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vespa_colbert.cli.console import Console, print_json, print_line
from vespa_colbert.cli.options import (
    AppOption,
    JsonFlag,
    ModelOption,
    RecipeOption,
    load_recipe,
    needed,
)


def command(
    corpus: Annotated[
        Path | None, typer.Argument(help="JSON lines with _id, title and text.")
    ] = None,
    application: AppOption = None,
    model: ModelOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The local index.")] = None,
    feed: Annotated[Path | None, typer.Option("--feed", help="The Vespa feed file.")] = None,
    recipe: RecipeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Embed a corpus as the application's schema says: a local index and a Vespa feed file.

    Example: vespa-colbert embed corpus.jsonl -a output/app -m output/model -o output/index
    """
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline import embed_corpus, feed_corpus, only_schema, sent_fields

    said = load_recipe(recipe)
    package = application or said.app.output
    schema = only_schema(package)
    made = embed_corpus(
        needed(corpus or said.corpus.path, "the corpus", "corpus.path"),
        read_model_folder(model or said.export.output),
        schema,
        output or said.index.output,
        threads=said.index.threads,
        reporter=Console(),
    )
    index, path = made.value, feed or said.index.feed
    given, namespace = sent_fields(package), said.app.name
    operations = feed_corpus(index, path, namespace=namespace, schema=schema, given=given)
    fields = {name: len(rows.values) for name, rows in index.tensors.items()}
    if as_json:
        print_json({
            "index": index.path,
            "reused": made.reused,
            "documents": len(index),
            "rows": fields,
            "feed": path,
            "operations": operations,
        })
        return
    state = "still valid, reused" if made.reused else "written"
    print_line(f"{index.path}: {state}; {len(index)} documents")
    for name, rows in index.tensors.items():
        print_line(f"  {name}  {rows.type}  {len(rows.values)} token vectors")
    print_line(f"{path}: {operations} put operations")
