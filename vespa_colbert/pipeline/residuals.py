"""Residual codecs over indexes: trained on an index, and an index or PLAID's one → the feed.

What is coded is the vectors that an index holds, or nothing: PLAID's codes are fed as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vespa_colbert.app import Schema
from vespa_colbert.app.variants.residual import FIELD, FILE, residual_type, residuals_expression
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.codec import (
    CodecOptions,
    PlaidChunk,
    ResidualCodec,
    ResidualCodes,
    read_codec,
    read_plaid,
    require_model,
    train_codec,
    unit_vectors,
    write_codec,
    write_plaid,
)
from vespa_colbert.codec.store import CENTROID, read_centroids
from vespa_colbert.codec.train import sample_size
from vespa_colbert.errors import CollectionError, IndexFolderError, SpecError
from vespa_colbert.evaluate import CodedField
from vespa_colbert.evaluate.derived_index import token_fields
from vespa_colbert.index import (
    Document,
    Feed,
    FeedFields,
    IndexReader,
    is_index_folder,
    iterate_corpus,
    read_index,
)
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import CellType, Tensor

__all__ = ["CompressedIndex", "compressed_index", "make_codec", "plaid_index", "residual_feed"]

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
        OutputError: If the codec cannot be written.
    """
    if not is_index_folder(source):
        codec = read_plaid(source).codec
    else:
        index = read_index(source)
        name, count = _float_field(index), len(index.snapshot.locations)
        generator = np.random.default_rng(options.seed)
        drawn = np.sort(generator.permutation(count)[: sample_size(count)]).tolist()
        sample = [_vectors(index, name, position) for position in drawn]
        tokens = sum(map(len, sample)) * count // max(len(drawn), 1)
        codec = train_codec(
            np.concatenate([np.zeros((0, *index.types[name].shape), np.float32), *sample]),
            options,
            tokens=tokens,
            model=index.snapshot.manifest.origin.get("model", ""),
            progress=progress,
        )
    write_codec(codec, output)
    return codec


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
        where: What they come from, for messages.
        fields: The documents themselves, where they are known.
    """

    codec: ResidualCodec
    documents: Callable[[], Iterator[ResidualCodes]]
    where: str
    fields: Callable[[], Iterator[Document]] | None = None


def compressed_index(source: Path, codec: Path | None) -> CompressedIndex:
    """Return the codes of an index: PLAID's as they are, or those of a local one's vectors.

    Args:
        source: The folder.
        codec: Folder of the codec that codes a local index; PLAID's index has its own.

    Raises:
        IndexFolderError: If there is no such index, or it has no float vectors.
        SpecError: If there is no codec, or it is another model's.
    """
    if not is_index_folder(source):
        plaid = read_plaid(source)
        return CompressedIndex(codec=plaid.codec, documents=plaid.documents, where=str(source))
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

    def codes() -> Iterator[ResidualCodes]:
        for position in range(len(index.snapshot.locations)):
            yield found.encode(_vectors(index, name, position))

    return CompressedIndex(codec=found, documents=codes, where=str(source), fields=index.documents)


@dataclass(slots=True)
class _InOrder:
    """The codes of documents that are asked for in order, the last of them again."""

    index: CompressedIndex
    codes: Iterator[ResidualCodes]
    position: int = -1
    last: Tensor | None = None

    def tensors(self, position: int, document: Document) -> Mapping[str, Tensor]:
        """Return the tensors of a document.

        Raises:
            CollectionError: If the index has fewer documents than there are.
        """
        while self.position < position or self.last is None:
            if (codes := next(self.codes, None)) is None:
                raise CollectionError(
                    f"document {document.id!r}: {self.index.where} has {self.position + 1} "
                    "documents and no more; name the collection that it was made of"
                )
            self.position += 1
            self.last = _tensor(codes, self.index.codec)
        return {FIELD: self.last}


def _tensor(codes: ResidualCodes, codec: ResidualCodec) -> Tensor:
    """Return the field's value: the labels of a token are its centroid and its place."""
    kind = residual_type(codec.width)
    places = np.arange(len(codes))
    used, numbers = np.unique(codes.centroids, return_inverse=True)
    labels = (tuple(map(str, used.tolist())), tuple(map(str, places.tolist())))
    columns = np.stack([numbers.reshape(-1), places], axis=1).astype(np.int64)
    ordered = labels if kind.mapped[0] == CENTROID else labels[::-1]
    columns = columns if kind.mapped[0] == CENTROID else columns[:, ::-1]
    return Tensor(kind, np.ascontiguousarray(columns), ordered, codes.residuals.view(np.int8))


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
    _require_codec(source.codec, source.where, application, schema)
    documents = source.fields
    if corpus is not None:
        documents = lambda: iterate_corpus(corpus)  # noqa: E731 - as short as it can be
    if documents is None:
        raise SpecError(f"{source.where}: name the corpus: the index has no ids and no texts")
    held = _InOrder(source, source.documents())
    return Feed(documents=_all(documents(), held), fields=fields, tensors=held.tensors)


