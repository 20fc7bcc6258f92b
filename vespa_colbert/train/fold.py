"""A linear map put into the last layer of a projection, so that no layer is added to the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import ProjectionLayer

__all__ = ["fold", "linear_layer"]


def fold(
    layers: tuple[ProjectionLayer, ...],
    matrix: NDArray[np.float64],
    center: NDArray[np.float64] | None = None,
) -> tuple[ProjectionLayer, ...]:
    """Return layers that give ``matrix @ (output - center)`` of what layers gave.

    Args:
        layers: A projection. Behind a last layer with an activation, a layer is added.
        matrix: (dim, out).
        center: (out,); None subtracts nothing, and needs no bias.
    """
    last = layers[-1]
    if last.activation != "identity":
        return (*layers, linear_layer(matrix, center))
    weight = last.weight.astype(np.float64)
    if last.residual:
        # The row, or what the residual makes of it, is linear too: one matrix does both.
        weight = weight + (
            np.eye(last.out_features) if last.residual_weight is None else last.residual_weight
        )
    bias = None if last.bias is None else last.bias.astype(np.float64)
    if center is not None:
        bias = (0.0 if bias is None else bias) - center
    folded = replace(
        last,
        weight=_float32(matrix @ weight),
        bias=None if bias is None else _float32(matrix @ bias),
        residual=False,
        residual_weight=None,
    )
    return (*layers[:-1], folded)


def linear_layer(
    matrix: NDArray[np.float64], center: NDArray[np.float64] | None = None
) -> ProjectionLayer:
    """Return a layer that gives ``matrix @ (row - center)``."""
    bias = None if center is None else _float32(-(matrix @ center))
    return ProjectionLayer(weight=_float32(matrix), bias=bias)


def _float32(values: NDArray[np.float64]) -> TokenVectors:
    return np.ascontiguousarray(values, dtype=np.float32)
