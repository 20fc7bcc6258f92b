"""What an index consists of: one small file, replaced by one rename, says it for a generation."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import IndexFolderError
from vespa_colbert.export.seal import check_seal, sealed
from vespa_colbert.files import FileDigest
from vespa_colbert.index.rows import CodedRows, ContextRows, DocumentRows, Rows
from vespa_colbert.tensor import CellType, TensorType

__all__ = [
    "DELETED_PREFIX",
    "MANIFEST_FILE",
    "PARTIAL",
    "SEGMENTS_FOLDER",
    "FieldKind",
    "IndexManifest",
    "SegmentEntry",
    "check_origin",
    "how_to_make",
    "read_manifest",
]

MANIFEST_FILE = "manifest.json"
SEGMENTS_FOLDER = "segments"
DELETED_PREFIX = "deleted-"
PARTIAL = ".partial"
"""Follows the name of an index while it is made for the first time."""

FORMAT, CODED_FORMAT = 2, 3
"""The second is that of indexes with codes: who knows the first alone would take residuals for
vectors, and so refuses them."""

Numbered: TypeAlias = type[ContextRows] | type[CodedRows]
"""What rows with a number each may be."""

HINTS = {
    "pooling": "embed with the --pool-factor and --protected-tokens that it was made with",
    "runtime": "embed with the --runtime that it was made with",
    "codec": "take the --codec that it was made with",
}
"""Fact → what makes it the same; for others there is only another index, or a new one."""

TYPES = "types"
"""Fact: the tensor fields of a schema, each with its type."""

BETWEEN_FIELDS = re.compile(r", (?=[^\s,]+ )")
"""In that fact; a type may have the same between its dimensions, which no space follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldKind:
    """What a tensor field holds.

    Attributes:
        type: Its type.
        outer: The dimension of the places in a list of texts; empty where there is none.
        centroids: The dimension of the numbers of centroids, whose residuals the cells are; empty
            where they are vectors.
    """

    type: TensorType
    outer: str = ""
    centroids: str = ""

    @property
    def numbered(self) -> Numbered | None:
        """What rows with a number each are; ``None`` where they have none."""
        if self.centroids:
            return CodedRows
        return ContextRows if self.outer else None

    @property
    def numbers_dtype(self) -> np.dtype[Any]:
        """Of the numbers, of which there are none where rows have none."""
        return np.dtype(np.int64) if self.numbered is None else self.numbered.DTYPE

    @property
    def inner(self) -> TensorType:
        """Type of the rows without their numbers."""
        return self.type if self.numbered is None else self.type.without(self._dimension)

    @property
    def _dimension(self) -> str:
        return self.centroids or self.outer

    def rows(self, rows: DocumentRows, numbers: NDArray[Any]) -> Rows:
        """Return rows of this kind.

        Args:
            rows: The rows without their numbers.
            numbers: (row,); not looked at where rows have none.
        """
        if self.numbered is None:
            return rows
        return self.numbered(type=self.type, outer=self._dimension, rows=rows, numbers=numbers)

    @property
    def dtype(self) -> np.dtype[Any]:
        """How its cells are kept: of bfloat16 the upper halves of its float32 values."""
        cells = self.type.cell_type
        return np.dtype(np.uint16) if cells is CellType.BFLOAT16 else cells.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """A folder of documents that never changes.

    Attributes:
        name: Of the folder.
        documents: How many it holds, deleted ones included.
        deleted: How many of them are deleted.
        rows: Field → token vectors.
        files: File name → sha256 and size.
        level: How often its documents were joined with others.
    """

    name: str
    documents: int
    rows: Mapping[str, int]
    files: Mapping[str, FileDigest]
    deleted: int = 0
    level: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexManifest:
    """A generation of an index.

    Attributes:
        schema: Name of the schema that said what is embedded.
        fields: Its tensor fields.
        origin: What the index was made with: name → checksum or version.
        generation: Counts the changes.
        segments: Where the documents are, in order.
        deleted: The file that says which documents are deleted, by name; none where none is.
        is_unfinished: Whether it lacks documents that a run of embed is to add: nobody reads it.
    """

    schema: str
    fields: Mapping[str, FieldKind]
    origin: Mapping[str, str]
    generation: int = 0
    segments: tuple[SegmentEntry, ...] = ()
    deleted: Mapping[str, FileDigest] = field(default_factory=dict)
    is_unfinished: bool = False

    @property
    def documents(self) -> int:
        """How many documents there are, without deleted ones."""
        return sum(each.documents - each.deleted for each in self.segments)

    @property
    def is_coded(self) -> bool:
        """Whether a field holds residuals of a codec."""
        return any(each.centroids for each in self.fields.values())

    def rows(self, name: str) -> int:
        """Return how many token vectors a field has, those of deleted documents included."""
        return sum(each.rows[name] for each in self.segments)

    @property
    def files(self) -> dict[str, FileDigest]:
        """All files that it speaks of, by their path in the index."""
        found = dict(self.deleted)
        for each in self.segments:
            folder = f"{SEGMENTS_FOLDER}/{each.name}"
            found |= {f"{folder}/{name}": digest for name, digest in each.files.items()}
        return found

    def text(self) -> str:
        """Return the text of ``manifest.json``, its own checksum at the end."""
        document = {
            "format": CODED_FORMAT if self.is_coded else FORMAT,
            "schema": self.schema,
            "generation": self.generation,
            "fields": {
                name: {"type": str(each.type), "outer": each.outer}
                | ({"centroids": each.centroids} if self.is_coded else {})
                for name, each in self.fields.items()
            },
            "origin": dict(self.origin),
            "deleted": {name: asdict(digest) for name, digest in self.deleted.items()},
            "segments": [asdict(each) for each in self.segments],
        } | ({"unfinished": True} if self.is_unfinished else {})
        return sealed(json.dumps(document, indent=1, ensure_ascii=False))


