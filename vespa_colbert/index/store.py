"""The local index: documents and the cells of their tensor fields in one folder.

``documents.jsonl`` holds ids and text fields, ``tensors.safetensors`` for each field its
``offsets`` and ``cells``, ``manifest.json`` what it was made with and the sha256 of both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vespa_colbert.app.field import Field
from vespa_colbert.app.schema import Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.files import FileDigest, atomic_folder, changed_files, digest_file
from vespa_colbert.index.collection import Document
from vespa_colbert.index.indexing import EmbedStatement, read_embed_statement
from vespa_colbert.index.lexical import LexicalField
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.tensor import TensorType, cells_of

__all__ = [
    "LocalIndex",
    "build_index",
    "embedded_text",
    "is_index_folder",
    "open_index",
    "tensor_fields",
]

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
    """

    path: Path
    documents: tuple[Document, ...]
    tensors: Mapping[str, DocumentRows]
    origin: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def _lexical(self) -> dict[str, LexicalField]:
        return {}

    def lexical(self, field: str) -> LexicalField:
        """Return a text field inverted for bm25; made when first asked for."""
        if field not in self._lexical:
            texts = [document.fields.get(field) for document in self.documents]
            self._lexical[field] = LexicalField(texts)
        return self._lexical[field]

    @cached_property
    def positions(self) -> dict[str, int]:
        """Document id → position."""
        return {document.id: place for place, document in enumerate(self.documents)}


def build_index(
    documents: Sequence[Document],
    schema: Schema,
    embed: Callable[[str], TokenVectors],
    output: Path,
    *,
    origin: Mapping[str, str],
    progress: Callable[[int], None] = lambda _done: None,
) -> LocalIndex:
    """Return the index of a corpus after writing it to ``output``, whole or not at all.

    What is embedded and which cells are kept is read from the schema's tensor fields.

    Args:
        documents: The corpus.
        schema: A schema whose tensor fields are filled by ``embed`` in their indexing.
        embed: Text of a document → token vectors, (token, dim) float32.
        output: The index folder.
        origin: What to remember: checksum of the model, of the corpus, versions.
        progress: Called with the number of documents done.

    Raises:
        IndexFolderError: If the schema embeds nothing.
        OutputError: If the folder cannot be written.
    """
    fields = _embedded_fields(schema)
    if not fields:
        raise IndexFolderError(f"schema {schema.name}: no tensor field is filled by embed")
    cells: dict[str, list[NDArray[Any]]] = {name: [] for name in fields}
    for done, document in enumerate(documents, start=1):
        known: dict[tuple[str | None, str], TokenVectors] = {}
        for name, (tensor_type, statement) in fields.items():
            text = statement.text(document.fields)
            if text is None:
                vectors = np.zeros((0, _components(tensor_type)), np.float32)
            else:
                key = statement.component, text
                if key not in known:
                    known[key] = embed(text)
                vectors = known[key]
            cells[name].append(cells_of(vectors, tensor_type))
        progress(done)
    tensors = {name: _rows(fields[name][0], cells[name]) for name in fields}
    index = LocalIndex(
        path=output, documents=tuple(documents), tensors=tensors, origin=dict(origin)
    )
    _write(index, schema)
    return index


def _components(tensor_type: TensorType) -> int:
    return tensor_type.shape[0] * (8 if tensor_type.cell_type.size == 1 else 1)


def tensor_fields(schema: Schema) -> list[Field]:
    """Return the fields of a schema that hold tensors."""
    return [field for field in schema.fields if field.tensor_type is not None]


def embedded_text(schema: Schema, name: str, fields: Mapping[str, str]) -> str | None:
    """Return the text that a tensor field embeds for a document, ``None`` if nothing.

    Args:
        schema: The schema.
        name: Name of the tensor field.
        fields: The document's text fields.
    """
    found = _embedded_fields(schema).get(name)
    return None if found is None else found[1].text(fields)


def _embedded_fields(schema: Schema) -> dict[str, tuple[TensorType, EmbedStatement]]:
    """Return the tensor fields that indexing fills, with what they embed."""
    found = {}
    for field in tensor_fields(schema):
        where = f"schema {schema.name}, field {field.name}"
        for indexing in field.indexing:
            if (statement := read_embed_statement(indexing, where)) is not None:
                found[field.name] = (TensorType.parse(field.type), statement)
    return found


def _rows(tensor_type: TensorType, cells: Sequence[NDArray[Any]]) -> DocumentRows:
    lengths = np.array([len(each) for each in cells], np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    empty = np.zeros((0, *tensor_type.shape), tensor_type.cell_type.dtype)
    return DocumentRows(
        type=tensor_type, offsets=offsets, values=np.concatenate([empty, *cells], axis=0)
    )


def _write(index: LocalIndex, schema: Schema) -> None:
    with atomic_folder(index.path, is_ours=is_index_folder) as folder:
        with (folder / DOCUMENTS_FILE).open("w", encoding="utf-8", newline="\n") as stream:
            for document in index.documents:
                row = {"id": document.id, "fields": dict(document.fields)}
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        arrays = {}
        for name, rows in index.tensors.items():
            arrays[f"{name}.offsets"] = rows.offsets
            arrays[f"{name}.cells"] = rows.values
        (folder / TENSORS_FILE).write_bytes(safetensors.numpy.save(arrays))
        manifest = {
            "format": FORMAT,
            "schema": schema.name,
            "documents": len(index.documents),
            "fields": {
                name: {"type": str(rows.type), "rows": len(rows.values)}
                for name, rows in index.tensors.items()
            },
            "origin": dict(index.origin),
            "files": {
                name: asdict(digest_file(folder / name)) for name in (DOCUMENTS_FILE, TENSORS_FILE)
            },
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")


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
        types = {name: TensorType.parse(each["type"]) for name, each in said["fields"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise IndexFolderError(
            f"{manifest}: not a valid manifest ({error}); embed again"
        ) from error
    if version != FORMAT:
        raise IndexFolderError(f"{manifest}: expected format {FORMAT}, got {version}; embed again")
    if faults := changed_files(path, files):
        raise IndexFolderError("the index is damaged; embed again\n  " + "\n  ".join(faults))
    for name, wanted in (origin or {}).items():
        if made_with.get(name) != wanted:
            raise IndexFolderError(
                f"{path}: made with {name} {made_with.get(name)!r:.40}, expected {wanted!r:.40}; "
                "embed again, or name the other index"
            )
    return _read(path, types, made_with)


def _read(path: Path, types: Mapping[str, TensorType], origin: Mapping[str, str]) -> LocalIndex:
    documents = []
    with (path / DOCUMENTS_FILE).open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            row = json.loads(line)
            documents.append(Document(id=row["id"], fields=row["fields"]))
    with safetensors.safe_open(path / TENSORS_FILE, framework="np") as arrays:
        tensors = {
            name: DocumentRows(
                type=tensor_type,
                offsets=arrays.get_tensor(f"{name}.offsets"),
                values=arrays.get_tensor(f"{name}.cells"),
            )
            for name, tensor_type in types.items()
        }
    return LocalIndex(path=path, documents=tuple(documents), tensors=tensors, origin=origin)
