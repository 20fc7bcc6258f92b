"""A field of residual codes derived from stored token vectors, its cells on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vespa_colbert.app.schema import Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.codec import ResidualCodec, ResidualCodes, joined_codes, unit_vectors
from vespa_colbert.codec.store import CENTROID
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.index import CodedRows, Document, DocumentRows
from vespa_colbert.index.embedding import Embed
from vespa_colbert.index.indexing import EmbedStatement, TextFields
from vespa_colbert.index.manifest import FieldKind
from vespa_colbert.tensor import TensorType

__all__ = ["CodedCells", "CodedField", "CodedFile", "coded_rows"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodedField:
    """A field that holds the residuals of token vectors.

    Attributes:
        name: Its name.
        type: Its type: the labels of a token are its place and its centroid.
        statement: Which text is embedded.
        schema: Where it stands.
        codec: The codec; it has as many components as are coded, the first ones of a vector.
    """

    name: str
    type: TensorType
    statement: EmbedStatement
    schema: Schema
    codec: ResidualCodec

    @property
    def kind(self) -> FieldKind:
        """What an index says of it."""
        return FieldKind(type=self.type, centroids=CENTROID)

    def vectors(self, fields: TextFields, embed: Embed) -> TokenVectors:
        """Return what is coded of a document: (token, dim) float32, of length 1.

        Args:
            fields: Its texts.
            embed: Embeds them.
        """
        texts = self.statement.passages(fields).values()
        made = [unit_vectors(embed(text), self.codec.dim) for text in texts]
        return np.concatenate([np.zeros((0, self.codec.dim), np.float32), *made])


def coded_rows(
    documents: Sequence[ResidualCodes], codec: ResidualCodec, kind: TensorType
) -> CodedRows:
    """Return the codes of documents as a field of residuals holds them.

    Args:
        documents: The codes of each.
        codec: Made them.
        kind: Type of the field.
    """
    joined = joined_codes(documents, codec)
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    values = np.ascontiguousarray(joined.residuals).view(np.int8)
    rows = DocumentRows(type=kind.without(CENTROID), offsets=offsets, values=values)
    return CodedRows(type=kind, outer=CENTROID, rows=rows, numbers=joined.centroids)


@dataclass(slots=True, kw_only=True)
class CodedCells:
    """The codes of one field, document after document.

    Attributes:
        coded: The field.
    """

    coded: CodedField
    _vectors: list[TokenVectors] = field(default_factory=list)

    def add(self, fields: TextFields, embed: Embed) -> None:
        """Add a document.

        Args:
            fields: Its texts.
            embed: Embeds them.
        """
        self._vectors.append(self.coded.vectors(fields, embed))

    def rows(self) -> CodedRows:
        """Return the rows of all documents."""
        codec = self.coded.codec
        codes = codec.encode(np.concatenate([np.zeros((0, codec.dim), np.float32), *self._vectors]))
        ends = np.cumsum(list(map(len, self._vectors))).tolist()
        documents = [codes[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return coded_rows(documents, codec, self.coded.type)


@dataclass(slots=True, kw_only=True, eq=False)
class CodedFile:
    """The codes of a field while they are written: residuals, and int32 numbers of centroids.

    Attributes:
        coded: The field.
        path: Where the residuals go; the centroids go beside them.
    """

    coded: CodedField
    path: Path
    _lengths: list[int] = field(default_factory=list)

    @property
    def centroids(self) -> Path:
        """Where the numbers of centroids go."""
        return self.path.with_suffix(".centroids")

    def add(self, documents: Sequence[Document], embed: Embed) -> None:
        """Write the codes of some documents."""
        vectors = [self.coded.vectors(each.fields, embed) for each in documents]
        self._lengths += map(len, vectors)
        codes = self.coded.codec.encode(np.concatenate(vectors))
        for path, array in ((self.path, codes.residuals), (self.centroids, codes.centroids)):
            with path.open("ab") as stream:
                stream.write(array.tobytes())

    def rows(self) -> CodedRows:
        """Return the rows of all documents, their residuals on disk.

        Raises:
            IndexFolderError: If no document has what the field embeds.
        """
        if not self.path.stat().st_size:
            raise IndexFolderError(
                f"field {self.coded.name}: expected documents with what it embeds, got none"
            )
        inner = self.coded.type.without(CENTROID)
        values = np.asarray(np.memmap(self.path, np.int8, "r")).reshape(-1, *inner.shape)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._lengths, dtype=np.int64)])
        return CodedRows(
            type=self.coded.type,
            outer=CENTROID,
            rows=DocumentRows(type=inner, offsets=offsets, values=values),
            numbers=np.fromfile(self.centroids, CodedRows.DTYPE),
        )
