"""Late interaction as the training libraries do it, written out one text at a time.

Nothing here knows how Vespa's embedder makes its input. transformers runs the encoder; markers,
cut, expansion, projection, skipped rows and score follow their definitions: ColBERT.encode and
colbert_scores of PyLate 1.4.0, and for a model without markers EncoderOnlyEmbedderM3Model of
FlagEmbedding 1.4.0 (the row of the start token goes, the score is divided by the query's rows).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vespa_colbert.checkpoint import Checkpoint

Rows = NDArray[np.float64]


class Library:
    """A checkpoint's facts, and its encoder as transformers loads it."""

    def __init__(self, checkpoint: Checkpoint, model: Any, dims: int | None = None) -> None:
        self.facts, self.model, self.dims = checkpoint, model.eval(), dims
        self.tokenizer = Tokenizer.from_str(checkpoint.tokenizer.text)
        self.tokenizer.no_padding()

    def rows(self, text: str, *, query: bool) -> Rows:
        """Return the token vectors that score: (token, dim)."""
        facts = self.facts
        marker = facts.query_marker if query else facts.document_marker
        length = facts.max_query_tokens if query else facts.max_document_tokens
        self.tokenizer.enable_truncation(length if marker is None else length - 1)
        text = text.strip() if facts.strip else text
        ids = list(self.tokenizer.encode(text.lower() if facts.lower_case else text).ids)
        attention = [1] * len(ids)
        if query and facts.query_expansion:
            missing = length - len(ids) - (marker is not None)
            attention += [int(facts.expansion_attended)] * missing
            ids += [facts.mask_id] * missing
        if marker is not None:
            place = 0 if facts.start_id is None and not facts.marker_second else 1
            ids.insert(place, marker.id)
            attention.insert(place, 1)
        rows = self.encode(ids, attention)
        skips = facts.skip_ids if facts.skip_queries or not query else ()
        places = [place for place, token in enumerate(ids) if token not in skips]
        return rows[[place for place in places if place or not facts.start_row_dropped]]

    def score(self, query: Rows, document: Rows) -> float:
        """Return the score of two texts' token vectors."""
        best = (query @ document.T).max(axis=1)
        return float(best.sum() / (len(query) if self.facts.mean_score else 1))

    def scores(self, queries: Iterable[str], documents: Iterable[str]) -> Rows:
        """Return (query, document)."""
        right = [self.rows(text, query=False) for text in documents]
        left = [self.rows(text, query=True) for text in queries]
        return np.array([[self.score(query, document) for document in right] for query in left])

    def encode(self, ids: list[int], attention: list[int]) -> Rows:
        """Return the token vector of every id: (token, dim)."""
        with torch.no_grad():
            hidden = self.model(torch.tensor([ids]), torch.tensor([attention])).last_hidden_state
        rows = hidden[0].numpy().astype(np.float64)
        for layer in self.facts.projection:
            rows = rows @ layer.weight.T.astype(np.float64)
            rows = rows if layer.bias is None else rows + layer.bias
        rows = rows[:, : self.dims]
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
