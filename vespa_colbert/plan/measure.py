"""How long texts are, counted in a local index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vespa_colbert.embedder.pooling import NOT_POOLED, UNPOOLED, TokenPooling
from vespa_colbert.errors import SpecError
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
        pooling: What becomes of the vectors that are said or counted before they are stored.
        counted_after: How those that were counted had been pooled.

    Raises:
        SpecError: If what is pooled already is to be pooled again.
    """

    document: int
    query: int
    text_bytes: float = 0.0
    counted: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    pooling: TokenPooling = UNPOOLED
    counted_after: TokenPooling = UNPOOLED

    def __post_init__(self) -> None:
        if self.pooling.is_active and self.counted_after.is_active:
            raise SpecError(
                f"expected vectors that are not pooled yet, got an index with {self.counted_after}"
            )

    @property
    def stored_pooling(self) -> TokenPooling:
        """How the vectors are pooled that are stored."""
        return self.counted_after if self.counted_after.is_active else self.pooling

    def of(self, name: str) -> Mapping[int, int]:
        """Return vectors of a document → documents, for a field, those that are left."""
        return self._left(self.counted.get(name, {self.document: 1}))

    def tokens_of(self, name: str) -> Mapping[int, int]:
        """Return tokens of a document → documents, for a field that is never pooled."""
        return self.counted.get(name, {self.document: 1})

    def _left(self, lengths: Mapping[int, int]) -> Mapping[int, int]:
        found = Counter[int]()
        for length, number in lengths.items():
            found[self.pooling.left(length)] += number
        return found

    @property
    def longest(self) -> Mapping[int, int]:
        """Vectors of a document → documents, for the field of the most vectors."""
        return self._left(max(self.counted.values(), key=mean, default={self.document: 1}))

    @property
    def tokens(self) -> Tokens:
        """The averages, as the work of a query takes them."""
        means = {name: mean(self.of(name)) for name in self.counted}
        document = self.pooling.left(self.document)
        return Tokens(document=document, query=self.query, of_field=means)


def mean(lengths: Mapping[int, int]) -> float:
    """Return the average of lengths, each weighted by its documents."""
    return sum(length * number for length, number in lengths.items()) / sum(lengths.values())


def measured_lengths(index: LocalIndex, *, query: int) -> Lengths:
    """Return the lengths of an index's documents.

    Args:
        index: The index; its field of the most vectors stands for fields that it does not have.
        query: Token vectors of a query.

    Raises:
        SpecError: If it has no documents.
    """
    if not len(index):
        raise SpecError(
            f"{index.path}: expected documents to count token vectors of, got none; say how many a "
            "document has: --tokens"
        )
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
        text_bytes=texts / len(index),
        counted=counted,
        counted_after=TokenPooling.parse(index.origin.get("pooling", NOT_POOLED)),
    )
