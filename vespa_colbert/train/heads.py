"""The head that training begins with: a checkpoint's own, a part of it, or a new one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import Checkpoint, ProjectionLayer
from vespa_colbert.errors import SpecError
from vespa_colbert.train.settings import HeadStart

__all__ = ["first_head", "orthonormal_rows"]

BIASED_LAYOUT = "bge-m3"
"""The layout whose head has a bias; others' heads need none."""


def first_head(
    checkpoint: Checkpoint, start: HeadStart, dims: int | None, seed: int
) -> tuple[ProjectionLayer, ...]:
    """Return the layers that training begins with.

    Args:
        checkpoint: What is trained.
        start: Its own head, or a new layer.
        dims: Width of the token vectors, None for the width of its own.
        seed: Of a new layer.

    Raises:
        SpecError: If its own head is not that wide.
    """
    width = dims or checkpoint.dim
    if start is HeadStart.OWN:
        return _first_components(checkpoint.projection, width)
    weight = orthonormal_rows(checkpoint.encoder.hidden_size, width, seed)
    biased = checkpoint.layout == BIASED_LAYOUT
    return (ProjectionLayer(weight=weight, bias=np.zeros(width, np.float32) if biased else None),)


def orthonormal_rows(width: int, dim: int, seed: int) -> TokenVectors:
    """Return a projection of which dot products survive as well as random directions allow.

    Its rows are orthonormal; with more rows than columns, its columns are.

    Args:
        width: Columns.
        dim: Rows.
        seed: Of the Gaussian that is decomposed.

    Returns:
        (dim, width) float32. Signs are those that make R's diagonal positive, which makes the
        decomposition unique.
    """
    tall, narrow = max(width, dim), min(width, dim)
    gaussian = np.random.default_rng(seed).standard_normal((tall, narrow))
    columns, triangle = np.linalg.qr(gaussian)
    columns = columns * np.sign(np.diag(triangle))
    return np.ascontiguousarray(columns.T if dim <= width else columns, dtype=np.float32)


def _first_components(
    layers: tuple[ProjectionLayer, ...], width: int
) -> tuple[ProjectionLayer, ...]:
    """Return layers of which the last gives its first components only.

    Raises:
        SpecError: If it has fewer, or adds its input to them.
    """
    last = layers[-1]
    if width == last.out_features:
        return layers
    if width > last.out_features or (last.residual and last.residual_weight is None):
        raise SpecError(
            f"dims: expected at most the head's own {last.out_features}, or a new head, got {width}"
            if width > last.out_features
            else f"dims: a head that adds its input to its output cannot be cut to {width} "
            "components; begin with a new head"
        )
    residual = last.residual_weight
    cut = replace(
        last,
        weight=np.ascontiguousarray(last.weight[:width]),
        bias=None if last.bias is None else last.bias[:width].copy(),
        residual_weight=None if residual is None else np.ascontiguousarray(residual[:width]),
    )
    return (*layers[:-1], cut)
