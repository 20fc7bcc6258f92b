"""The local index: documents and the cells of their tensor fields in one folder.

``documents.jsonl`` holds ids and text fields, ``tensors.safetensors`` for each field its
``offsets`` and ``cells``, ``manifest.json`` what it was made with and the sha256 of both.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import safetensors
import safetensors.numpy

from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import CollectionError, IndexFolderError
from vespa_colbert.files import FileDigest, atomic_folder, changed_files, digest_file
from vespa_colbert.index.collection import Document
from vespa_colbert.index.embedding import Embed, FieldCells, derived_texts, embedded_fields
from vespa_colbert.index.indexing import TextFields
from vespa_colbert.index.rows import ContextRows, DocumentRows
from vespa_colbert.tensor import TensorType

__all__ = ["LocalIndex", "Rows", "build_index", "is_index_folder", "open_index"]

Rows: TypeAlias = DocumentRows | ContextRows
FieldTypes: TypeAlias = Mapping[str, tuple[TensorType, str]]
"""Name of a field → its type, and the dimension of its places in a list of texts or empty."""

MANIFEST_FILE = "manifest.json"
DOCUMENTS_FILE = "documents.jsonl"
TENSORS_FILE = "tensors.safetensors"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class LocalIndex:
    """An index in memory.

    Attributes:
        path: Its folder.
        documents: Ids and texts, in the order of the corpus.
        tensors: Field name → cells of all documents.
        origin: What the index was made with: name → checksum or version.
        derived: For each document the texts that indexing makes of its fields, as its chunks.
    """

    path: Path
    documents: tuple[Document, ...]
    tensors: Mapping[str, Rows]
    origin: Mapping[str, str]
    derived: tuple[TextFields, ...] = ()

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
    fields = _token_fields(schema)
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


def _token_fields(schema: Schema) -> dict[str, FieldCells]:
    """Return the fields of token vectors, nothing in them yet.

    Raises:
        IndexFolderError: If there is none.
    """
    known = embedded_fields(schema).items()
    fields = {name: FieldCells(embedded=each) for name, each in known if each.holds_tokens}
    if not fields:
        raise IndexFolderError(f"schema {schema.name}: no tensor field is filled by embed")
    return fields


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
    with atomic_folder(index.path, is_ours=is_index_folder) as folder:
        with (folder / DOCUMENTS_FILE).open("w", encoding="utf-8", newline="\n") as stream:
            for document, derived in zip(index.documents, index.derived, strict=True):
                stream.write(json.dumps(_row(document, derived), ensure_ascii=False) + "\n")
        arrays = {}
        for name, rows in index.tensors.items():
            arrays[f"{name}.offsets"] = rows.offsets
            arrays[f"{name}.cells"] = rows.values
            if isinstance(rows, ContextRows):
                arrays[f"{name}.contexts"] = rows.contexts
        (folder / TENSORS_FILE).write_bytes(safetensors.numpy.save(arrays))
        manifest = {
            "format": FORMAT,
            "schema": schema.name,
            "documents": len(index.documents),
            "fields": {
                name: {"type": str(rows.type), "rows": len(rows.values), "outer": _outer(rows)}
                for name, rows in index.tensors.items()
            },
            "origin": dict(index.origin),
            "files": {
                name: asdict(digest_file(folder / name)) for name in (DOCUMENTS_FILE, TENSORS_FILE)
            },
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")


def _row(document: Document, derived: TextFields) -> dict[str, Any]:
    """Return what a line says of a document."""
    row: dict[str, Any] = {"id": document.id, "fields": dict(document.fields)}
    return row | {
        name: value for name, value in (("group", document.group), ("derived", derived)) if value
    }


def _outer(rows: Rows) -> str:
    return rows.outer if isinstance(rows, ContextRows) else ""


def is_index_folder(folder: Path) -> bool:
    """Return whether a folder looks like an index that may be replaced."""
    return (folder / MANIFEST_FILE).is_file() and (folder / TENSORS_FILE).is_file()


def open_index(path: Path, *, origin: Mapping[str, str] | None = None) -> LocalIndex:
    """Return an index after checking its files against the manifest's sha256.

    Args:
        path: The index folder.
        origin: What it must have been made with; names absent here are not compared.

    Raises:
        IndexFolderError: If there is none, a file changed, or it was made with something else.
    """
    types, made_with = checked_manifest(path, origin or {})
    return _read(path, types, made_with)


def checked_manifest(path: Path, origin: Mapping[str, str]) -> tuple[FieldTypes, dict[str, str]]:
    """Return the tensor fields of an index whose files are whole, and what it was made with.

    Raises:
        IndexFolderError: If there is none, a file changed, or it was made with something else.
    """
    manifest = path / MANIFEST_FILE
    if not manifest.is_file():
        raise IndexFolderError(
            f"{path}: expected an index with {MANIFEST_FILE}, found none; "
            "make one with: vespa-colbert embed"
        )
    try:
        said = json.loads(manifest.read_text(encoding="utf-8"))
        version, made_with = said["format"], dict(said["origin"])
        files = {name: FileDigest(**digest) for name, digest in said["files"].items()}
        types = {
            name: (TensorType.parse(each["type"]), str(each.get("outer", "")))
            for name, each in said["fields"].items()
        }
    except (ValueError, KeyError, TypeError) as error:
        raise IndexFolderError(
            f"{manifest}: not a valid manifest ({error}); embed again"
        ) from error
    if version != FORMAT:
        raise IndexFolderError(f"{manifest}: expected format {FORMAT}, got {version}; embed again")
    if faults := changed_files(path, files):
        raise IndexFolderError("the index is damaged; embed again\n  " + "\n  ".join(faults))
    for name, wanted in origin.items():
        if made_with.get(name) != wanted:
            raise IndexFolderError(
                f"{path}: made with {name} {made_with.get(name)!r:.40}, expected {wanted!r:.40}; "
                "embed again, or name the other index"
            )
    return types, made_with


def stored_documents(path: Path) -> Iterator[tuple[Document, TextFields]]:
    """Yield the documents of an index, each with the texts that indexing made of its fields."""
    with (path / DOCUMENTS_FILE).open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            row = json.loads(line)
            document = Document(id=row["id"], fields=row["fields"], group=row.get("group", ""))
            yield document, row.get("derived", {})


def _read(path: Path, types: FieldTypes, origin: Mapping[str, str]) -> LocalIndex:
    documents, derived = [], []
    for document, texts in stored_documents(path):
        documents.append(document)
        derived.append(texts)
    with safetensors.safe_open(path / TENSORS_FILE, framework="np") as arrays:
        tensors = {name: _read_rows(arrays, name, *kind) for name, kind in types.items()}
    return LocalIndex(
        path=path,
        documents=tuple(documents),
        tensors=tensors,
        origin=origin,
        derived=tuple(derived),
    )


def _read_rows(arrays: Any, name: str, tensor_type: TensorType, outer: str) -> Rows:
    offsets, values = arrays.get_tensor(f"{name}.offsets"), arrays.get_tensor(f"{name}.cells")
    rows = DocumentRows(type=tensor_type.without(outer), offsets=offsets, values=values)
    if not outer:
        return rows
    contexts = arrays.get_tensor(f"{name}.contexts")
    return ContextRows(type=tensor_type, outer=outer, rows=rows, contexts=contexts)
