"""The codes of an index: PLAID's as they are, or those that a codec makes of a local one's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.sent import holds_tokens
from vespa_colbert.app.variants.residual import FIELD, residual_type
from vespa_colbert.codec import (
    ResidualCodec,
    ResidualCodes,
    read_codec,
    read_plaid,
    require_model,
    unit_vectors,
)
from vespa_colbert.codec.plaid import METADATA_FILE
from vespa_colbert.errors import CollectionError, IndexFolderError, SpecError
from vespa_colbert.index import (
    Document,
    IndexReader,
    is_index_folder,
    iterate_corpus,
    read_index,
)
from vespa_colbert.index.coded_field import coded_rows
from vespa_colbert.index.join import runs_of
from vespa_colbert.index.manifest import (
    MANIFEST_FILE,
    SEGMENTS_FOLDER,
    how_to_make,
    read_manifest,
)
from vespa_colbert.index.rows import Rows
from vespa_colbert.tensor import CellType, Tensor

__all__ = [
    "CodedDocuments",
    "CompressedIndex",
    "compressed_index",
    "float_field",
    "is_plaid_index",
]


BLOCK_TOKENS = 1 << 15
"""Token vectors that are encoded at a time, about as many: enough for the threads of 16 processors,
and what is in memory then, with the documents of one run or a longer one."""


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
    if is_plaid_index(source):
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
    name = float_field(index)
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
    """Yield the codes of each document of an index, those of many tokens made together."""
    for block in _blocks(index, name):
        vectors = [unit_vectors(rows.cells, codec.dim, rows.offsets) for rows in block]
        coded = codec.encode(np.concatenate(vectors, dtype=np.float32))
        lengths = np.concatenate([np.diff(rows.offsets) for rows in block])
        for first, last in itertools.pairwise([0, *np.cumsum(lengths).tolist()]):
            yield coded[first:last]


def _blocks(index: IndexReader, name: str) -> Iterator[list[Rows]]:
    """Yield the rows of all documents in order, some tens of thousands at a time, none read yet."""
    block: list[Rows] = []
    tokens = 0
    for _part, number, start, end in runs_of(index.snapshot.locations):
        segment = index.snapshot.segments[number]
        is_long = len(segment.rows(name, start, end).values) > BLOCK_TOKENS
        for place in range(start, end, 1 if is_long else end - start):
            rows = segment.rows(name, place, place + 1 if is_long else end)
            block.append(rows)
            tokens += len(rows.values)
            if tokens >= BLOCK_TOKENS:
                yield block
                block, tokens = [], 0
                for each in index.snapshot.segments:
                    each.release()
    if block:
        yield block


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
        codes, kind = self.codes(position, document), residual_type(self.index.codec.width)
        return {FIELD: coded_rows(codes, [len(codes)], kind).document(0)}


def is_plaid_index(source: Path) -> bool:
    """Return whether a folder is PLAID's index; else it is a local one.

    Raises:
        IndexFolderError: If it is neither, or a local one that is not whole yet.
    """
    if is_index_folder(source):
        read_manifest(source)
        return False
    if not (source / METADATA_FILE).is_file():
        raise IndexFolderError(
            f"{source}: expected a local index with {MANIFEST_FILE} and {SEGMENTS_FOLDER}, or "
            f"PLAID's index with {METADATA_FILE}; found neither; {how_to_make(source)}"
        )
    return True


def float_field(index: IndexReader) -> str:
    """Return the field of whole token vectors, the widest; of float rather than of bfloat16.

    Raises:
        IndexFolderError: If there is none.
    """
    floats = (CellType.BFLOAT16, CellType.FLOAT)
    found = {
        name: (kind.shape[0], floats.index(kind.cell_type))
        for name, kind in index.types.items()
        if kind.cell_type in floats and holds_tokens(kind)
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
