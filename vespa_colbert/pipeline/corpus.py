"""Corpus → local index and Vespa feed file, by what the application's schema says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from vespa_colbert.app import Schema
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.export import ModelFolder
from vespa_colbert.files import digest_file
from vespa_colbert.index import (
    LocalIndex,
    build_index,
    embedded_fields,
    open_index,
    read_corpus,
    tensor_fields,
)
from vespa_colbert.pipeline.reporter import Made, Reporter, Silent

__all__ = ["embed_corpus", "index_origin"]


def index_origin(model: ModelFolder, schema: Schema) -> dict[str, str]:
    """Return what an index must have been made with to fit a model and a schema.

    The schema counts by its tensor fields alone: a changed rank expression needs no new index.
    """
    facts = json.dumps(asdict(model.embedder), sort_keys=True)
    fields = json.dumps(
        [[each.name, each.type, *each.indexing] for each in tensor_fields(schema)], sort_keys=True
    )
    return {
        "model": model.checksum,
        "tokenizer": model.files[model.tokenizer_path.name].sha256,
        "embedder": hashlib.sha256(facts.encode()).hexdigest(),
        "fields": hashlib.sha256(fields.encode()).hexdigest(),
    }


def embed_corpus(
    corpus: Path,
    model: ModelFolder,
    schema: Schema,
    output: Path,
    *,
    threads: int = 0,
    reporter: Reporter | None = None,
) -> Made[LocalIndex]:
    """Return the local index of a corpus.

    Args:
        corpus: JSON lines with ``_id``, ``title`` and ``text``.
        model: The model folder.
        schema: Its tensor fields say what is embedded and how it is stored.
        output: The index folder; reused where it is whole and was made from the same.
        threads: Of ONNX Runtime; 0 for one a core.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a line of the corpus is bad; nothing is written then.
        IndexFolderError: If the schema embeds nothing.
        OutputError: If the folder cannot be written.
    """
    tell = reporter or Silent()
    documents = read_corpus(corpus)
    origin = {**index_origin(model, schema), "corpus": digest_file(corpus).sha256}
    try:
        return Made(value=open_index(output, origin=origin), reused=True)
    except IndexFolderError:
        embedder = LocalEmbedder(model, threads=threads)
    for name, field in embedded_fields(schema).items():
        if not field.holds_tokens:
            tell.say(f"field {name} holds no token vectors: it is left out of the local index")
    with tell.track("embedding", len(documents)) as progress:
        index = build_index(
            documents,
            schema,
            lambda text: embedder.embed(text, "document"),
            output,
            origin=origin,
            progress=progress,
        )
    return Made(value=index, reused=False)
