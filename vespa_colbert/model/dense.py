"""The torch modules of a dense model. Imports torch; nothing imports it eagerly."""

from __future__ import annotations

import torch  # noqa: TID253 - defines torch classes

from vespa_colbert.checkpoint.dense_facts import Pooling
from vespa_colbert.checkpoint.facts import ProjectionLayer
from vespa_colbert.model.contextual import Projection

__all__ = ["HiddenRows", "PooledVectors"]


class HiddenRows(torch.nn.Module):  # type: ignore[misc]
    """The encoder alone: what Vespa's embedder pools itself."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return ``last_hidden_state``, (batch, token, hidden) float32.

        Args:
            input_ids: (batch, token) int64.
            attention_mask: (batch, token) int64, 0 for padding.
        """
        rows: torch.Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return rows


class PooledVectors(torch.nn.Module):  # type: ignore[misc]
    """Encoder, pooling, projection and length 1: the library's vector of a text.

    Source: Pooling.forward, Dense.forward and Normalize.forward, sentence-transformers 6.2.0.
    """

    def __init__(
        self,
        encoder: torch.nn.Module,
        pooling: tuple[Pooling, ...],
        projection: tuple[ProjectionLayer, ...],
        *,
        normalize: bool,
        dims: int | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            encoder: The transformer.
            pooling: How rows become one vector; several are put one behind the other.
            projection: Layers behind it.
            normalize: Whether vectors are brought to length 1.
            dims: How many of the first components are left, before that; None for all.
        """
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.projection = torch.nn.Sequential(*(Projection(layer) for layer in projection))
        self.normalize, self.dims = normalize, dims

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return ``sentence_embedding``, (batch, dim) float32; arguments as of ``HiddenRows``."""
        rows = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        pooled = [_pooled(rows, attention_mask, mode) for mode in self.pooling]
        vectors = self.projection(torch.cat(pooled, dim=-1))
        if self.dims is not None:
            vectors = vectors[:, : self.dims]
        if self.normalize:
            vectors = torch.nn.functional.normalize(vectors, p=2.0, dim=-1)
        return vectors


def _pooled(rows: torch.Tensor, attention: torch.Tensor, mode: Pooling) -> torch.Tensor:
    """Return the vector of each text: (batch, hidden) float32.

    Padding stands behind a text, so that its first row is the first of all and its last one the
    last that is attended.
    """
    mask = attention.unsqueeze(-1).to(rows.dtype)
    if mode == "cls":
        return rows[:, 0]
    if mode == "max":
        return rows.masked_fill(mask == 0, float("-inf")).max(dim=1).values
    if mode == "lasttoken":
        place = attention.cumsum(dim=1)
        is_last = (place == place[:, -1:]) & (attention > 0)
        return torch.where(is_last.unsqueeze(-1), rows, torch.zeros_like(rows)).sum(dim=1)
    weights = mask * mask.cumsum(dim=1) if mode == "weightedmean" else mask
    total, count = (rows * weights).sum(dim=1), weights.sum(dim=1)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)
