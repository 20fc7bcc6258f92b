"""The one process that may change an index: it adds segments and deletes by new generations.

A generation counts from the moment when its manifest has its name, which is after all that it
speaks of is on the disk. What no manifest speaks of was left by a process that was killed; the next
writer removes it. Readers keep what they have mapped.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import CollectionError, IndexFolderError, OutputError
from vespa_colbert.files import FULL, atomic_file, digest_file, write_lock
from vespa_colbert.index.array_file import ArrayFileWriter, ArraySpec
from vespa_colbert.index.join import join_segments, new_segment, write_manifest
from vespa_colbert.index.key_table import ABSENT, KeyTable, keys_of
from vespa_colbert.index.manifest import (
    DELETED_PREFIX,
    MANIFEST_FILE,
    SEGMENTS_FOLDER,
    IndexManifest,
    read_manifest,
)
from vespa_colbert.index.segment import Segment, SegmentPart, map_segment, write_segment
from vespa_colbert.index.snapshot import Snapshot, open_snapshot

__all__ = ["IndexWriter", "write_index"]

JOINED = 10
"""Segments of one level that are joined to one of the next: a file stays open for each."""

POSITIONS = 1 << 40
"""Documents that a segment may have: a number of a document is that of its segment times this."""


class IndexWriter:
    """An index that this process alone changes; ``write_index`` makes one."""

    def __init__(self, path: Path) -> None:
        """Open an index; the lock is held by the caller.

        Raises:
            IndexFolderError: If it is damaged.
        """
        self.path = path
        self._take(open_snapshot(path, unfinished=True))

    def _take(self, snapshot: Snapshot) -> None:
        self.manifest: IndexManifest = snapshot.manifest
        self.segments: tuple[Segment, ...] = snapshot.segments
        self._table = KeyTable()
        for number, segment in enumerate(self.segments):
            at = np.flatnonzero(~segment.deleted)
            self._table.add(segment.column("ids")[at], number * POSITIONS + at)

    def __len__(self) -> int:
        return self.manifest.documents

    @property
    def next_place(self) -> int:
        """A place behind those of all documents that were ever added."""
        places = (each.column("places") for each in self.segments if len(each))
        return max((int(each.max()) for each in places), default=-1) + 1

    def find(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return where documents are, segment and position: (document, 2) int64, -1 for none.

        Args:
            ids: (document, 2) uint64, keys of their ids.
        """
        found = self._table.find(ids)
        there = np.stack(np.divmod(found, POSITIONS), axis=1)
        return np.where(found[:, None] < 0, ABSENT, there)

    def holds(self, ids: NDArray[np.uint64], contents: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which documents are there as they are given: (document,) bool.

        Args:
            ids: (document, 2) uint64, keys of their ids.
            contents: (document, 2) uint64, keys of their lines.
        """
        locations, same = self.find(ids), np.zeros(len(ids), np.bool_)
        for number in np.unique(locations[:, 0]).tolist():
            if number != ABSENT:
                at = locations[:, 0] == number
                stored = self.segments[number].column("contents")[locations[at, 1]]
                same[at] = (stored == contents[at]).all(axis=1)
        return same

    def add(self, parts: Sequence[SegmentPart]) -> None:
        """Add documents, in place of those that have their ids; they are there when this returns.

        Args:
            parts: One at least; all ids are different.

        Raises:
            OutputError: If it cannot be written; the index is what it was then.
        """
        kinds, ids = self.manifest.fields, np.concatenate([each.ids for each in parts])
        rows = {name: sum(len(each.fields[name].values) for each in parts) for name in kinds}
        count, gone = len(ids), self.find(ids)
        with self._changing():
            folder = new_segment(self.path, self.manifest.generation + 1)
            entry = write_segment(folder, kinds, parts, documents=count, rows=rows)
            new = map_segment(folder, entry, kinds, np.zeros(0, np.int64))
            self._commit((*self._without(gone), new))
        self._table.add(ids, (len(self.segments) - 1) * POSITIONS + np.arange(count))
        levels = [each.entry.level for each in self.segments[-JOINED:]]
        if len(levels) == JOINED and len(set(levels)) == 1:
            self._join(len(self.segments) - JOINED, level=levels[0] + 1)

    def delete(self, ids: Sequence[str]) -> int:
        """Return how many documents were deleted.

        Raises:
            CollectionError: If one is not there; none is deleted then.
            OutputError: If it cannot be written; the index is what it was then.
        """
        names = list(dict.fromkeys(ids))
        keys = keys_of(names)
        gone = self.find(keys)
        if missing := [each for each, at in zip(names, gone[:, 0], strict=True) if at == ABSENT]:
            raise CollectionError(
                f"{self.path}: expected documents of the index, got {len(missing)} that are not in "
                f"it: {', '.join(map(repr, missing[:5]))}; nothing was deleted"
            )
        with self._changing():
            self._commit(self._without(gone))
        self._table.add(keys, np.full(len(keys), ABSENT, np.int64))
        return len(names)

    def compact(self) -> None:
        """Bring all documents together in one segment, without the deleted ones.

        Raises:
            OutputError: If it cannot be written; the index is what it was then.
        """
        if len(self.segments) > 1 or self.manifest.deleted:
            self._join(0, level=max(each.entry.level for each in self.segments))

    def _join(self, first: int, *, level: int) -> None:
        """Join the segments from a number on.

        Raises:
            OutputError: If it cannot be written; the index is what it was then.
        """
        joined, kinds = self.segments[first:], self.manifest.fields
        at = [np.flatnonzero(~each.deleted) for each in joined]
        numbers = np.repeat(np.arange(len(joined)), [len(each) for each in at])
        locations = np.stack([numbers, np.concatenate(at)], axis=1)
        with self._changing():
            folder = new_segment(self.path, self.manifest.generation + 1)
            entry = replace(join_segments(folder, kinds, joined, locations), level=level)
            new = map_segment(folder, entry, kinds, np.zeros(0, np.int64))
            self._commit((*self.segments[:first], new))
        self._table.add(new.column("ids"), first * POSITIONS + np.arange(len(new), dtype=np.int64))
        sweep(self.path)

    def _without(self, gone: NDArray[np.int64]) -> tuple[Segment, ...]:
        """Return the segments with more documents deleted."""
        found = []
        for number, segment in enumerate(self.segments):
            deleted = segment.deleted.copy()
            deleted[gone[gone[:, 0] == number, 1]] = True
            found.append(replace(segment, deleted=deleted))
        return tuple(found)

    def _commit(self, segments: tuple[Segment, ...]) -> None:
        """Make the next generation the one that counts."""
        generation = self.manifest.generation + 1
        counted = tuple(
            replace(each, entry=replace(each.entry, deleted=int(each.deleted.sum())))
            for each in segments
        )
        files, deleted = {}, {each.entry.name: np.flatnonzero(each.deleted) for each in counted}
        deleted = {name: at for name, at in deleted.items() if len(at)}
        if deleted:
            name = f"{DELETED_PREFIX}{new_segment(self.path, generation).name}.safetensors"
            with atomic_file(self.path / name) as part:
                _write_deleted(part, deleted)
            files[name] = digest_file(self.path / name)
        origin = {name: each for name, each in self.manifest.origin.items() if name != "corpus"}
        manifest = replace(
            self.manifest,
            generation=generation,
            segments=tuple(each.entry for each in counted),
            deleted=files,
            origin=origin,
        )
        write_manifest(self.path, manifest)
        for name in self.manifest.deleted:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        self.manifest, self.segments = manifest, counted

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Leave nothing behind of a change that fails, and go on with what the disk has.

        Raises:
            OutputError: For an error of the operating system.
        """
        try:
            yield
        except OutputError:
            self._recover()
            raise
        except OSError as error:
            self._recover()
            raise OutputError(_not_written(self.path, error)) from error

    def _recover(self) -> None:
        self._take(open_snapshot(self.path, unfinished=True))
        sweep(self.path)


def _write_deleted(path: Path, deleted: Mapping[str, NDArray[np.int64]]) -> None:
    specs = [
        ArraySpec(name=name, dtype=np.dtype(np.int64), shape=at.shape)
        for name, at in deleted.items()
    ]
    writer = ArrayFileWriter(path, specs)
    try:
        for name, at in deleted.items():
            writer.write(name, at)
        writer.close()
    finally:
        writer.abandon()


def _not_written(path: Path, error: OSError) -> str:
    hint = "free some space" if error.errno in FULL else "choose a folder that you may write to"
    return f"{path}: cannot be written ({error.strerror or error}); {hint}"


@contextlib.contextmanager
def write_index(path: Path, *, start: IndexManifest | None = None) -> Iterator[IndexWriter]:
    """Yield an index to be changed; other writers are kept away until the block ends.

    Args:
        path: The index folder.
        start: What a new index is to say of itself. What stands there is gone on with if it says
            the same and is whole, and is removed if not. Without it there must be an index.

    Yields:
        The index.

    Raises:
        IndexFolderError: If there is none, or it is damaged, or unfinished without ``start``.
        OutputError: If another process is writing it, or it cannot be written.
    """
    if start is None:
        read_manifest(path)
    with write_lock(path):
        try:
            if start is not None:
                _begin(path, start)
            sweep(path)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(_not_written(path, error)) from error
        yield IndexWriter(path)


def _begin(path: Path, start: IndexManifest) -> None:
    """Have an index stand there that begins as wanted.

    Raises:
        OutputError: If something else stands there.
    """
    with contextlib.suppress(IndexFolderError):
        found = open_snapshot(path, unfinished=start.is_unfinished).manifest
        if (found.origin, found.fields, found.schema) == (start.origin, start.fields, start.schema):
            return
    known = re.compile(rf"{MANIFEST_FILE}|{SEGMENTS_FOLDER}|{DELETED_PREFIX}.*|\..*\.part")
    names = [each.name for each in path.iterdir()] if path.is_dir() else []
    if not all(map(known.fullmatch, names)) or path.is_file():
        raise OutputError(
            f"{path}: holds files that were not written by this command; it is left alone: choose "
            "another output folder or remove it yourself"
        )
    shutil.rmtree(path, ignore_errors=True)
    (path / SEGMENTS_FOLDER).mkdir(parents=True)
    write_manifest(path, start)


def sweep(path: Path) -> None:
    """Remove what the manifest of an index does not speak of; what cannot be removed stays."""
    manifest = read_manifest(path, unfinished=True)
    known = {each.name for each in manifest.segments}
    for folder in (path / SEGMENTS_FOLDER).iterdir():
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
    for file in path.iterdir():
        is_deleted = file.name.startswith(DELETED_PREFIX) and file.name not in manifest.deleted
        if is_deleted or (file.name.startswith(".") and file.name.endswith(".part")):
            with contextlib.suppress(OSError):
                file.unlink()