def read_manifest(path: Path, *, unfinished: bool = False) -> IndexManifest:
    """Return what an index says of itself.

    Args:
        path: The index folder.
        unfinished: Whether it may be one that embed has not finished, as for who goes on with it.

    Raises:
        IndexFolderError: If there is none, it is damaged, of another format, or unfinished.
    """
    found = _read(path)
    if found.is_unfinished and not unfinished:
        raise IndexFolderError(
            f"{path}: expected a whole index, got {found.documents} documents of a run of embed "
            f"that has not ended; {how_to_make(path)}"
        )
    return found


def _read(path: Path) -> IndexManifest:
    """Return what an index says of itself, finished or not.

    Raises:
        IndexFolderError: If there is none, it is damaged, or of another format.
    """
    file = path / MANIFEST_FILE
    if not file.is_file():
        raise IndexFolderError(
            f"{path}: expected an index with {MANIFEST_FILE}, found none; {how_to_make(path)}"
        )
    try:
        data = file.read_bytes()
        said = json.loads(data.decode("utf-8"))
        if said["format"] in {FORMAT, CODED_FORMAT}:
            check_seal(data)
            return _parse(said)
    except (ValueError, KeyError, TypeError) as error:
        raise IndexFolderError(f"{file}: not a valid manifest ({error}); embed again") from error
    raise IndexFolderError(
        f"{file}: expected format {FORMAT} or {CODED_FORMAT}, got {said['format']!r:.20}; embed "
        "again"
    )


def how_to_make(path: Path) -> str:
    """Return what to do where an index is missing: a hint of a message."""
    for each in (path, path.with_name(f"{path.name}{PARTIAL}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads((each / MANIFEST_FILE).read_bytes())["unfinished"]:
                return f"{each} is an unfinished one: run the same vespa-colbert embed again"
    return "make one with: vespa-colbert embed"


def _parse(said: Mapping[str, Any]) -> IndexManifest:
    return IndexManifest(
        schema=said["schema"],
        generation=said["generation"],
        fields={
            name: FieldKind(**{**each, "type": TensorType.parse(each["type"])})
            for name, each in said["fields"].items()
        },
        origin=said["origin"],
        is_unfinished=said.get("unfinished", False),
        deleted=_digests(said["deleted"]),
        segments=tuple(
            SegmentEntry(**{**each, "files": _digests(each["files"])}) for each in said["segments"]
        ),
    )


def _digests(said: Mapping[str, Any]) -> dict[str, FileDigest]:
    return {name: FileDigest(**each) for name, each in said.items()}


def check_origin(
    path: Path, found: Mapping[str, str], wanted: Mapping[str, str], *, hint: str = ""
) -> None:
    """Return nothing if an index was made with what is wanted.

    Args:
        path: The index folder.
        found: What it was made with.
        wanted: What it must have been made with; names absent here are not compared.
        hint: What to do; where none is given, what there is to do about the fact that differs.

    Raises:
        IndexFolderError: If it was made with something else; both are named.
    """
    for name, value in wanted.items():
        if (got := found.get(name)) == value:
            continue
        said = f"made with {name} {_shown(got)}, expected {_shown(value)}"
        if name == TYPES and got is not None:
            said = _other_fields(_types(got), _types(value)) or said
        to_do = hint or f"{HINTS.get(name, 'embed again')}, or name the other index"
        raise IndexFolderError(f"{path}: {said}; {to_do}")


def _shown(value: str | None) -> str:
    return "nothing said" if value is None else repr(value)


def _types(said: str) -> dict[str, str]:
    """Return field → type, as the fact of them lists them."""
    pairs = (each.partition(" ") for each in BETWEEN_FIELDS.split(said))
    return {name: kind for name, _, kind in pairs}


def _other_fields(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Return in what the fields that an index was made for differ; empty if in their order alone.

    Args:
        found: Field → type, of the schema that the index was made for.
        wanted: Field → type, of the schema that it is to fit.
    """
    said = [f"without {name} {kind}" for name, kind in wanted.items() if name not in found]
    for name, kind in found.items():
        if name not in wanted:
            said.append(f"with {name} {kind} as well")
        elif kind != wanted[name]:
            said.append(f"with {name} {kind}, expected {wanted[name]}")
    return f"made for other tensor fields than expected: {'; '.join(said)}" if said else ""
