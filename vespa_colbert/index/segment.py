"""A segment: documents and the token vectors of their fields in a folder that never changes.

``documents.jsonl`` has a line for each document, ``documents.safetensors`` where each line begins,
the keys of its id and of its content, and its place in the corpus. ``FIELD.tokens.safetensors`` has
the ``tokens`` of a field and the ``offsets`` of each document's, with the ``contexts`` of a list of
texts, or the ``centroids`` whose residuals the tokens are.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import IndexFolderError
from vespa_colbert.files import digest_file, sync_folder
from vespa_colbert.index.array_file import (
    ArrayFileWriter,
    ArraySpec,
    MappedArrays,
    map_arrays,
    map_bytes,
)
from vespa_colbert.index.collection import Document
from vespa_colbert.index.indexing import TextFields
from vespa_colbert.index.key_table import keys_of
from vespa_colbert.index.manifest import FieldKind, SegmentEntry
from vespa_colbert.index.rows import DocumentRows, NumberedRows, Rows

__all__ = ["FieldPart", "Segment", "SegmentPart", "document_line", "map_segment", "write_segment"]

TEXTS_FILE = "documents.jsonl"
DOCUMENTS_FILE = "documents.safetensors"
TOKENS_SUFFIX = ".tokens.safetensors"
INT64, UINT64 = np.dtype(np.int64), np.dtype(np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldPart:
    """The token vectors of one field for some documents.

    Attributes:
        lengths: (document,) int64, how many vectors each has.
        values: (row, width), as they are kept.
        numbers: (row,), the number of each row; empty where the field has none.
    """

    lengths: NDArray[np.int64]
    values: NDArray[Any]
    numbers: NDArray[Any]

    @classmethod
    def of(cls, rows: Rows) -> FieldPart:
        """Return the part that rows make."""
        numbers = rows.numbers if isinstance(rows, NumberedRows) else np.zeros(0, np.int64)
        return cls(lengths=np.diff(rows.offsets), values=rows.values, numbers=numbers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentPart:
    """Some documents on their way into a segment.

    Attributes:
        texts: Their lines, one after the other.
        lengths: (document,) int64, bytes of each line.
        ids: (document, 2) uint64, keys of their ids.
        contents: (document, 2) uint64, keys of their lines.
        places: (document,) int64, where they stand in the corpus.
        fields: Their token vectors.
    """

    texts: bytes
    lengths: NDArray[np.int64]
    ids: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    places: NDArray[np.int64]
    fields: Mapping[str, FieldPart]

    @classmethod
    def of(
        cls, documents: Mapping[str, bytes], places: Sequence[int], rows: Mapping[str, Rows]
    ) -> SegmentPart:
        """Return the part that documents make.

        Args:
            documents: Id → line.
            places: Where they stand in the corpus.
            rows: Their token vectors, by field.
        """
        lines = list(documents.values())
        return cls(
            texts=b"".join(lines),
            lengths=np.array([len(line) for line in lines], np.int64),
            ids=keys_of(documents),
            contents=keys_of(lines),
            places=np.array(places, np.int64),
            fields={name: FieldPart.of(each) for name, each in rows.items()},
        )


def document_line(document: Document, derived: TextFields) -> bytes:
    """Return the line of a document.

    Args:
        document: The document.
        derived: The texts that indexing makes of its fields.
    """
    row: dict[str, Any] = {"id": document.id, "fields": dict(document.fields)}
    more = (("group", document.group), ("derived", derived))
    row |= {name: value for name, value in more if value}
    return json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """A segment mapped into memory.

    Attributes:
        entry: What the manifest says of it.
        kinds: Its tensor fields.
        deleted: (document,) bool, which of its documents are deleted.
        maps: The files, by name.
    """

    entry: SegmentEntry
    kinds: Mapping[str, FieldKind]
    deleted: NDArray[np.bool_]
    maps: Mapping[str, MappedArrays]

    def __len__(self) -> int:
        return self.entry.documents

    def column(self, name: str) -> NDArray[Any]:
        """Return what there is of each document: ``starts``, ``ids``, ``contents``, ``places``."""
        return self.maps[DOCUMENTS_FILE].arrays[name]

    def row(self, position: int) -> dict[str, Any]:
        """Return what the line of a document says."""
        start, end = self.column("starts")[position : position + 2].tolist()
        line = self.maps[TEXTS_FILE].arrays["bytes"][start:end].tobytes()
        row: dict[str, Any] = json.loads(line.decode("utf-8"))
        return row

    def rows(self, name: str, start: int = 0, end: int | None = None) -> Rows:
        """Return the token vectors of a field for a run of documents."""
        kind, arrays = self.kinds[name], self.maps[f"{name}{TOKENS_SUFFIX}"].arrays
        offsets = arrays["offsets"][start : None if end is None else end + 1]
        part = slice(int(offsets[0]), int(offsets[-1]))
        rows = DocumentRows(
            type=kind.inner,
            offsets=offsets - offsets[0] if offsets[0] else offsets,
            values=arrays["tokens"][part],
        )
        return rows if kind.numbered is None else kind.rows(rows, arrays[kind.numbered.ARRAY][part])

    def part(self, start: int, end: int) -> SegmentPart:
        """Return a run of documents."""
        starts = self.column("starts")[start : end + 1]
        texts = self.maps[TEXTS_FILE].arrays["bytes"][int(starts[0]) : int(starts[-1])]
        return SegmentPart(
            texts=texts.tobytes(),
            lengths=np.diff(starts),
            ids=self.column("ids")[start:end],
            contents=self.column("contents")[start:end],
            places=self.column("places")[start:end],
            fields={name: FieldPart.of(self.rows(name, start, end)) for name in self.kinds},
        )

    def rows_of(self, name: str) -> NDArray[np.int64]:
        """Return how many token vectors of a field each document has: (document,) int64."""
        return np.diff(self.maps[f"{name}{TOKENS_SUFFIX}"].arrays["offsets"])

    def release(self) -> None:
        """Give back the memory that pages read so far take."""
        for each in self.maps.values():
            each.release()


def map_segment(
    folder: Path,
    entry: SegmentEntry,
    kinds: Mapping[str, FieldKind],
    deleted: NDArray[np.int64],
) -> Segment:
    """Return a segment mapped into memory.

    Args:
        folder: Its folder.
        entry: What the manifest says of it.
        kinds: Its tensor fields.
        deleted: (document,) int64, positions of its deleted documents.

    Raises:
        IndexFolderError: If a file is not what the manifest says.
        FileNotFoundError: If one is gone.
    """
    maps = {TEXTS_FILE: map_bytes(folder / TEXTS_FILE)}
    for name in (DOCUMENTS_FILE, *(f"{each}{TOKENS_SUFFIX}" for each in kinds)):
        maps[name] = map_arrays(folder / name)
    is_deleted = np.zeros(entry.documents, np.bool_)
    is_deleted[deleted] = True
    segment = Segment(entry=entry, kinds=kinds, deleted=is_deleted, maps=maps)
    counts = [len(segment.column("starts")) - 1, *(len(segment.rows_of(name)) for name in kinds)]
    if set(counts) != {entry.documents} or is_deleted.sum() != entry.deleted:
        raise IndexFolderError(
            f"{folder}: expected {entry.documents} documents, {entry.deleted} deleted, got "
            f"{counts} and {is_deleted.sum()}; embed again"
        )
    return segment


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _SegmentFiles:
    """The files of a segment while they grow.

    Attributes:
        kinds: Its tensor fields.
        texts: The lines.
        documents: What there is of each document.
        tokens: Field → its token vectors.
    """

    kinds: Mapping[str, FieldKind]
    texts: BinaryIO
    documents: ArrayFileWriter
    tokens: Mapping[str, ArrayFileWriter]

    def begin(self) -> None:
        """Write the zero that counts begin with."""
        zero = np.zeros(1, np.int64)
        self.documents.write("starts", zero)
        for each in self.tokens.values():
            each.write("offsets", zero)

    def add(self, part: SegmentPart, rows: dict[str, int]) -> None:
        """Write a part.

        Args:
            part: The documents.
            rows: Bytes and token vectors so far, by field; changed.
        """
        self.documents.write("starts", self.texts.tell() + np.cumsum(part.lengths))
        self.texts.write(part.texts)
        for name in ("ids", "contents", "places"):
            self.documents.write(name, getattr(part, name))
        for name, each in part.fields.items():
            self.tokens[name].write("offsets", rows[name] + np.cumsum(each.lengths))
            self.tokens[name].write("tokens", each.values)
            if (numbered := self.kinds[name].numbered) is not None:
                self.tokens[name].write(numbered.ARRAY, each.numbers)
            rows[name] += len(each.values)


def write_segment(
    folder: Path,
    kinds: Mapping[str, FieldKind],
    parts: Iterable[SegmentPart],
    *,
    documents: int,
    rows: Mapping[str, int],
) -> SegmentEntry:
    """Return what the manifest is to say of a new segment, which is on the disk then.

    Args:
        folder: Its folder, made here.
        kinds: Its tensor fields.
        parts: The documents; one part is in memory at a time.
        documents: How many they are.
        rows: Field → how many token vectors they have.
    """
    folder.mkdir(parents=True)
    with _segment_files(folder, kinds, documents, rows) as files:
        written = dict.fromkeys(kinds, 0)
        files.begin()
        for part in parts:
            files.add(part, written)
    sync_folder(folder)
    names = sorted(each.name for each in folder.iterdir())
    return SegmentEntry(
        name=folder.name,
        documents=documents,
        rows=dict(rows),
        files={name: digest_file(folder / name) for name in names},
    )


@contextlib.contextmanager
def _segment_files(
    folder: Path, kinds: Mapping[str, FieldKind], documents: int, rows: Mapping[str, int]
) -> Iterator[_SegmentFiles]:
    with contextlib.ExitStack() as stack:
        texts = stack.enter_context((folder / TEXTS_FILE).open("wb"))
        made = ArrayFileWriter(folder / DOCUMENTS_FILE, _document_specs(documents))
        stack.callback(made.abandon)
        tokens = {}
        for name, kind in kinds.items():
            specs = _token_specs(kind, documents, rows[name])
            tokens[name] = ArrayFileWriter(folder / f"{name}{TOKENS_SUFFIX}", specs)
            stack.callback(tokens[name].abandon)
        yield _SegmentFiles(kinds=kinds, texts=texts, documents=made, tokens=tokens)
        for each in (made, *tokens.values()):
            each.close()


def _document_specs(documents: int) -> list[ArraySpec]:
    return [
        ArraySpec(name="starts", dtype=INT64, shape=(documents + 1,)),
        ArraySpec(name="ids", dtype=UINT64, shape=(documents, 2)),
        ArraySpec(name="contents", dtype=UINT64, shape=(documents, 2)),
        ArraySpec(name="places", dtype=INT64, shape=(documents,)),
    ]


def _token_specs(kind: FieldKind, documents: int, rows: int) -> list[ArraySpec]:
    numbered = [] if kind.numbered is None else [kind.numbered]
    return [
        *(ArraySpec(name=each.ARRAY, dtype=each.DTYPE, shape=(rows,)) for each in numbered),
        ArraySpec(name="offsets", dtype=INT64, shape=(documents + 1,)),
        ArraySpec(name="tokens", dtype=kind.dtype, shape=(rows, *kind.inner.shape)),
    ]
