"""A local index read a document at a time: its cells stay on disk until they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.index.collection import Document
from vespa_colbert.index.snapshot import Snapshot, open_snapshot
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["IndexReader", "read_index"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexReader:
    """An index on disk: the generation that it had when it was opened.

    Attributes:
        path: Its folder.
        types: Name → type of its tensor fields.
        snapshot: Where everything is.
    """

    path: Path
    types: Mapping[str, TensorType]
    snapshot: Snapshot

    def documents(self) -> Iterator[Document]:
        """Yield the documents in order."""
        yield from self.snapshot.documents()

    def tensor(self, name: str, position: int) -> Tensor:
        """Return the tensor of one document."""
        number, place = map(int, self.snapshot.locations[position])
        return self.snapshot.segments[number].rows(name, place, place + 1).document(0)


def read_index(path: Path, *, origin: Mapping[str, str] | None = None) -> IndexReader:
    """Return an index as it is now, its files checked.

    Args:
        path: The index folder.
        origin: What it must have been made with; names absent here are not compared.

    Raises:
        IndexFolderError: If there is none, a file changed, or it was made with something else.
    """
    snapshot = open_snapshot(path, origin=origin)
    types = {name: each.type for name, each in snapshot.manifest.fields.items()}
    return IndexReader(path=path, types=types, snapshot=snapshot)
