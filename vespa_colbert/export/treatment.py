"""What one side, training library or Vespa, makes of texts: windows, rows that score, scores.

A difference between the two sides is one changed member of a treatment, so that its effect can be
computed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import Checkpoint, Marker

__all__ = [
    "Encode",
    "Treatment",
    "Window",
    "exact_treatment",
    "library_treatment",
    "native_treatment",
    "score_pairs",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the encoder is given for one text.

    Attributes:
        ids: Token ids, expansion included.
        attention: 1 for every token that others attend to, else 0.
        scored: Places of the rows that score.
    """

    ids: tuple[int, ...]
    attention: tuple[int, ...]
    scored: tuple[int, ...]


Encode: TypeAlias = Callable[[Sequence[Window]], Sequence[TokenVectors]]
"""Windows → the encoder's row of every token in each, (token, dim) float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How a text becomes a window, and the rows of two texts a score.

    Attributes:
        checkpoint: Markers, ids and lengths, which are the same on both sides.
        tokenizer: The tokenizer, without truncation and padding.
        strip: Whether white space is stripped off both ends of a text first.
        lower_case: Whether a text is lower-cased before the tokenizer.
        tokens_read: Tokens of a text that are looked at, before any is left out; None for all.
        left_out_ids: Ids that a document loses before the encoder.
        uncounted_ids: Ids that do not count towards the length of a document.
        skip_document_ids: Ids whose rows are left out of documents after the encoder.
        skip_query_ids: The same for queries.
        expansion_attended: Whether a query's tokens attend to its expansion.
        start_row_dropped: Whether the row of the start token does not score.
        mean_score: Whether the score is the mean over the query's rows, not their sum.
    """

    checkpoint: Checkpoint
    tokenizer: Any
    strip: bool
    lower_case: bool
    tokens_read: int | None = None
    left_out_ids: frozenset[int] = frozenset()
    uncounted_ids: frozenset[int] = frozenset()
    skip_document_ids: frozenset[int]
    skip_query_ids: frozenset[int]
    expansion_attended: bool
    start_row_dropped: bool
    mean_score: bool

    def query_window(self, text: str) -> Window:
        """Return the window of a query."""
        facts = self.checkpoint
        room = self._room(facts.max_query_tokens, facts.query_marker)
        tokens = self._tokens(text)[:room]
        expansion = room - len(tokens) if facts.query_expansion else 0
        return self._window(tokens, facts.query_marker, self.skip_query_ids, expansion)

    def document_window(self, text: str) -> Window:
        """Return the window of a document."""
        facts = self.checkpoint
        room = self._room(facts.max_document_tokens, facts.document_marker)
        tokens = self._cut(self._tokens(text), room)
        kept = [token for token in tokens if token not in self.left_out_ids]
        return self._window(kept, facts.document_marker, self.skip_document_ids)

    def _room(self, length: int, marker: Marker | None) -> int:
        """Return how many tokens of its own a text of a length may have."""
        around = (self.checkpoint.start_id, self.checkpoint.end_id, marker)
        return length - sum(each is not None for each in around)

    def _tokens(self, text: str) -> list[int]:
        text = text.strip() if self.strip else text
        text = text.lower() if self.lower_case else text
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids[: self.tokens_read]

    def _cut(self, tokens: list[int], room: int) -> list[int]:
        """Return the tokens up to where ``room`` of those that count are used up."""
        counted = np.cumsum([token not in self.uncounted_ids for token in tokens])
        return tokens[: int(np.searchsorted(counted, room, side="right"))]

    def _window(
        self,
        tokens: list[int],
        marker: Marker | None,
        skip_ids: frozenset[int],
        expansion: int = 0,
    ) -> Window:
        """Return a text's tokens with all that is put around them."""
        facts = self.checkpoint
        before, after = ([] if each is None else [each] for each in (facts.start_id, facts.end_id))
        ids = [*before, *tokens, *after]
        attention = [1] * len(ids) + [int(self.expansion_attended)] * expansion
        ids += [facts.mask_id] * expansion
        if marker is not None:
            # After the expansion, which is what a second place is counted from in an empty text.
            place = 1 if before or facts.marker_second else 0
            ids.insert(place, marker.id)
            attention.insert(place, 1)
        first = 1 if self.start_row_dropped else 0
        scored = (place for place in range(first, len(ids)) if ids[place] not in skip_ids)
        return Window(ids=tuple(ids), attention=tuple(attention), scored=tuple(scored))


def library_treatment(checkpoint: Checkpoint, tokenizer: Any) -> Treatment:
    """Return what the training library does.

    Source: ColBERT.encode and colbert_scores, PyLate 1.4.0; MultiVectorMask.forward,
    sentence-transformers 6.2.0; EncoderOnlyEmbedderM3Model, FlagEmbedding 1.4.0.
    """
    skip_ids = frozenset(checkpoint.skip_ids)
    return Treatment(
        checkpoint=checkpoint,
        tokenizer=tokenizer,
        strip=checkpoint.strip,
        lower_case=checkpoint.lower_case,
        skip_document_ids=skip_ids,
        skip_query_ids=skip_ids if checkpoint.skip_queries else frozenset(),
        expansion_attended=checkpoint.expansion_attended,
        start_row_dropped=checkpoint.start_row_dropped,
        mean_score=checkpoint.mean_score,
    )


def native_treatment(library: Treatment, punctuation_ids: frozenset[int]) -> Treatment:
    """Return what Vespa's embedder does with the plain graph.

    Args:
        library: What the library does.
        punctuation_ids: Ids that Vespa's embedder drops.

    Source: ColBertEmbedder, Vespa 8.700.24.
    """
    return replace(
        library,
        strip=False,
        lower_case=False,
        tokens_read=library.checkpoint.encoder.positions,
        left_out_ids=punctuation_ids,
        uncounted_ids=punctuation_ids,
        skip_document_ids=frozenset(),
        skip_query_ids=frozenset(),
        expansion_attended=False,
        start_row_dropped=False,
        mean_score=False,
    )


def exact_treatment(library: Treatment, tokenizer: Any) -> Treatment:
    """Return what Vespa's embedder does with exact files.

    The graph brings the library's semantics, the tokenizer its stripping and lower-casing.

    Args:
        library: What the library does.
        tokenizer: That of exact packaging.
    """
    return replace(library, tokenizer=tokenizer, strip=False, lower_case=False)


def score_pairs(
    treatment: Treatment, queries: Sequence[Window], documents: Sequence[Window], encode: Encode
) -> NDArray[np.float64]:
    """Return the score of every query with every document, (query, document) float64.

    A query or a document of which no row scores has the score 0 with all others.
    """
    rows = [
        vectors[list(window.scored)].astype(np.float64)
        for window, vectors in zip(
            (*queries, *documents), encode((*queries, *documents)), strict=True
        )
    ]
    scores = np.zeros((len(queries), len(documents)))
    for place, query in enumerate(rows[: len(queries)]):
        share = len(query) if treatment.mean_score else 1
        for column, document in enumerate(rows[len(queries) :]):
            if len(query) and len(document):
                scores[place, column] = (query @ document.T).max(axis=1).sum() / share
    return scores
