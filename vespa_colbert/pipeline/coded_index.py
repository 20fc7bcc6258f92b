"""Token vectors of an index, or PLAID's codes, kept in a local index as residuals of a codec."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app import Schema
from vespa_colbert.app.variants.residual import FIELD, residual_type
from vespa_colbert.codec import joined_codes
from vespa_colbert.codec.store import CENTROID
from vespa_colbert.errors import IndexFolderError, OutputError, SpecError
from vespa_colbert.export import ModelFolder
from vespa_colbert.index.coded_field import coded_rows
from vespa_colbert.index.embedding import derived_texts
from vespa_colbert.index.join import publish_parts
from vespa_colbert.index.manifest import FieldKind, IndexManifest
from vespa_colbert.index.segment import SegmentPart, document_line
from vespa_colbert.pipeline.compressed_index import CodedDocuments, CompressedIndex
from vespa_colbert.pipeline.embed_request import index_origin, schema_origin
from vespa_colbert.pipeline.packaged_codec import codec_origin, require_codec, require_dim
from vespa_colbert.pipeline.search import only_schema

__all__ = ["write_coded_index"]

PART_DOCUMENTS = 64
"""Documents that are written at a time: what is in memory then."""

Progress = Callable[[int], None]


def write_coded_index(
    source: CompressedIndex,
    output: Path,
    application: Path,
    *,
    corpus: Path | None = None,
    model: ModelFolder | None = None,
    progress: Progress = lambda _done: None,
) -> int:
    """Return how many documents were written to a local index of codes, whole or not at all.

    Args:
        source: The codes.
        output: The index folder; an older index there is replaced.
        application: The package that ranks by it; it must have the same codec.
        corpus: The documents in the index's order, where the index holds none.
        model: What made the vectors, where the index does not say it.
        progress: Called with the number of documents done.

    Raises:
        SpecError: If the package has another codec, no corpus or no model is named, or the model
            has fewer components.
        CollectionError: If a line of the corpus is bad, or it has more or fewer documents.
        IndexFolderError: If there are no documents, or none has a token vector.
        OutputError: If the folder cannot be written, or is that of the vectors.
    """
    schema = only_schema(application)
    require_codec(source.codec, source.where, application, schema)
    documents = CodedDocuments.of(source, corpus)
    if output.resolve() == Path(source.where).resolve():
        raise OutputError(f"{output}: expected another folder than that of what is coded")
    lengths = source.lengths()
    if not len(lengths):
        raise IndexFolderError(f"{source.where}: expected documents, got none")
    manifest = IndexManifest(
        schema=schema.name,
        fields={FIELD: FieldKind(type=residual_type(source.codec.width), centroids=CENTROID)},
        origin={**_origin(source, schema, model), **codec_origin(source.codec)},
    )
    publish_parts(
        output,
        manifest,
        _parts(documents, schema, _places(source, len(lengths)), progress),
        documents=len(lengths),
        rows={FIELD: int(lengths.sum())},
    )
    return len(lengths)


def _origin(source: CompressedIndex, schema: Schema, model: ModelFolder | None) -> dict[str, str]:
    """Return what the vectors were made with, and what the index is to fit.

    Raises:
        SpecError: If it is not known which model made them, or that one has fewer components.
    """
    if source.local is not None:
        return {**source.local.snapshot.manifest.origin, **schema_origin(schema)}
    if model is None:
        raise SpecError(f"{source.where}: name the model that made its vectors, with -m")
    require_dim(source.codec, model, source.where)
    return index_origin(model, schema)


def _places(source: CompressedIndex, documents: int) -> NDArray[np.int64]:
    """Return where documents stand in the corpus: (document,) int64."""
    if source.local is None:
        return np.arange(documents)
    return np.asarray(source.local.snapshot.column("places"), np.int64)


def _parts(
    coded: CodedDocuments, schema: Schema, places: NDArray[np.int64], progress: Progress
) -> Iterator[SegmentPart]:
    """Yield the documents, some at a time."""
    codec = coded.index.codec
    kind = residual_type(codec.width)
    pairs = ((each, coded.codes(place, each)) for place, each in enumerate(coded.all()))
    done = 0
    while block := list(itertools.islice(pairs, PART_DOCUMENTS)):
        start, done = done, done + len(block)
        lines = {
            each.id: document_line(each, derived_texts(schema, each.fields)) for each, _ in block
        }
        codes = [each for _, each in block]
        rows = coded_rows(joined_codes(codes, codec), list(map(len, codes)), kind)
        yield SegmentPart.of(lines, places[start:done].tolist(), {FIELD: rows})
        progress(done)
