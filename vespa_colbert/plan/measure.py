"""How long texts are, counted in a local index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vespa_colbert.index.store import LocalIndex
from vespa_colbert.plan.work import Tokens

__all__ = ["Lengths", "measured_lengths"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long documents and queries are.

    Attributes:
        document: Token vectors of a document where nothing was counted.
        query: Token vectors of a query.
        text_bytes: Bytes of a document's text fields.
        counted: Field → vectors of a document → documents of that length.
    """

    document: int
    query: int
    text_bytes: float = 0.0
    counted: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def of(self, name: str) -> Mapping[int, int]:
        """Return vectors of a document → documents, for a field."""
        return self.counted.get(name, {self.document: 1})

    @property
    def longest(self) -> Mapping[int, int]:
        """Vectors of a document → documents, for the field of the most vectors."""
        return max(self.counted.values(), key=mean, default={self.document: 1})

    @property
    def tokens(self) -> Tokens:
        """The averages, as the work of a query takes them."""
        means = {name: mean(lengths) for name, lengths in self.counted.items()}
        return Tokens(document=self.document, query=self.query, of_field=means)


def mean(lengths: Mapping[int, int]) -> float:
    """Return the average of lengths, each weighted by its documents."""
    return sum(length * number for length, number in lengths.items()) / sum(lengths.values())


def measured_lengths(index: LocalIndex, *, query: int) -> Lengths:
    """Return the lengths of an index's documents.

    Args:
        index: The index; its field of the most vectors stands for fields that it does not have.
        query: Token vectors of a query.
    """
    counted = {
        name: dict(Counter(np.diff(rows.offsets).tolist())) for name, rows in index.tensors.items()
    }
    texts = sum(
        len(text.encode("utf-8"))
        for document in index.documents
        for text in map(document.text, document.fields)
    )
    longest = max(counted.values(), key=mean, default={0: 1})
    return Lengths(
        document=round(mean(longest)),
        query=query,
        text_bytes=texts / max(len(index), 1),
        counted=counted,
    )
