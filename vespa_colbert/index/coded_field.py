"""A field of residuals: the codes that a codec makes of the token vectors of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vespa_colbert.app.schema import Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.codec import ResidualCodec, ResidualCodes, unit_vectors
from vespa_colbert.codec.store import CENTROID
from vespa_colbert.index.embedding import Embed
from vespa_colbert.index.indexing import EmbedStatement, TextFields
from vespa_colbert.index.manifest import FieldKind
from vespa_colbert.index.rows import CodedRows, DocumentRows
from vespa_colbert.tensor import TensorType

__all__ = ["CodedCells", "CodedField", "coded_rows"]


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

    def cells(self) -> CodedCells:
        """Return its cells, of no document yet."""
        return CodedCells(coded=self)


@dataclass(slots=True, kw_only=True)
class CodedCells:
    """The codes of one field, document after document.

    Attributes:
        coded: The field.
    """

    coded: CodedField
    _vectors: list[TokenVectors] = field(default_factory=list)
    _lengths: list[int] = field(default_factory=list)

    def add(self, fields: TextFields, embed: Embed) -> None:
        """Add a document.

        Args:
            fields: Its texts.
            embed: Embeds them.
        """
        texts = self.coded.statement.passages(fields).values()
        made = [unit_vectors(embed(text), self.coded.codec.dim) for text in texts]
        self._vectors += made
        self._lengths.append(sum(map(len, made)))

    def rows(self) -> CodedRows:
        """Return the rows of all documents, encoded together."""
        codec = self.coded.codec
        codes = codec.encode(np.concatenate([np.zeros((0, codec.dim), np.float32), *self._vectors]))
        return coded_rows(codes, self._lengths, self.coded.type)


def coded_rows(codes: ResidualCodes, lengths: Sequence[int], kind: TensorType) -> CodedRows:
    """Return the codes of documents as a field of residuals holds them.

    Args:
        codes: Of all documents, one after the other.
        lengths: How many token vectors each document has.
        kind: Type of the field.
    """
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    values = np.ascontiguousarray(codes.residuals).view(np.int8)
    rows = DocumentRows(type=kind.without(CENTROID), offsets=offsets, values=values)
    return CodedRows(type=kind, outer=CENTROID, rows=rows, numbers=codes.centroids)
