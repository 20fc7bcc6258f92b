"""Which fields of a schema hold token vectors, of which texts, and how their cells are laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.field import Field
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.sent import holds_tokens
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import SchemaSyntaxError
from vespa_colbert.index.indexing import (
    EmbedStatement,
    TextFields,
    read_embed_statement,
    read_text_statement,
)
from vespa_colbert.index.manifest import FieldKind
from vespa_colbert.index.rows import DocumentRows, Rows
from vespa_colbert.tensor import CellType, TensorType, cells_of

__all__ = [
    "Embed",
    "EmbeddedField",
    "FieldCells",
    "derived_texts",
    "embedded_fields",
    "embedded_passages",
    "tensor_fields",
]

Embed: TypeAlias = Callable[[str], TokenVectors]
"""Text of a document → token vectors, (token, dim) float32."""

TEXT_TYPES = ("string", "array<string>")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedField:
    """A field that indexing fills with token vectors.

    Attributes:
        name: Name of the field.
        type: Its type: one indexed dimension, and one mapped, or two where it holds several texts.
        statement: What is embedded.
    """

    name: str
    type: TensorType
    statement: EmbedStatement

    @property
    def kind(self) -> FieldKind:
        """What an index says of it."""
        return FieldKind(type=self.type, outer=self.statement.dimension)

    def cells(self) -> FieldCells:
        """Return its cells, of no document yet."""
        return FieldCells(embedded=self)

    @property
    def inner_type(self) -> TensorType:
        """Type of the vectors of one text."""
        return self.type.without(self.statement.dimension)

    @property
    def holds_tokens(self) -> bool:
        """Whether it is of a type that token vectors fit in."""
        return holds_tokens(self.inner_type)

    @property
    def components(self) -> int:
        """Components of a token vector that it holds."""
        return self.type.shape[0] * (8 if self.type.cell_type is CellType.INT8 else 1)


@dataclass(slots=True, kw_only=True)
class FieldCells:
    """The cells of one field, document after document.

    Attributes:
        embedded: The field.
    """

    embedded: EmbeddedField
    _cells: list[NDArray[Any]] = field(default_factory=list)
    _contexts: list[int] = field(default_factory=list)
    _lengths: list[int] = field(default_factory=list)

    def add(self, fields: TextFields, embed: Embed) -> None:
        """Add a document.

        Args:
            fields: Its texts.
            embed: Embeds them.
        """
        count = 0
        for place, text in self.embedded.statement.passages(fields).items():
            cells = cells_of(embed(text), self.embedded.inner_type)
            self._cells.append(cells)
            self._contexts += [place] * len(cells)
            count += len(cells)
        self._lengths.append(count)

    def rows(self) -> Rows:
        """Return the rows of all documents."""
        inner = self.embedded.inner_type
        empty = np.zeros((0, *inner.shape), inner.cell_type.dtype)
        values = np.concatenate([empty, *self._cells], axis=0)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._lengths, dtype=np.int64)])
        rows = DocumentRows(type=inner, offsets=offsets, values=values)
        return self.embedded.kind.rows(rows, np.array(self._contexts, np.int64))


def tensor_fields(schema: Schema) -> list[Field]:
    """Return the fields of a schema that hold tensors."""
    return [field for field in schema.fields if field.tensor_type is not None]


def embedded_fields(schema: Schema) -> dict[str, EmbeddedField]:
    """Return the tensor fields that indexing fills, by name; those of one vector are left out.

    Raises:
        SchemaSyntaxError: If one is filled in a way that is not understood.
    """
    found = {}
    for each in tensor_fields(schema):
        where = f"schema {schema.name}, field {each.name}"
        kind = TensorType.parse(each.type)
        for indexing in each.indexing if kind.mapped else ():
            if (statement := read_embed_statement(indexing, where)) is not None:
                found[each.name] = EmbeddedField(name=each.name, type=kind, statement=statement)
    return found


def embedded_passages(schema: Schema, name: str, fields: TextFields) -> dict[int, str]:
    """Return the texts that a tensor field embeds for a document, each by its place.

    Args:
        schema: The schema.
        name: Name of the tensor field.
        fields: The document's texts.
    """
    found = embedded_fields(schema).get(name)
    return {} if found is None else found.statement.passages(fields)


def derived_texts(schema: Schema, fields: TextFields) -> dict[str, str | Sequence[str]]:
    """Return the texts that indexing makes of a document's fields for fields of their own.

    Statements that are not understood are passed over.

    Args:
        schema: The schema.
        fields: The document's texts.
    """
    statements: Mapping[str, str] = {
        each.name: statement
        for each in schema.derived_fields
        if each.type in TEXT_TYPES
        for statement in each.indexing
    }
    found: dict[str, str | Sequence[str]] = {}
    for name, text in statements.items():
        try:
            statement = read_text_statement(text, f"field {name}")
        except SchemaSyntaxError:
            continue
        if statement is not None and (texts := statement.texts(fields)) is not None:
            found[name] = texts if schema.field(name).type == "array<string>" else "".join(texts)
    return found
