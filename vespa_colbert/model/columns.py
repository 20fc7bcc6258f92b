"""Columns that Vespa's embedder puts into every text, taken out for a model that has no such token.

Vespa's embedder always writes start token, marker, text, end token, and a query's expansion behind
it. Decoders have no end token, often no start token, and some models have no markers.
Imports torch.

Source: ColBertEmbedder.buildTransformerInput, Vespa 8.700.24.
"""

from __future__ import annotations

import torch  # noqa: TID253 - computes with tensors

from vespa_colbert.checkpoint import Checkpoint

__all__ = ["MARKER_COLUMN", "InsertedColumns"]

MARKER_COLUMN = 1
SPECIALS = 3
"""Columns that the embedder adds to a text: start, marker, end."""


class InsertedColumns:
    """Which columns a model does not have, and where its marker stands."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Look at the tokens that the library puts around a text."""
        self.has_start = checkpoint.start_id is not None
        self.has_marker = checkpoint.query_marker is not None
        self.has_end = checkpoint.end_id is not None
        self.marker_moves = checkpoint.marker_second and self.has_marker and not self.has_start
        self.expanded = checkpoint.query_expansion

    @property
    def any(self) -> bool:
        """Whether the encoder is to be given other columns than Vespa's embedder makes."""
        return not (self.has_start and self.has_marker and self.has_end)

    def inserted(self, attention: torch.Tensor) -> torch.Tensor:
        """Return which columns the model does not have: (batch, token) bool.

        Args:
            attention: (batch, token) int64 as Vespa's embedder makes it: the end token is the last
                that has 1.
        """
        place = torch.arange(attention.shape[1], device=attention.device)[None, :]
        found = torch.zeros_like(attention, dtype=torch.bool)
        if not self.has_start:
            found = found | (place == 0)
        if not self.has_marker:
            found = found | (place == MARKER_COLUMN)
        if not self.has_end:
            found = found | (place == _end_column(attention))
        return found

    def take_out(
        self, values: torch.Tensor, attention: torch.Tensor, is_query: torch.Tensor
    ) -> torch.Tensor:
        """Return the columns that the model has, in its order: (batch, fewer tokens)."""
        taken = 3 - int(self.has_start) - int(self.has_marker) - int(self.has_end)
        column = torch.arange(values.shape[1] - taken, device=values.device)[None, :]
        if self.marker_moves:
            column = _exchanged(column, self._moved(attention, is_query))
        column = column.expand(values.shape[0], -1)
        if not self.has_start:
            column = column + 1
        if not self.has_marker:
            column = column + (column >= MARKER_COLUMN).to(torch.int64)
        if not self.has_end:
            column = column + (column >= _end_column(attention)).to(torch.int64)
        return values.gather(1, column)

    def put_back(
        self, rows: torch.Tensor, attention: torch.Tensor, is_query: torch.Tensor
    ) -> torch.Tensor:
        """Return (batch, token, dim) of (batch, fewer tokens, dim).

        A column that the model does not have gets the row of a neighbour.
        """
        place = torch.arange(attention.shape[1], device=rows.device)[None, :]
        place = place.expand(attention.shape[0], -1)
        if not self.has_end:
            place = place - (place >= _end_column(attention)).to(torch.int64)
        if not self.has_marker:
            place = place - (place >= MARKER_COLUMN).to(torch.int64)
        if not self.has_start:
            place = (place - 1).clamp(min=0)
        if self.marker_moves:
            place = _exchanged(place, self._moved(attention, is_query))
        return rows.gather(1, place[..., None].expand(-1, -1, rows.shape[2]))

    def _moved(self, attention: torch.Tensor, is_query: torch.Tensor) -> torch.Tensor:
        """Return whether a token stands before the marker: (batch, 1) bool.

        None does in an empty text, unless the library fills it up before it adds the marker.
        """
        others = attention.sum(dim=1, keepdim=True) - SPECIALS + int(self.has_end)
        moved = others > 0
        return moved | is_query if self.expanded else moved


def _end_column(attention: torch.Tensor) -> torch.Tensor:
    """Return the column of the end token: (batch, 1) int64."""
    return attention.sum(dim=1, keepdim=True) - 1


def _exchanged(place: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return places in which 0 and 1 are exchanged where that is wanted.

    Args:
        place: (1 or batch, token) int64, rising.
        where: (batch, 1) bool.
    """
    # A row of one column keeps it.
    other = torch.minimum((1 - place).abs(), place[:, -1:])
    return torch.where(where & (place < 2), other, place)
