"""The token vectors of a judged collection, made once and kept in files, as they are and pooled."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.evaluate import (
    JudgedCollection,
    StoredVectors,
    document_texts,
    missing_texts,
    open_vectors,
    store_vectors,
)
from vespa_colbert.index.embedding import Embed
from vespa_colbert.pipeline.contender import Contender
from vespa_colbert.pipeline.corpus import index_origin
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.search import only_schema

__all__ = ["stored_corpus", "stored_embedding"]

POOLED_TEXTS = 1024
"""Texts whose pooled vectors are in memory: more than a block of documents has."""

OF_FIELDS = frozenset({"dim", "types", "fields"})
"""What of an index's origin is no matter to vectors at full precision."""


def stored_corpus(
    collection: JudgedCollection,
    contender: Contender,
    work: Path,
    reporter: Reporter | None = None,
) -> StoredVectors:
    """Return the token vectors of all that an application embeds, at full precision.

    They stand in a file a model; texts that are in it are not embedded again.

    Args:
        collection: With the documents.
        contender: The application and its model.
        work: Folder of the files.
        reporter: Hears of the progress.

    Raises:
        SpecError: If the package has not exactly one schema.
        OutputError: If the file cannot be written.
    """
    tell, model = reporter or Silent(), contender.model
    schema = only_schema(contender.application)
    made_with = index_origin(model, schema)
    origin = {name: each for name, each in made_with.items() if name not in OF_FIELDS}
    path = work / f"vectors-{model.checksum[:12]}.bin"
    stored = open_vectors(path, dim=model.embedder.dim, origin=origin)
    missing = missing_texts(stored, document_texts(collection.documents, schema))
    if not missing:
        tell.say(f"token vectors: still valid, reused ({path})")
        return stored
    embedder = LocalEmbedder(model, threads=contender.threads)
    with tell.track("embedding", len(missing)) as progress:
        return store_vectors(
            stored,
            missing,
            lambda text: embedder.embed(text, "document"),
            origin=origin,
            progress=progress,
        )


def stored_embedding(
    collection: JudgedCollection,
    contender: Contender,
    work: Path,
    reporter: Reporter | None = None,
) -> Embed:
    """Return what gives a text's token vectors from disk, as they are or as a contender pools them.

    Args:
        collection: With the documents.
        contender: The application, its model, how it pools.
        work: Folder of the files.
        reporter: Hears of the progress.

    Raises:
        SpecError: If the package has not exactly one schema.
        OutputError: If a file cannot be written.
    """
    tell, pool = reporter or Silent(), contender.pool
    stored = stored_corpus(collection, contender, work, tell)
    if pool is None:
        return stored.embed
    if not contender.pool_key:
        # Once for all fields of a block.
        return functools.lru_cache(POOLED_TEXTS)(lambda text: pool(stored.embed(text)))
    origin = {"model": contender.model.checksum, "pooling": contender.pool_key}
    name = hashlib.sha256(json.dumps(origin).encode()).hexdigest()
    path = work / f"pooled-{name[:12]}.bin"
    pooled = open_vectors(path, dim=stored.dim, origin=origin)
    texts = document_texts(collection.documents, only_schema(contender.application))
    if not (missing := missing_texts(pooled, texts)):
        return pooled.embed
    with tell.track("pooling", len(missing)) as progress:
        return store_vectors(
            pooled, missing, lambda text: pool(stored.embed(text)), origin=origin, progress=progress
        ).embed
