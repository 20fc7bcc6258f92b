"""What is compared: rankings of the same queries, each with what it stores of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vespa_colbert.evaluate.run_file import Run

__all__ = ["PLAIN_TERMS", "StoredField", "System", "reference_system"]

PLAIN_TERMS = "plain words"
"""The fact ``terms`` of a ranking whose bm25 is over words as they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredField:
    """A tensor field that a ranking reads.

    Attributes:
        name: Its name.
        type: Its type, as Vespa writes it.
        vectors: Vectors of a document, on average.
        cell_bytes: Bytes of a document's cells, on average.
        bytes: Bytes of a document's attribute on a content node, on average: cells, labels, what
            Vespa's store adds, and the graph where there is one.
        disk_bytes: Bytes of a document's cells as they were written to disk here, on average, the
            numbers of centroids or contexts with them; 0 where nobody wrote them.
    """

    name: str
    type: str
    vectors: float
    cell_bytes: float
    bytes: float
    disk_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A ranking of the judged queries.

    Attributes:
        name: What it is called in tables.
        run: What it found.
        application: The package, empty for a run file.
        profile: The rank profile, empty for a run file.
        fields: The tensor fields that it reads; none for words alone.
        facts: What else a reader should know of it: name → value.
    """

    name: str
    run: Run
    application: str = ""
    profile: str = ""
    fields: tuple[StoredField, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> float | None:
        """Bytes of a document's tensors; ``None`` for a run file, which does not say."""
        return sum(each.bytes for each in self.fields) if self.profile else None

    @property
    def cell_bytes(self) -> float | None:
        """Bytes of their cells alone."""
        return sum(each.cell_bytes for each in self.fields) if self.profile else None


def reference_system(systems: Sequence[System]) -> System:
    """Return what others are compared with where nobody says: the one field of the most bytes.

    Rankings that read several fields, or none, come after those; the first of equal ones is taken.
    """
    return max(systems, key=lambda each: (len(each.fields) == 1, each.bytes or 0.0))
