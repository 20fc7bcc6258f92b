"""Residual codecs over indexes: trained on an index, and an index or PLAID's one → the feed.

What is coded is the vectors that an index holds, or nothing: PLAID's codes are fed as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

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
from vespa_colbert.codec.plaid import METADATA_FILE
from vespa_colbert.codec.store import is_codec_folder
from vespa_colbert.codec.train import sample_size
from vespa_colbert.errors import ArrayError, CollectionError, IndexFolderError, SpecError
from vespa_colbert.evaluate.coded_field import CodedField, coded_rows
from vespa_colbert.evaluate.derived_index import token_fields
from vespa_colbert.files import check_replaceable
from vespa_colbert.index import (
    Document,
    Feed,
    FeedFields,
    IndexReader,
    is_index_folder,
    iterate_corpus,
    read_index,
)
from vespa_colbert.index.join import runs_of
from vespa_colbert.index.manifest import MANIFEST_FILE, PARTIAL, SEGMENTS_FOLDER, how_to_make
from vespa_colbert.pipeline.packaged_codec import require_codec, require_one_fed
from vespa_colbert.tensor import CellType, Tensor

__all__ = [
    "CodedDocuments",
    "CompressedIndex",
    "coded_field",
    "compressed_index",
    "make_codec",
    "plaid_index",
    "residual_feed",
]

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
        OutputError: If the codec cannot be written; something else in its place is seen first.
    """
    check_replaceable(output, is_codec_folder)
    if _is_plaid(source):
        codec = read_plaid(source).codec
    else:
        index = read_index(source)
        name, count = _float_field(index), len(index.snapshot.locations)
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


def _is_plaid(source: Path) -> bool:
    """Return whether a folder is PLAID's index; else it is a local one.

    Raises:
        IndexFolderError: If it is neither, or a local one that is not whole yet.
    """
    if is_index_folder(source):
        if source.suffix == PARTIAL:
            raise IndexFolderError(f"{source}: expected a whole index; {how_to_make(source)}")
        return False
    if not (source / METADATA_FILE).is_file():
        raise IndexFolderError(
            f"{source}: expected a local index with {MANIFEST_FILE} and {SEGMENTS_FOLDER}, or "
            f"PLAID's index with {METADATA_FILE}; found neither; {how_to_make(source)}"
        )
    return True


def _float_field(index: IndexReader) -> str:
    """Return the field of whole token vectors, the widest; of float rather than of bfloat16.

    Raises:
        IndexFolderError: If there is none.
    """
    floats = (CellType.BFLOAT16, CellType.FLOAT)
    found = {
        name: (kind.shape[0], floats.index(kind.cell_type))
        for name, kind in index.types.items()
        if kind.cell_type in floats and len(kind.mapped) == len(kind.indexed) == 1
    }
    if index.snapshot.manifest.is_coded:
        raise IndexFolderError(
            f"{index.path}: expected float or bfloat16 token vectors, got residuals of a codec; "
            "feed writes the feed of them, and the index that they were made of can be coded again"
        )
    if not found:
        listed = ", ".join(f"{name} {kind}" for name, kind in index.types.items())
        raise IndexFolderError(
            f"{index.path}: expected a field of float or bfloat16 token vectors of one text, got "
            f"{listed}; embed with such cells"
        )
    return max(found, key=lambda name: found[name])


