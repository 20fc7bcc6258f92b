"""The index of an application, derived from stored token vectors, its cells on disk.

Ranking reads the cells through the page cache: memory stays bounded by the texts of the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.evaluate.coded_field import CodedField, CodedFile
from vespa_colbert.index import Document, LocalIndex, embedded_fields
from vespa_colbert.index.embedding import Embed, EmbeddedField, FieldCells, derived_texts
from vespa_colbert.index.rows import ContextRows, DocumentRows

__all__ = ["derive_index", "document_texts", "token_fields"]

BLOCK = 256
"""Documents whose cells are in memory at a time."""


@dataclass(slots=True, kw_only=True, eq=False)
class _FieldFile:
    """The cells of one field while they are written.

    Attributes:
        embedded: The field.
        path: Where its cells go.
    """

    embedded: EmbeddedField
    path: Path
    _lengths: list[NDArray[np.int64]] = field(default_factory=list)
    _contexts: list[NDArray[np.int64]] = field(default_factory=list)
    _dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))

    def add(self, documents: Sequence[Document], embed: Embed) -> None:
        """Write the cells of some documents."""
        cells = FieldCells(embedded=self.embedded)
        for document in documents:
            cells.add(document.fields, embed)
        rows = cells.rows()
        self._lengths.append(np.diff(rows.offsets))
        self._dtype = rows.values.dtype
        if isinstance(rows, ContextRows):
            self._contexts.append(rows.numbers)
        with self.path.open("ab") as stream:
            stream.write(np.ascontiguousarray(rows.values).tobytes())

    def rows(self) -> DocumentRows | ContextRows:
        """Return the rows of all documents, their cells on disk.

        Raises:
            IndexFolderError: If no document has what the field embeds.
        """
        if not self.path.stat().st_size:
            raise IndexFolderError(
                f"field {self.embedded.name}: expected documents with what it embeds, got none"
            )
        inner = self.embedded.inner_type
        values = np.asarray(np.memmap(self.path, self._dtype, "r")).reshape(-1, *inner.shape)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(self._lengths))])
        rows = DocumentRows(type=inner, offsets=offsets, values=values)
        if not (outer := self.embedded.statement.dimension):
            return rows
        contexts = np.concatenate(self._contexts)
        return ContextRows(type=self.embedded.type, outer=outer, rows=rows, numbers=contexts)


def token_fields(schema: Schema) -> dict[str, EmbeddedField]:
    """Return the fields of a schema that token vectors fill, by name."""
    return {name: each for name, each in embedded_fields(schema).items() if each.holds_tokens}


def document_texts(documents: Iterable[Document], schema: Schema) -> Iterator[str]:
    """Yield the texts that a schema embeds of documents; a text may come twice."""
    statements = {each.statement for each in token_fields(schema).values()}
    for document in documents:
        for statement in statements:
            yield from statement.passages(document.fields).values()


def derive_index(
    documents: Sequence[Document],
    filled: Schema | CodedField,
    embed: Embed,
    folder: Path,
    *,
    origin: Mapping[str, str],
    progress: Callable[[int], None] = lambda _done: None,
) -> LocalIndex:
    """Return an index whose cells are made of stored token vectors, a block of documents at a time.

    Args:
        documents: The corpus.
        filled: A schema, whose tensor fields say what is embedded and which cells are kept, or a
            field of residuals, which is then the only one.
        embed: Text of a document → its token vectors, as they are or pooled.
        folder: An empty folder for the cells; it has to stand as long as the index is used.
        origin: What the index remembers of its making.
        progress: Called with the number of documents done.

    Raises:
        IndexFolderError: If no document has what a field embeds.
    """
    fields: dict[str, _FieldFile | CodedFile]
    if isinstance(filled, CodedField):
        schema, path = filled.schema, folder / f"{filled.name}.cells"
        fields = {filled.name: CodedFile(coded=filled, path=path)}
    else:
        schema = filled
        fields = {
            name: _FieldFile(embedded=each, path=folder / f"{name}.cells")
            for name, each in token_fields(schema).items()
        }
    for start in range(0, len(documents), BLOCK):
        block = documents[start : start + BLOCK]
        for each in fields.values():
            each.add(block, embed)
        progress(start + len(block))
    return LocalIndex(
        path=folder,
        documents=tuple(documents),
        tensors={name: each.rows() for name, each in fields.items()},
        origin=dict(origin),
        derived=tuple(derived_texts(schema, each.fields) for each in documents),
    )