def _all(documents: Iterator[Document], held: _InOrder) -> Iterator[Document]:
    """Yield the documents.

    Raises:
        CollectionError: If the index has more of them.
    """
    yield from documents
    if next(held.codes, None) is not None:
        raise CollectionError(
            f"{held.index.where}: expected {held.position + 1} documents as the corpus has, got "
            "more; name the collection that it was made of"
        )


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
    _require_codec(found, str(codec), application, schema)
    statements = [each.statement for each in token_fields(schema).values()]
    if not statements:
        raise SpecError(
            f"schema {schema.name}: expected a field that embeds beside {FIELD}, to say which text "
            "is meant; got none"
        )
    kind = residual_type(found.width)
    return CodedField(name=FIELD, type=kind, statement=statements[0], schema=schema, codec=found)


def _require_codec(codec: ResidualCodec, where: str, application: Path, schema: Schema) -> None:
    """Return nothing if a package has the centroids and weights of a codec.

    Raises:
        SpecError: If it has others, none, or other tensors that are fed.
    """
    fed = [each.name for each in schema.document_fields if each.tensor_type is not None]
    if fed != [FIELD]:
        raise SpecError(
            f"schema {schema.name}: expected {FIELD} as the one tensor field that is fed, got "
            f"{', '.join(fed) or 'none'}; generate with [tokens] residual"
        )
    functions = {
        each.name: each.expression for profile in schema.rank_profiles for each in profile.functions
    }
    expected = residuals_expression(codec.weights.tolist(), codec.dim)
    said = functions.get("token_residuals", "0")
    if parse_expression(said) != parse_expression(expected):
        raise SpecError(f"{application}: its rank profiles have other weights than {where}")
    if not np.array_equal(read_centroids(application / FILE, codec.dim), codec.centroids):
        raise SpecError(f"{application}: {FILE} has other centroids than {where}")


def plaid_index(source: CompressedIndex, output: Path) -> int:
    """Return how many documents were written as PLAID's index.

    Raises:
        SpecError: If colbert-ai takes no vectors of that width.
        OutputError: If the folder cannot be written.
    """
    counted = _Chunks(source.documents())
    write_plaid(output, source.codec, counted.chunks())
    return counted.documents


@dataclass(slots=True)
class _Chunks:
    """Documents put together."""

    codes: Iterator[ResidualCodes]
    documents: int = field(default=0, init=False)

    def chunks(self) -> Iterator[PlaidChunk]:
        """Yield chunks of as many documents as colbert-ai puts into one."""
        waiting: list[ResidualCodes] = []
        for each in self.codes:
            waiting.append(each)
            self.documents += 1
            if len(waiting) == DOCUMENTS_A_CHUNK:
                yield _chunk(waiting)
                waiting = []
        if waiting:
            yield _chunk(waiting)


def _chunk(documents: list[ResidualCodes]) -> PlaidChunk:
    return PlaidChunk(
        lengths=np.array([len(each) for each in documents], np.int64),
        codes=ResidualCodes(
            centroids=np.concatenate([each.centroids for each in documents]),
            residuals=np.concatenate([each.residuals for each in documents]),
        ),
    )
