"""The index of an application, derived from stored token vectors, its cells on disk.

Ranking reads the cells through the page cache: memory stays bounded by the texts of the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.index import CodedField, Document, LocalIndex, embedded_fields
from vespa_colbert.index.embedding import Embed, EmbeddedField, derived_texts
from vespa_colbert.index.rows import DocumentRows, Rows
from vespa_colbert.index.segment import FieldPart

__all__ = ["derive_index", "document_texts", "token_fields"]

BLOCK = 256
"""Documents whose cells are in memory at a time."""


@dataclass(slots=True, kw_only=True, eq=False)
class _FieldFile:
    """The cells of one field while they are written.

    Attributes:
        filled: The field.
        path: Where its cells go; the number of each row, where it has one, goes beside them.
    """

    filled: EmbeddedField | CodedField
    path: Path
    _lengths: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, documents: Sequence[Document], embed: Embed) -> None:
        """Write the cells of some documents."""
        cells = self.filled.cells()
        for document in documents:
            cells.add(document.fields, embed)
        part = FieldPart.of(cells.rows())
        self._lengths.append(part.lengths)
        for path, array in ((self.path, part.values), (self._numbers, part.numbers)):
            with path.open("ab") as stream:
                stream.write(np.ascontiguousarray(array).tobytes())

    @property
    def _numbers(self) -> Path:
        return self.path.with_suffix(".numbers")

    def rows(self) -> Rows:
        """Return the rows of all documents, their cells on disk.

        Raises:
            IndexFolderError: If no document has what the field embeds.
        """
        kind = self.filled.kind
        lengths = np.concatenate([np.zeros(1, np.int64), *self._lengths])
        if not lengths.any():
            raise IndexFolderError(
                f"field {self.filled.name}: expected documents with what it embeds, got none"
            )
        values = np.asarray(np.memmap(self.path, kind.dtype, "r")).reshape(-1, *kind.inner.shape)
        rows = DocumentRows(type=kind.inner, offsets=np.cumsum(lengths), values=values)
        return kind.rows(rows, np.fromfile(self._numbers, kind.numbers_dtype))


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
    known: Mapping[str, EmbeddedField | CodedField]
    if isinstance(filled, CodedField):
        schema, known = filled.schema, {filled.name: filled}
    else:
        schema, known = filled, token_fields(filled)
    fields = {
        name: _FieldFile(filled=each, path=folder / f"{name}.cells") for name, each in known.items()
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
