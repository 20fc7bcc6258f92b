"""The torch module that becomes the ONNX graph. Imports torch; nothing imports it eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch  # noqa: TID253 - this module is the one place that defines a torch class

from vespa_colbert.checkpoint import ProjectionLayer

__all__ = ["ContextualEncoder", "Projection"]

# torch's own classes with their defaults (GELU is the exact one), as the config names them.
ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "identity": torch.nn.Identity,
    "tanh": torch.nn.Tanh,
    "gelu": torch.nn.GELU,
    "relu": torch.nn.ReLU,
}


class Projection(torch.nn.Module):  # type: ignore[misc]
    """One projection layer.

    Source: Dense.forward, PyLate 1.4.0.
    """

    def __init__(self, layer: ProjectionLayer) -> None:
        super().__init__()
        self.linear = _linear(layer.weight, layer.bias)
        self.activation = ACTIVATIONS[layer.activation]()
        self.has_residual = layer.residual
        self.residual = (
            _linear(layer.residual_weight, None)
            if layer.residual_weight is not None
            else torch.nn.Identity()
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (batch, token, out) float32 for (batch, token, in) float32."""
        projected = self.activation(self.linear(rows))
        return projected + self.residual(rows) if self.has_residual else projected


class ContextualEncoder(torch.nn.Module):  # type: ignore[misc]
    """Encoder, projection and L2 normalisation: what Vespa's embedder expects of a model."""

    def __init__(
        self,
        encoder: torch.nn.Module,
        projection: tuple[ProjectionLayer, ...],
        dims: int | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            encoder: The transformer.
            projection: Layers from the hidden row to the token vector.
            dims: How many of the first components make a token vector; None for all.
        """
        super().__init__()
        self.encoder = encoder
        self.dims = dims
        self.dim = dims or projection[-1].out_features
        self.projection = torch.nn.Sequential(*(Projection(layer) for layer in projection))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return token vectors of unit length: ``contextual``, (batch, token, dim) float32.

        Args:
            input_ids: (batch, token) int64.
            attention_mask: (batch, token) int64, 1 where other tokens may attend to a token.
        """
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return self.project(hidden)

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return token vectors of unit length, (…, dim) float32, of the encoder's rows (…, in)."""
        rows = self.projection(hidden)
        if self.dims is not None:
            rows = rows[..., : self.dims]
        return torch.nn.functional.normalize(rows, p=2.0, dim=-1)

    def row_lengths(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the length that each row has: (batch, token) float32, all 1."""
        return torch.ones(input_ids.shape, dtype=torch.float32, device=attention_mask.device)


def _linear(weight: Any, bias: Any) -> torch.nn.Linear:
    """Return a linear layer with exactly these numbers."""
    rows, columns = weight.shape
    linear = torch.nn.utils.skip_init(torch.nn.Linear, columns, rows, bias=bias is not None)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))
        if bias is not None:
            linear.bias.copy_(torch.tensor(bias))
    return linear
