"""Residual codecs over indexes: trained on one; codes as a feed, PLAID's files, embed's field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vespa_colbert.app import Schema
from vespa_colbert.app.variants.residual import FIELD, residual_type
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.codec import (
    CodecOptions,
    PlaidChunk,
    ResidualCodec,
    ResidualCodes,
    joined_codes,
    read_codec,
    read_plaid,
    require_model,
    train_codec,
    unit_vectors,
    write_codec,
    write_plaid,
)
from vespa_colbert.codec.store import is_codec_folder
from vespa_colbert.codec.train import sample_size
from vespa_colbert.errors import ArrayError, SpecError
from vespa_colbert.export import ModelFolder
from vespa_colbert.files import check_replaceable
from vespa_colbert.index import CodedField, Feed, FeedFields, IndexReader, read_index
from vespa_colbert.pipeline.compressed_index import (
    CodedDocuments,
    CompressedIndex,
    float_field,
    is_plaid_index,
)
from vespa_colbert.pipeline.outputs import check_writable
from vespa_colbert.pipeline.packaged_codec import (
    coded_statement,
    require_codec,
    require_dim,
    require_one_fed,
)
from vespa_colbert.pipeline.search import only_schema

__all__ = ["coded_field", "make_codec", "plaid_index", "residual_feed"]

DOCUMENTS_A_CHUNK = 25_000
"""Source: Collection.get_chunksize, colbert-ai 501c29d."""

Progress = Callable[[int], None]


def _quiet(_done: int) -> None:
    """Say nothing."""


def make_codec(
    source: Path, output: Path, options: CodecOptions, *, progress: Progress = _quiet
) -> ResidualCodec:
    """Return the codec of an index after writing it: PLAID's own, or one trained on its vectors.

    Args:
        source: Folder of PLAID's index, or of a local one with float or bfloat16 vectors.
        output: Folder of the codec.
        options: The choices, for a local index.
        progress: Called with the number of k-means iterations done.

    Raises:
        IndexFolderError: If there is no such index, or it has no such vectors.
        SpecError: If the choices do not fit them.
        ArrayError: If there are too few of them.
        OutputError: If the codec cannot be written; what keeps it from there is seen first.
    """
    check_replaceable(output, is_codec_folder)
    check_writable(output)
    if is_plaid_index(source):
        codec = read_plaid(source).codec
    else:
        index = read_index(source)
        name, count = float_field(index), len(index.snapshot.locations)
        generator = np.random.default_rng(options.seed)
        drawn = np.sort(generator.permutation(count)[: sample_size(count)]).tolist()
        sample = [_vectors(index, name, position) for position in drawn]
        tokens = sum(map(len, sample)) * count // max(len(drawn), 1)
        try:
            codec = train_codec(
                np.concatenate([np.zeros((0, *index.types[name].shape), np.float32), *sample]),
                options,
                tokens=tokens,
                model=index.snapshot.manifest.origin.get("model", ""),
                progress=progress,
            )
        except (ArrayError, SpecError) as error:
            error.add_note(str(source))
            raise
    write_codec(codec, output)
    return codec


def _vectors(index: IndexReader, name: str, position: int) -> TokenVectors:
    values = index.tensor(name, position).values.astype(np.float32)
    return unit_vectors(values, index.types[name].shape[0])


def residual_feed(
    source: CompressedIndex,
    application: Path,
    schema: Schema,
    fields: FeedFields,
    corpus: Path | None,
) -> Feed:
    """Return the Vespa feed of documents whose vectors are codes.

    Args:
        source: The codes.
        application: The package that is fed; it must have the same codec.
        schema: Its schema.
        fields: What operations say beside tensors.
        corpus: The documents in the index's order, where the index holds none.

    Raises:
        SpecError: If the package has another codec or other tensors to feed, or no corpus is named.
    """
    require_one_fed(schema)
    require_codec(source.codec, source.where, application, schema)
    documents = CodedDocuments.of(source, corpus)
    return Feed(documents=documents.all(), fields=fields, tensors=documents.tensors)


def coded_field(application: Path, codec: Path, model: ModelFolder) -> CodedField:
    """Return the field of residuals of a package, filled with the text that it says.

    Args:
        application: The package.
        codec: Folder of its codec.
        model: Makes the vectors that are coded.

    Raises:
        SpecError: If the package has another codec, the codec is another model's, or no field says
            what is embedded.
    """
    found, schema = read_codec(codec), only_schema(application)
    require_model(found, model.checksum, f"vectors of {model.path} for the codec {codec}")
    require_dim(found, model, str(codec))
    require_one_fed(schema)
    require_codec(found, str(codec), application, schema)
    statement, kind = coded_statement(schema), residual_type(found.width)
    return CodedField(name=FIELD, type=kind, statement=statement, schema=schema, codec=found)


def plaid_index(source: CompressedIndex, output: Path) -> int:
    """Return how many documents were written as PLAID's index.

    Raises:
        SpecError: If colbert-ai takes no vectors of that width.
        OutputError: If the folder cannot be written.
    """
    counted = _Chunks(source)
    write_plaid(output, source.codec, counted.chunks())
    return counted.documents


@dataclass(slots=True)
class _Chunks:
    """Documents put together."""

    index: CompressedIndex
    documents: int = field(default=0, init=False)

    def chunks(self) -> Iterator[PlaidChunk]:
        """Yield chunks of as many documents as colbert-ai puts into one."""
        waiting: list[ResidualCodes] = []
        for each in self.index.documents():
            waiting.append(each)
            self.documents += 1
            if len(waiting) == DOCUMENTS_A_CHUNK:
                yield self._chunk(waiting)
                waiting = []
        if waiting:
            yield self._chunk(waiting)

    def _chunk(self, documents: list[ResidualCodes]) -> PlaidChunk:
        lengths = np.array([len(each) for each in documents], np.int64)
        return PlaidChunk(lengths=lengths, codes=joined_codes(documents, self.index.codec))
