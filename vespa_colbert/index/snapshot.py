"""One generation of an index, kept by whoever opened it while others write the next ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import IndexFolderError
from vespa_colbert.files import FileDigest, changed_files
from vespa_colbert.index.array_file import map_arrays
from vespa_colbert.index.collection import Document
from vespa_colbert.index.indexing import TextFields
from vespa_colbert.index.manifest import (
    MANIFEST_FILE,
    SEGMENTS_FOLDER,
    IndexManifest,
    SegmentEntry,
    check_origin,
    read_manifest,
)
from vespa_colbert.index.rows import DocumentRows, NumberedRows, Rows
from vespa_colbert.index.segment import Segment, map_segment

__all__ = ["CHECKED_BYTES", "Snapshot", "StoredList", "all_faults", "open_snapshot"]

logger = logging.getLogger(__name__)

CHECKED_BYTES = 128 << 20
"""Files up to this size are read and compared with their sha256 whenever an index is opened; of a
larger one the size is, and ``index check`` reads it."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """A generation of an index, mapped into memory.

    Attributes:
        path: Its folder.
        manifest: What it says of itself.
        segments: Where the documents are.
    """

    path: Path
    manifest: IndexManifest
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return self.manifest.documents

    @cached_property
    def locations(self) -> NDArray[np.int64]:
        """Where each document is, in order: (document, 2) int64, segment and position in it."""
        found = [np.zeros((0, 2), np.int64)]
        for number, segment in enumerate(self.segments):
            positions = np.flatnonzero(~segment.deleted)
            found.append(np.stack([np.full(len(positions), number), positions], axis=1))
        return np.concatenate(found)

    def column(self, name: str) -> NDArray[Any]:
        """Return what there is of each document: ``ids``, ``contents``, ``places``."""
        return np.concatenate([each.column(name)[~each.deleted] for each in self.segments])

    def lengths(self, name: str) -> NDArray[np.int64]:
        """Return how many token vectors of a field each document has: (document,) int64."""
        counts = (each.rows_of(name)[~each.deleted] for each in self.segments)
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def row(self, place: int) -> dict[str, Any]:
        """Return what the line of a document says."""
        number, position = self.locations[place].tolist()
        segment: Segment = self.segments[number]
        return segment.row(position)

    @cached_property
    def _row_in_turn(self) -> Callable[[int], dict[str, Any]]:
        """``row``, read once where a document and what was derived of it are asked for in turn."""
        return lru_cache(maxsize=1)(self.row)

    def rows(self, name: str) -> Rows:
        """Return the token vectors of all documents.

        They stay on disk where one segment has them and none is deleted; else they are copied.
        """
        parts = [each.rows(name) for each in self.segments]
        if len(parts) == 1 and not self.segments[0].deleted.any():
            return parts[0]
        return self._joined(name, parts)

    def _joined(self, name: str, parts: Sequence[Rows]) -> Rows:
        kind = self.manifest.fields[name]
        values = [np.zeros((0, *kind.inner.shape), kind.dtype)]
        lengths, numbers = [np.zeros(0, np.int64)], [np.zeros(0, kind.numbers_dtype)]
        for segment, rows in zip(self.segments, parts, strict=True):
            counts = np.diff(rows.offsets)
            is_kept = np.repeat(~segment.deleted, counts)
            lengths.append(counts[~segment.deleted])
            values.append(rows.values[is_kept] if segment.deleted.any() else rows.values)
            if isinstance(rows, NumberedRows):
                numbers.append(rows.numbers[is_kept])
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
        joined = DocumentRows(type=kind.inner, offsets=offsets, values=np.concatenate(values))
        return kind.rows(joined, np.concatenate(numbers))

    def documents(self) -> StoredList[Document]:
        """Return the documents."""
        row = self._row_in_turn
        return StoredList(len(self), lambda place: _document(row(place)))

    def derived(self) -> StoredList[TextFields]:
        """Return for each document the texts that indexing made of its fields."""
        row = self._row_in_turn
        return StoredList(len(self), lambda place: dict(row(place).get("derived", {})))


def _document(row: Mapping[str, Any]) -> Document:
    return Document(id=row["id"], fields=row["fields"], group=row.get("group", ""))


class StoredList(Sequence[T]):
    """A sequence whose members are read from disk each time that they are asked for."""

    def __init__(self, length: int, read: Callable[[int], T]) -> None:
        """Make the sequence.

        Args:
            length: How many members there are.
            read: Returns one of them.
        """
        self._length, self._read = length, read

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> list[T]: ...

    def __getitem__(self, place: int | slice) -> T | list[T]:
        found = range(self._length)[place]
        return self._read(found) if isinstance(found, int) else [self._read(each) for each in found]

    def __iter__(self) -> Iterator[T]:
        return map(self._read, range(self._length))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # as of a list


def open_snapshot(
    path: Path, *, origin: Mapping[str, str] | None = None, unfinished: bool = False
) -> Snapshot:
    """Return the generation that an index has now.

    Args:
        path: The index folder.
        origin: What it must have been made with; names absent here are not compared.
        unfinished: As for ``read_manifest``.

    Raises:
        IndexFolderError: If there is none, a file changed, it is unfinished, or it was made with
            something else.
    """
    while True:
        manifest = read_manifest(path, unfinished=unfinished)
        check_origin(path, manifest.origin, origin or {})
        try:
            return _open(path, manifest)
        except (IndexFolderError, FileNotFoundError) as error:
            # Another process may have gone on and removed what this generation had.
            if read_manifest(path, unfinished=unfinished) == manifest:
                raise IndexFolderError(f"{path}: {error}") from error


def _open(path: Path, manifest: IndexManifest) -> Snapshot:
    """Return a generation, its files checked.

    Raises:
        IndexFolderError: If a file is not what the manifest says.
    """
    if faults := _faults(path, manifest.files):
        raise IndexFolderError("the index is damaged; embed again\n  " + "\n  ".join(faults))
    deleted: Mapping[str, NDArray[np.int64]] = {}
    for name in manifest.deleted:
        deleted = map_arrays(path / name).arrays
    none = np.zeros(0, np.int64)

    def mapped(entry: SegmentEntry) -> Segment:
        folder = path / SEGMENTS_FOLDER / entry.name
        return map_segment(folder, entry, manifest.fields, deleted.get(entry.name, none))

    return Snapshot(path=path, manifest=manifest, segments=tuple(map(mapped, manifest.segments)))


def _faults(path: Path, files: Mapping[str, FileDigest]) -> list[str]:
    """Return one line for each file that is missing or differs, as far as opening looks."""
    small = {name: each for name, each in files.items() if each.size <= CHECKED_BYTES}
    found = changed_files(path, small)
    for name in files.keys() - small.keys():
        logger.info("%s: too large to be read now; index check does", path / name)
        size = (path / name).stat().st_size
        if size != files[name].size:
            found.append(f"{path / name}: expected {files[name].size} bytes, got {size}")
    return found


def all_faults(path: Path) -> list[str]:
    """Return one line for each fault of an index, every byte of it read.

    Args:
        path: The index folder.

    Raises:
        IndexFolderError: If there is no index, it is unfinished, or its manifest is damaged.
    """
    manifest = read_manifest(path)
    faults = changed_files(path, manifest.files)
    if faults:
        return faults
    snapshot = open_snapshot(path)
    unique = np.unique(snapshot.column("ids"), axis=0) if snapshot.segments else np.zeros((0, 2))
    if len(unique) != len(snapshot):
        faults.append(f"{path / MANIFEST_FILE}: {len(snapshot)} documents, {len(unique)} ids")
    return faults
