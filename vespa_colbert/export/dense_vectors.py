"""From a graph's output to the vector of a text, as Vespa's embedder goes from one to the other.

Every step is a function of its own: rows → pooled vector → length 1 → cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import pack_bits, truncate_to_bfloat16
from vespa_colbert.errors import ArrayError, TensorTypeError
from vespa_colbert.export.dense_spec import Pooling
from vespa_colbert.tensor import CellType, TensorType

__all__ = ["Vectors", "cells_of_vectors", "pool_batch", "pool_rows", "unit_vectors"]

Vectors: TypeAlias = NDArray[np.float32]
"""Vectors of texts: (text, dim) float32."""

COMPONENTS_A_BYTE = 8


def pool_rows(rows: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Return the vector that the rows of one text become.

    Args:
        rows: (token, width) float32, none of padding; (1, width) where the graph has pooled.
        pooling: How.

    Returns:
        (width,) float32.

    Source: PoolingStrategy, Vespa 8.700.24. Sums are of doubles there, so that they do not depend
    on how many texts share a batch.
    """
    if pooling == "mean":
        total = rows.sum(axis=0, dtype=np.float64).astype(np.float32)
        mean: NDArray[np.float32] = (total.astype(np.float64) / len(rows)).astype(np.float32)
        return mean
    first: NDArray[np.float32] = rows[0]
    return first


def pool_batch(
    output: NDArray[np.float32], lengths: Sequence[int], pooling: Pooling
) -> NDArray[np.float32]:
    """Return the pooled vectors of a batch: (text, width) float32.

    Args:
        output: The graph's: (text, token, width), or (text, width) where the graph has pooled.
        lengths: Tokens of each text; padding stands behind them.
        pooling: How rows become one vector.
    """
    if pooling == "none":
        return output
    return np.stack([
        pool_rows(rows[:length], pooling) for rows, length in zip(output, lengths, strict=True)
    ])


def unit_vectors(pooled: Vectors) -> Vectors:
    """Return vectors of length 1: (text, dim) float32.

    Raises:
        ArrayError: If one has no length.

    Source: EmbeddingNormalizer, Vespa 8.700.24, which gives NaN for a vector of zeros.
    """
    wide = pooled.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=-1, keepdims=True))
    if not (lengths > 0).all() or not np.isfinite(lengths).all():
        raise ArrayError("a vector: expected one with a length, got zeros, NaN or infinity")
    unit: Vectors = (wide / lengths).astype(np.float32)
    return unit


def cells_of_vectors(pooled: Vectors, cell_type: TensorType, *, normalize: bool) -> NDArray[Any]:
    """Return what a tensor of a type holds of pooled vectors, a row of cells for each.

    The first components are taken that the type has room for, and these brought to length 1.

    Args:
        pooled: (text, width) float32.
        cell_type: One indexed dimension, as ``tensor<bfloat16>(x[384])``.
        normalize: Whether the component normalises.

    Returns:
        (text, cell) float32, or int8 where eight components are one cell.

    Raises:
        TensorTypeError: If the type is another, or has more room than components are there.

    Source: HuggingFaceEmbedder.embed and binaryQuantization, Vespa 8.700.24.
    """
    if cell_type.mapped or len(cell_type.indexed) != 1:
        raise TensorTypeError(f"{cell_type}: expected one indexed dimension and no other")
    is_packed = cell_type.cell_type is CellType.INT8
    components = cell_type.shape[0] * (COMPONENTS_A_BYTE if is_packed else 1)
    if components > pooled.shape[-1]:
        raise TensorTypeError(
            f"{cell_type}: expected at most {pooled.shape[-1]} components, which the model gives, "
            f"got room for {components}"
        )
    vectors = pooled[:, :components]
    if normalize:
        vectors = unit_vectors(vectors)
    finish: dict[CellType, Callable[[Vectors], NDArray[Any]]] = {
        CellType.INT8: pack_bits,
        CellType.BFLOAT16: truncate_to_bfloat16,
        CellType.FLOAT: lambda values: values,
        CellType.DOUBLE: lambda values: values.astype(np.float64),
    }
    return finish[cell_type.cell_type](vectors)
