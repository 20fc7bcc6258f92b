"""Documents of several segments brought together in one: compaction, merging, a finished index."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import IndexFolderError
from vespa_colbert.files import atomic_file, atomic_folder
from vespa_colbert.index.manifest import (
    MANIFEST_FILE,
    SEGMENTS_FOLDER,
    FieldKind,
    IndexManifest,
    SegmentEntry,
    check_origin,
)
from vespa_colbert.index.segment import Segment, SegmentPart, write_segment
from vespa_colbert.index.snapshot import Snapshot

__all__ = [
    "is_index_folder",
    "join_segments",
    "merge_snapshots",
    "new_segment",
    "publish",
    "publish_parts",
    "runs_of",
    "write_manifest",
]

PART_DOCUMENTS = 64
"""Documents that are copied at a time: what is in memory then."""

OLD_TENSORS_FILE = "tensors.safetensors"


def is_index_folder(folder: Path) -> bool:
    """Return whether a folder looks like an index that may be replaced."""
    has_tensors = (folder / SEGMENTS_FOLDER).is_dir() or (folder / OLD_TENSORS_FILE).is_file()
    return (folder / MANIFEST_FILE).is_file() and has_tensors


def new_segment(path: Path, generation: int) -> Path:
    """Return a folder for a segment that no other one has."""
    return path / SEGMENTS_FOLDER / f"{generation:06d}-{secrets.token_hex(4)}"


def write_manifest(path: Path, manifest: IndexManifest) -> None:
    """Write the manifest of an index: its generation counts when this returns."""
    with atomic_file(path / MANIFEST_FILE) as part:
        part.write_text(manifest.text(), encoding="utf-8")


def join_segments(
    folder: Path,
    kinds: Mapping[str, FieldKind],
    segments: Sequence[Segment],
    locations: NDArray[np.int64],
    places: NDArray[np.int64] | None = None,
) -> SegmentEntry:
    """Return what the manifest is to say of a new segment with documents of others.

    Args:
        folder: The folder of the new segment.
        kinds: Its tensor fields.
        segments: Where the documents are.
        locations: (document, 2) int64, segment and position of each, in the order wanted.
        places: (document,) int64, where they stand in the corpus; as before where none are given.
    """
    rows = {name: _count(name, segments, locations) for name in kinds}
    parts = _parts(segments, locations, places)
    return write_segment(folder, kinds, parts, documents=len(locations), rows=rows)


def _count(name: str, segments: Sequence[Segment], locations: NDArray[np.int64]) -> int:
    counts = (
        segment.rows_of(name)[locations[locations[:, 0] == number, 1]].sum()
        for number, segment in enumerate(segments)
    )
    return int(sum(counts))


def _parts(
    segments: Sequence[Segment], locations: NDArray[np.int64], places: NDArray[np.int64] | None
) -> Iterator[SegmentPart]:
    """Yield the documents, those that stand side by side together."""
    for part, number, start, end in runs_of(locations):
        found = segments[number].part(start, end)
        yield found if places is None else replace(found, places=places[part])
        segments[number].release()


def runs_of(
    locations: NDArray[np.int64], documents: int = PART_DOCUMENTS
) -> Iterator[tuple[slice, int, int, int]]:
    """Yield runs of documents that stand side by side in a segment.

    Args:
        locations: (document, 2) int64, segment and position of each.
        documents: How many a run has at most.

    Yields:
        Which of the documents, their segment, the position of the first and behind the last.
    """
    breaks = (np.diff(locations[:, 0]) != 0) | (np.diff(locations[:, 1]) != 1)
    starts = [0, *(np.flatnonzero(breaks) + 1).tolist()] if len(locations) else []
    for start, end in zip(starts, [*starts[1:], len(locations)], strict=False):
        for begin in range(start, end, documents):
            stop = min(begin + documents, end)
            number, position = locations[begin].tolist()
            yield slice(begin, stop), number, position, position + stop - begin


def publish(
    output: Path,
    manifest: IndexManifest,
    segments: Sequence[Segment],
    locations: NDArray[np.int64],
    places: NDArray[np.int64],
    *,
    is_whole: bool = True,
) -> None:
    """Write an index of one segment, whole or not at all, in place of an index that stands there.

    Args:
        output: The index folder.
        manifest: What it says of itself; its segments are not looked at.
        segments: Where the documents are.
        locations: As for ``join_segments``.
        places: As for ``join_segments``.
        is_whole: Whether each field must have token vectors, were it of a single document.

    Raises:
        IndexFolderError: If a field has none: the documents lack what its statement embeds.
        OutputError: If the folder cannot be written.
    """
    publish_parts(
        output,
        manifest,
        _parts(segments, locations, places),
        documents=len(locations),
        rows={name: _count(name, segments, locations) for name in manifest.fields},
        is_whole=is_whole,
    )


def publish_parts(
    output: Path,
    manifest: IndexManifest,
    parts: Iterable[SegmentPart],
    *,
    documents: int,
    rows: Mapping[str, int],
    is_whole: bool = True,
) -> None:
    """Write an index of one segment, whole or not at all, in place of an index that stands there.

    Args:
        output: The index folder.
        manifest: What it says of itself; its segments are not looked at.
        parts: The documents; one part is in memory at a time.
        documents: How many they are.
        rows: Field → how many rows they have.
        is_whole: Whether each field must have rows, were it of a single document.

    Raises:
        IndexFolderError: If a field has none: the documents lack what its statement embeds.
        OutputError: If the folder cannot be written.
    """
    with atomic_folder(output, is_ours=is_index_folder) as folder:
        new = new_segment(folder, 1)
        entry = write_segment(new, manifest.fields, parts, documents=documents, rows=rows)
        for name, count in entry.rows.items() if is_whole else ():
            if entry.documents and not count:
                raise IndexFolderError(
                    f"field {name}: expected documents with what it embeds, got none among "
                    f"{entry.documents}"
                )
        write_manifest(folder, replace(manifest, generation=1, segments=(entry,), deleted={}))


def merge_snapshots(snapshots: Sequence[Snapshot], output: Path, origin: Mapping[str, str]) -> None:
    """Write the index of the documents of several indexes, in the order of the corpus.

    Args:
        snapshots: The indexes, one at least.
        output: The folder of the new one.
        origin: What it was made with; each of the others must have been made with the same.

    Raises:
        IndexFolderError: If they were made with different things, or a document is in two of them.
        OutputError: If the folder cannot be written.
    """
    first = snapshots[0]
    for each in snapshots:
        check_origin(each.path, each.manifest.origin, origin, hint=_alike(first.path))
        if each.manifest.fields != first.manifest.fields:
            raise IndexFolderError(f"{each.path}: has other fields than {first.path}")
    segments = [segment for each in snapshots for segment in each.segments]
    live = [np.flatnonzero(~each.deleted) for each in segments]
    numbers = np.repeat(np.arange(len(segments)), [len(each) for each in live])
    locations = np.stack([numbers, np.concatenate(live)], axis=1)
    columns = {
        name: np.concatenate([
            each.column(name)[at] for each, at in zip(segments, live, strict=True)
        ])
        for name in ("places", "ids")
    }
    if len(np.unique(columns["ids"], axis=0)) != len(locations):
        raise IndexFolderError(f"{output}: {_repeated(snapshots, columns['ids'])}")
    order = np.argsort(columns["places"], kind="stable")
    manifest = replace(first.manifest, origin=dict(origin))
    publish(output, manifest, segments, locations[order], columns["places"][order])


def _alike(path: Path) -> str:
    return f"join indexes that are made alike: make it anew as {path} was made, or leave it out"


def _repeated(snapshots: Sequence[Snapshot], ids: NDArray[np.uint64]) -> str:
    """Return which document is in two indexes, and what to do: the rest of a message.

    Args:
        snapshots: The indexes.
        ids: (document, 2) uint64, keys of all their documents, one of them twice at least.
    """
    _, numbers, counts = np.unique(ids, axis=0, return_inverse=True, return_counts=True)
    places = np.flatnonzero(numbers.reshape(-1) == np.flatnonzero(counts > 1)[0])[:2].tolist()
    ends = np.cumsum([len(each) for each in snapshots])
    number, other = np.searchsorted(ends, places, side="right").tolist()
    path, name = snapshots[number].path, snapshots[number].documents()[places[0] - ends[number]].id
    hint = f"delete it from one: vespa-colbert index delete {path} --id {shlex.quote(name)}"
    if path.samefile(snapshots[other].path):
        hint = "name each index once"
    return (
        f"expected a document in one of the indexes, got {name!r} in {path} and in "
        f"{snapshots[other].path}; {hint}"
    )