def _vectors(index: IndexReader, name: str, position: int) -> TokenVectors:
    values = index.tensor(name, position).values.astype(np.float32)
    return unit_vectors(values, index.types[name].shape[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class CompressedIndex:
    """Documents and their codes.

    Attributes:
        codec: The codec of the codes.
        documents: Gives the codes of each document, in order.
        lengths: Gives how many token vectors each document has: (document,) int64.
        where: What they come from, for messages.
        local: The local index that has the documents; ``None`` for PLAID's, which has no ids.
    """

    codec: ResidualCodec
    documents: Callable[[], Iterator[ResidualCodes]]
    lengths: Callable[[], NDArray[np.int64]]
    where: str
    local: IndexReader | None = None


def compressed_index(source: Path, codec: Path | None) -> CompressedIndex:
    """Return the codes of an index: PLAID's as they are, or those of a local one's vectors.

    Args:
        source: The folder.
        codec: Folder of the codec that codes a local index; PLAID's index has its own.

    Raises:
        IndexFolderError: If there is no such index, or it has no float vectors.
        SpecError: If there is no codec, or it is another model's.
    """
    if _is_plaid(source):
        plaid = read_plaid(source)
        return CompressedIndex(
            codec=plaid.codec,
            documents=plaid.documents,
            lengths=plaid.lengths,
            where=str(source),
        )
    if codec is None:
        raise SpecError(f"{source}: name the codec that codes its vectors; train one: train-codec")
    found, index = read_codec(codec), read_index(source)
    require_model(found, index.snapshot.manifest.origin.get("model", ""), str(source))
    name = _float_field(index)
    if index.types[name].shape != (found.dim,):
        raise SpecError(
            f"{source}: expected vectors of {found.dim} components as the codec {codec} has, got "
            f"{name} with {index.types[name]}"
        )

    return CompressedIndex(
        codec=found,
        documents=lambda: _codes(index, name, found),
        lengths=lambda: index.snapshot.lengths(name),
        where=str(source),
        local=index,
    )


def _codes(index: IndexReader, name: str, codec: ResidualCodec) -> Iterator[ResidualCodes]:
    """Yield the codes of each document of an index, those that stand side by side made together."""
    for _part, number, start, end in runs_of(index.snapshot.locations):
        segment = index.snapshot.segments[number]
        rows = segment.rows(name, start, end)
        vectors = unit_vectors(rows.cells, codec.dim, rows.offsets)
        coded = codec.encode(np.ascontiguousarray(vectors, np.float32))
        for first, last in itertools.pairwise(rows.offsets.tolist()):
            yield coded[first:last]
        segment.release()


@dataclass(slots=True, kw_only=True)
class CodedDocuments:
    """Documents with their codes, which are asked for in order, the last of them again.

    Attributes:
        index: The codes.
        documents: Ids and texts.
    """

    index: CompressedIndex
    documents: Iterator[Document]
    _codes: Iterator[ResidualCodes] = field(init=False)
    _position: int = field(default=-1, init=False)
    _last: ResidualCodes | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._codes = self.index.documents()

    @classmethod
    def of(cls, index: CompressedIndex, corpus: Path | None) -> Self:
        """Return the documents of an index, or those of a corpus in its order.

        Raises:
            SpecError: If no corpus is named and the index holds no documents, or it holds its own
                and one is named, whose order may be another.
        """
        if index.local is not None and corpus is not None:
            raise SpecError(f"{index.where}: holds its own documents; leave out the corpus")
        if corpus is not None:
            return cls(index=index, documents=iterate_corpus(corpus))
        if index.local is None:
            raise SpecError(f"{index.where}: name the corpus: the index has no ids and no texts")
        return cls(index=index, documents=index.local.documents())

    def all(self) -> Iterator[Document]:
        """Yield the documents.

        Raises:
            CollectionError: If the index has more of them.
        """
        yield from self.documents
        if next(self._codes, None) is not None:
            raise CollectionError(
                f"{self.index.where}: expected {self._position + 1} documents as the corpus has, "
                "got more; name the collection that it was made of"
            )

    def codes(self, position: int, document: Document) -> ResidualCodes:
        """Return the codes of a document.

        Raises:
            CollectionError: If the index has fewer documents than there are.
        """
        while self._position < position or self._last is None:
            if (codes := next(self._codes, None)) is None:
                raise CollectionError(
                    f"document {document.id!r}: {self.index.where} has {self._position + 1} "
                    "documents and no more; name the collection that it was made of"
                )
            self._position += 1
            self._last = codes
        return self._last

    def tensors(self, position: int, document: Document) -> Mapping[str, Tensor]:
        """Return the tensors of a document: the labels of a token are its centroid and place.

        Raises:
            CollectionError: If the index has fewer documents than there are.
        """
        codec = self.index.codec
        rows = coded_rows([self.codes(position, document)], codec, residual_type(codec.width))
        return {FIELD: rows.document(0)}


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


def coded_field(application: Path, schema: Schema, codec: Path) -> CodedField:
    """Return the field of residuals of a package, filled with the text of its other fields.

    Args:
        application: The package.
        schema: Its schema.
        codec: Folder of its codec.

    Raises:
        SpecError: If the package has another codec, or no field says what is embedded.
    """
    found = read_codec(codec)
    require_one_fed(schema)
    require_codec(found, str(codec), application, schema)
    statements = [each.statement for each in token_fields(schema).values()]
    if not statements:
        raise SpecError(
            f"schema {schema.name}: expected a field that embeds beside {FIELD}, to say which text "
            "is meant; got none"
        )
    kind = residual_type(found.width)
    return CodedField(name=FIELD, type=kind, statement=statements[0], schema=schema, codec=found)


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
