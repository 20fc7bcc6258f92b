"""The training library's semantics as a torch module around the encoder. Imports torch.

Vespa's embedder decides which ids and which attention a graph gets, and takes every row that comes
out. What it does otherwise than the library is put right in between.
"""

from __future__ import annotations

import torch  # noqa: TID253 - this module defines a torch class

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.model.columns import MARKER_COLUMN, InsertedColumns
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.model.roles import role_ids

__all__ = ["ExactEncoder"]


class ExactEncoder(torch.nn.Module):  # type: ignore[misc]
    """An encoder whose rows, taken as Vespa's embedder takes them, score as in the library.

    Rows that the library leaves out are made neutral: a query's becomes zeros, which add 0 to a sum
    of maxima; a document's becomes a copy of one that counts, which moves no maximum. The role of a
    text is read off column 1.

    Source: ColBertEmbedder.buildTransformerInput, Vespa 8.700.24, for what comes in.
    """

    skip_ids: torch.Tensor

    def __init__(self, inner: ContextualEncoder, checkpoint: Checkpoint) -> None:
        """Wrap the plain encoder of a checkpoint.

        Args:
            inner: The encoder.
            checkpoint: What the library does; its markers are both there or both absent.
        """
        super().__init__()
        self.inner = inner
        query, document = checkpoint.query_marker, checkpoint.document_marker
        self.query_id = role_ids(checkpoint)[0]
        self.columns = InsertedColumns(checkpoint)
        self.common_marker = query.id if query and document and query.id == document.id else None
        self.expansion_scored = checkpoint.query_expansion
        self.expansion_attended = checkpoint.expansion_attended
        self.skip_queries = checkpoint.skip_queries
        self.start_row_dropped = checkpoint.start_row_dropped
        self.mean_score = checkpoint.mean_score
        skip_ids = torch.tensor(checkpoint.skip_ids, dtype=torch.int64)
        self.register_buffer("skip_ids", skip_ids, persistent=False)

    @property
    def dim(self) -> int:
        """Width of a token vector, in components."""
        return self.inner.dim

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return token vectors: ``contextual``, (batch, token, dim) float32.

        Args:
            input_ids: (batch, token) int64, start and marker first.
            attention_mask: (batch, token) int64, 1 for tokens of the text, 0 for padding.
        """
        is_query = self._is_query(input_ids)
        rows = self._rows(input_ids, attention_mask, is_query)
        kept = self._kept(input_ids, attention_mask, is_query)
        # ONNX Runtime 1.17 (Vespa 8.338) has no ArgMax of int64.
        place = kept.to(torch.int32).argmax(dim=1)[:, None, None].expand(-1, -1, rows.shape[2])
        filled = torch.where((kept | is_query)[..., None], rows, rows.gather(1, place))
        return filled * self._lengths(kept, is_query)[..., None]

    def row_lengths(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the length that each row has: (batch, token) float32.

        1 for a document's rows. 0 for a query's rows that do not score, else 1 or, where the score
        is a mean, 1 by the number of those that do.
        """
        is_query = self._is_query(input_ids)
        return self._lengths(self._kept(input_ids, attention_mask, is_query), is_query)

    def _is_query(self, ids: torch.Tensor) -> torch.Tensor:
        """Return (batch, 1) bool."""
        return ids[:, MARKER_COLUMN : MARKER_COLUMN + 1] == self.query_id

    def _rows(
        self, ids: torch.Tensor, attention: torch.Tensor, is_query: torch.Tensor
    ) -> torch.Tensor:
        """Return the encoder's row of each token, (batch, token, dim) float32.

        A column for which the model has no token gets the row of a neighbour.
        """
        attended = attention
        if self.expansion_attended:
            attended = torch.where(is_query, torch.ones_like(attention), attention)
        if self.common_marker is not None:
            marker = torch.full_like(ids[:, :1], self.common_marker)
            ids = torch.cat((ids[:, :1], marker, ids[:, 2:]), dim=1)
        if not self.columns.any:
            return self.inner(ids, attended)
        rows = self.inner(
            self.columns.take_out(ids, attention, is_query),
            self.columns.take_out(attended, attention, is_query),
        )
        return self.columns.put_back(rows, attention, is_query)

    def _kept(
        self, ids: torch.Tensor, attention: torch.Tensor, is_query: torch.Tensor
    ) -> torch.Tensor:
        """Return which rows score: (batch, token) bool.

        Source: skiplist_mask, PyLate 1.4.0, and MultiVectorMask.forward, sentence-transformers
        6.2.0: any token's id may be among the skipped ones, start, marker and end included.
        """
        kept = attention == 1
        if self.expansion_scored:
            kept = kept | is_query
        if len(self.skip_ids):
            counted = (ids[..., None] != self.skip_ids).all(dim=-1)
            kept = kept & (counted if self.skip_queries else counted | is_query)
        if self.start_row_dropped:
            kept = kept & (torch.arange(ids.shape[1], device=ids.device)[None, :] > 0)
        return kept & ~self.columns.inserted(attention) if self.columns.any else kept

    def _lengths(self, kept: torch.Tensor, is_query: torch.Tensor) -> torch.Tensor:
        """Return the length of each row: (batch, token) float32."""
        query = kept.to(torch.float32)
        if self.mean_score:
            query = query / query.sum(dim=1, keepdim=True).clamp(min=1.0)
        return torch.where(is_query, query, torch.ones_like(query))
