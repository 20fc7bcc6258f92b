"""The local index: documents and the cells of their tensor fields in one folder.

``manifest.json`` says what it was made with, in which folders below ``segments`` its documents are,
which of them are deleted, and the sha256 of every file. Nothing but the manifest is ever changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import CollectionError, IndexFolderError
from vespa_colbert.index.collection import Document
from vespa_colbert.index.embedding import Embed, FieldCells, derived_texts, embedded_fields
from vespa_colbert.index.indexing import TextFields
from vespa_colbert.index.join import is_index_folder, publish_parts
from vespa_colbert.index.manifest import FieldKind, IndexManifest
from vespa_colbert.index.rows import Rows
from vespa_colbert.index.segment import SegmentPart, document_line
from vespa_colbert.index.snapshot import open_snapshot

__all__ = ["LocalIndex", "Rows", "build_index", "field_kinds", "is_index_folder", "open_index"]


@dataclass(frozen=True, kw_only=True)
class LocalIndex:
    """An index: texts and cells of the generation that it was opened at.

    Attributes:
        path: Its folder.
        documents: Ids and texts, in the order of the corpus.
        tensors: Field name → cells of all documents.
        origin: What the index was made with: name → checksum or version.
        derived: For each document the texts that indexing makes of its fields, as its chunks.
    """

    path: Path
    documents: Sequence[Document]
    tensors: Mapping[str, Rows]
    origin: Mapping[str, str]
    derived: Sequence[TextFields] = ()

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Document id → position."""
        return {document.id: place for place, document in enumerate(self.documents)}


def build_index(
    documents: Sequence[Document],
    schema: Schema,
    embed: Embed,
    output: Path,
    *,
    origin: Mapping[str, str],
    progress: Callable[[int], None] = lambda _done: None,
) -> LocalIndex:
    """Return the index of a corpus after writing it to ``output``, whole or not at all.

    Args:
        documents: The corpus.
        schema: Its tensor fields say what is embedded and which cells are kept.
        embed: Text of a document → token vectors, (token, dim) float32.
        output: The index folder.
        origin: What it was made with: checksum of the model, of the corpus, versions.
        progress: Called with the number of documents done.

    Raises:
        IndexFolderError: If the schema embeds nothing, or no document has what it embeds.
        CollectionError: If a document has a text where a list is embedded, or the other way round.
        OutputError: If the folder cannot be written.
    """
    known = embedded_fields(schema)
    fields = {name: FieldCells(embedded=known[name]) for name in field_kinds(schema)}
    derived = []
    for done, document in enumerate(documents, start=1):
        derived.append(_add(document, schema, fields, embed))
        progress(done)
    tensors = {name: cells.rows() for name, cells in fields.items()}
    _require_vectors(tensors, documents)
    index = LocalIndex(
        path=output,
        documents=tuple(documents),
        tensors=tensors,
        origin=dict(origin),
        derived=tuple(derived),
    )
    _write(index, schema)
    return index


def _add(
    document: Document, schema: Schema, fields: Mapping[str, FieldCells], embed: Embed
) -> TextFields:
    """Return the texts that indexing derives of a document, whose vectors go to the fields.

    Raises:
        CollectionError: If it has a text where a list is embedded, or the other way round.
    """
    # One text is embedded once for all the fields that hold it.
    once = functools.cache(embed)
    try:
        for cells in fields.values():
            cells.add(document.fields, once)
        return derived_texts(schema, document.fields)
    except CollectionError as error:
        error.add_note(f"document {document.id!r}")
        raise


def _require_vectors(tensors: Mapping[str, Rows], documents: Sequence[Document]) -> None:
    """Return nothing if every field has vectors, were it of a single document.

    Raises:
        IndexFolderError: If one has none: the documents lack what its statement embeds.
    """
    for name, rows in tensors.items():
        if documents and not len(rows.values):
            known = dict.fromkeys(each for document in documents for each in document.fields)
            raise IndexFolderError(
                f"field {name}: expected documents with what it embeds, got none among "
                f"{len(documents)}; their fields are {', '.join(known)}"
            )


def _write(index: LocalIndex, schema: Schema) -> None:
    lines = {
        document.id: document_line(document, derived)
        for document, derived in zip(index.documents, index.derived, strict=True)
    }
    part = SegmentPart.of(lines, range(len(lines)), index.tensors)
    manifest = IndexManifest(schema=schema.name, fields=field_kinds(schema), origin=index.origin)
    rows = {name: len(each.values) for name, each in index.tensors.items()}
    publish_parts(index.path, manifest, [part], documents=len(lines), rows=rows)


def field_kinds(schema: Schema) -> dict[str, FieldKind]:
    """Return the fields of token vectors of a schema.

    Raises:
        IndexFolderError: If there is none.
    """
    known = embedded_fields(schema).items()
    kinds = {name: each.kind for name, each in known if each.holds_tokens}
    if not kinds:
        raise IndexFolderError(f"schema {schema.name}: no tensor field is filled by embed")
    return kinds


def open_index(path: Path, *, origin: Mapping[str, str] | None = None) -> LocalIndex:
    """Return an index as it is now, after checking its files against the manifest's sha256.

    What others write from then on does not change it. Cells stay on disk until they are read. Of
    files larger than 128 MB the size alone is checked; ``index check`` reads them.

    Args:
        path: The index folder.
        origin: What it must have been made with; names absent here are not compared.

    Raises:
        IndexFolderError: If there is none, a file changed, or it was made with something else.
    """
    snapshot = open_snapshot(path, origin=origin)
    return LocalIndex(
        path=path,
        documents=snapshot.documents(),
        tensors={name: snapshot.rows(name) for name in snapshot.manifest.fields},
        origin=snapshot.manifest.origin,
        derived=snapshot.derived(),
    )
