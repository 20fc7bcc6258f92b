"""The torch module of a cross-encoder. Imports torch; nothing imports it eagerly."""

from __future__ import annotations

import torch  # noqa: TID253 - this module defines a torch class

__all__ = ["PairEncoder"]


class PairEncoder(torch.nn.Module):  # type: ignore[misc]
    """A model for sequence classification with one label: the logit of each pair."""

    def __init__(self, classifier: torch.nn.Module, *, takes_types: bool) -> None:
        """Put the parts together.

        Args:
            classifier: The model of transformers, its head included.
            takes_types: Whether the second text is told from the first by token types.
        """
        super().__init__()
        self.classifier = classifier
        self.takes_types = takes_types

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return logits, (batch, 1) float32.

        Args:
            input_ids: (batch, token) int64.
            attention_mask: (batch, token) int64, 0 for padding.
            token_type_ids: (batch, token) int64, for a model that takes them.
        """
        types = {"token_type_ids": token_type_ids} if self.takes_types else {}
        return self.classifier(input_ids=input_ids, attention_mask=attention_mask, **types).logits
