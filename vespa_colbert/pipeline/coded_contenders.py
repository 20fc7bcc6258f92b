"""Contenders whose token vectors are kept as residuals: codecs trained on a judged collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.variants.residual import PROFILE
from vespa_colbert.codec import CodecOptions, centroids_for, train_codecs, unit_vectors, write_codec
from vespa_colbert.codec.nearest import MOST_A_CENTROID
from vespa_colbert.codec.train import HELD_OUT
from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate import JudgedCollection, document_texts
from vespa_colbert.index.embedding import Embed
from vespa_colbert.pipeline.contender import Contender
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.search import only_schema
from vespa_colbert.pipeline.stored_corpus import stored_embedding

__all__ = ["ResidualStorage", "coded_contenders"]

CODECS = "codecs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualStorage:
    """Which ways of keeping residuals are compared.

    Attributes:
        bits: Bits a component: 1, 2, 4.
        dims: Components that are coded, the first ones of a vector.
        options: Of the training; their bits do not count.
    """

    bits: tuple[int, ...]
    dims: tuple[int, ...]
    options: CodecOptions


def coded_contenders(
    collection: JudgedCollection,
    contender: Contender,
    storage: ResidualStorage,
    work: Path,
    *,
    package: Callable[[Path, int], Path],
    reporter: Reporter | None = None,
) -> Iterator[Contender]:
    """Yield a contender for each number of bits and of components, its codec trained and written.

    Args:
        collection: With the documents.
        contender: Says which vectors they have: its package, its model, and how they are pooled.
        storage: What is compared.
        work: Folder of what is kept between runs; made if need be.
        package: Folder of a codec, components → a package that holds it.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If no document has a text that is embedded.
        SpecError: If there are no such bits, or their components do not fill whole bytes.
        OutputError: If a codec cannot be written.
    """
    tell = reporter or Silent()
    work.mkdir(parents=True, exist_ok=True)
    embed = stored_embedding(collection, contender, work, tell)
    schema = only_schema(contender.application)
    texts = list(dict.fromkeys(document_texts(collection.documents, schema)))
    for dim in storage.dims:
        sample, tokens = _sample(texts, embed, dim, storage.options)
        with tell.track(f"k-means, {dim} components", storage.options.iterations) as progress:
            codecs = train_codecs(
                sample,
                storage.options,
                storage.bits,
                tokens=tokens,
                model=contender.model.checksum,
                progress=progress,
            )
        for bits, codec in codecs.items():
            name = f"{contender.name} {bits} bits {dim}".strip()
            folder = work / CODECS / name.replace(" ", "-").replace("/", "-")
            folder.parent.mkdir(exist_ok=True)
            write_codec(codec, folder)
            yield replace(
                contender,
                name=name,
                application=package(folder, dim),
                profiles=(PROFILE,),
                codec=folder,
            )


def _sample(
    texts: Sequence[str],
    embed: Embed,
    dim: int,
    options: CodecOptions,
) -> tuple[NDArray[np.float32], int]:
    """Return as many vectors as k-means looks at, and about how many all texts have.

    Raises:
        CollectionError: If there is no text.
    """
    order = np.random.default_rng(options.seed).permutation(len(texts)).tolist()
    drawn, rows = list[NDArray[np.float32]](), 0
    for place in order:
        drawn.append(unit_vectors(embed(texts[place]), dim))
        rows += len(drawn[-1])
        expected = rows * len(texts) // len(drawn)
        wanted = (options.centroids or centroids_for(expected)) * MOST_A_CENTROID
        if rows >= wanted / (1 - HELD_OUT):
            break
    if not drawn:
        raise CollectionError("a residual codec: expected documents with texts, got none")
    return np.concatenate(drawn), rows * len(texts) // len(drawn)
