"""A field of residual codes derived from stored token vectors, its cells on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.schema import Schema
from vespa_colbert.codec import ResidualCodec, unit_vectors
from vespa_colbert.codec.store import CENTROID
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.index import ContextRows, Document, DocumentRows
from vespa_colbert.index.embedding import Embed
from vespa_colbert.index.indexing import EmbedStatement
from vespa_colbert.tensor import TensorType

__all__ = ["CodedField", "CodedFile", "CodedRows"]


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodedRows(ContextRows):
    """The residuals of many documents: the outer dimension is the centroid of each token."""

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The place of each row's token in its document: (row,) int64."""
        starts = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        return np.asarray(np.arange(len(self.values)) - starts, np.int64)


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
        codec, statement = self.coded.codec, self.coded.statement
        vectors = [np.zeros((0, codec.dim), np.float32)]
        for document in documents:
            made = [
                unit_vectors(embed(text), codec.dim)
                for text in statement.passages(document.fields).values()
            ]
            vectors += made
            self._lengths.append(sum(map(len, made)))
        codes = codec.encode(np.concatenate(vectors))
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
            contexts=np.fromfile(self.centroids, np.int32).astype(np.int64),
        )
