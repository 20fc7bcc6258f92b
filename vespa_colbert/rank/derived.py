"""Functions that Vespa expands into others: each as the chain of operations that Vespa makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vespa_colbert.errors import ExpressionTypeError
from vespa_colbert.rank.algebra import (
    SubspaceFunction,
    cell_order,
    filter_subspaces,
    join,
    map_cells,
    reduce,
)
from vespa_colbert.rank.algebra.rules import join_type, map_type, reduce_type
from vespa_colbert.rank.scalars import OPERATORS
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = ["DERIVED", "Derived"]

LESS, EQUAL = OPERATORS["<"].compute, OPERATORS["=="].compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A function that is a chain of others.

    Attributes:
        name: As written in an expression.
        shape: Which arguments it takes, a key of ``SHAPES`` in ``functions.py``.
        rule: The type of the result from types and names.
        kernel: The value from tensors and names.
        source: The class of Vespa that expands it.
    """

    name: str
    shape: str
    rule: Callable[..., TensorType]
    kernel: Callable[..., Tensor]
    source: str


def _matmul(left: Tensor, right: Tensor, dimension: str) -> Tensor:
    return reduce(join(left, right, np.multiply), "sum", (dimension,))


def _matmul_type(left: TensorType, right: TensorType, dimension: str) -> TensorType:
    return reduce_type(join_type(left, right), (dimension,))


def _xw_plus_b(x: Tensor, w: Tensor, b: Tensor, dimension: str) -> Tensor:
    return join(_matmul(x, w, dimension), b, np.add)


def _xw_plus_b_type(x: TensorType, w: TensorType, b: TensorType, dimension: str) -> TensorType:
    return join_type(_matmul_type(x, w, dimension), b)


def _softmax(tensor: Tensor, dimension: str) -> Tensor:
    powers = map_cells(tensor, np.exp)
    return join(powers, reduce(powers, "sum", (dimension,)), np.divide)


def _l1_normalize(tensor: Tensor, dimension: str) -> Tensor:
    return join(tensor, reduce(tensor, "sum", (dimension,)), np.divide)


def _l2_normalize(tensor: Tensor, dimension: str) -> Tensor:
    squares = reduce(map_cells(tensor, np.square), "sum", (dimension,))
    return join(tensor, map_cells(squares, np.sqrt), np.divide)


def _normalized_type(tensor: TensorType, dimension: str) -> TensorType:
    return join_type(tensor, reduce_type(map_type(tensor), (dimension,)))


def _extreme(aggregator: str) -> Callable[[Tensor, Sequence[str]], Tensor]:
    def where(tensor: Tensor, dimensions: Sequence[str]) -> Tensor:
        return join(tensor, reduce(tensor, aggregator, dimensions), EQUAL)

    return where


def _extreme_type(tensor: TensorType, dimensions: Sequence[str]) -> TensorType:
    return join_type(tensor, reduce_type(tensor, dimensions))


def _one(dimension: str) -> TensorType:
    return TensorType(CellType.INT8, (Dimension(dimension, 1),))


def _expand(tensor: Tensor, dimension: str) -> Tensor:
    return join(Tensor.dense(_one(dimension), np.ones(1, np.int8)), tensor, np.multiply)


def _expand_type(tensor: TensorType, dimension: str) -> TensorType:
    return join_type(_one(dimension), tensor)


def _cosine_similarity(left: Tensor, right: Tensor, dimension: str) -> Tensor:
    both = join(_matmul(left, left, dimension), _matmul(right, right, dimension), np.multiply)
    return join(_matmul(left, right, dimension), map_cells(both, np.sqrt), np.divide)


def _cosine_similarity_type(left: TensorType, right: TensorType, dimension: str) -> TensorType:
    _require_same_index(left, right, dimension, "cosine_similarity")
    squares = join_type(_matmul_type(left, left, dimension), _matmul_type(right, right, dimension))
    return join_type(_matmul_type(left, right, dimension), squares)


def _euclidean_distance(left: Tensor, right: Tensor, dimension: str) -> Tensor:
    squares = map_cells(join(left, right, np.subtract), np.square)
    return map_cells(reduce(squares, "sum", (dimension,)), np.sqrt)


def _euclidean_distance_type(left: TensorType, right: TensorType, dimension: str) -> TensorType:
    _require_same_index(left, right, dimension, "euclidean_distance")
    return _matmul_type(left, right, dimension)


def _require_same_index(left: TensorType, right: TensorType, dimension: str, name: str) -> None:
    """Return nothing if both types have an indexed dimension of one size.

    Raises:
        ExpressionTypeError: If not.
    """
    found = left.dimension(dimension)
    if found is None or found.is_mapped or found != right.dimension(dimension):
        raise ExpressionTypeError(
            f"{name}: expected dimension {dimension} with one size on both sides, "
            f"got {left} and {right}"
        )


def _top(count: Tensor, tensor: Tensor) -> Tensor:
    within = join(cell_order(tensor, "max"), count, LESS)
    kept = filter_subspaces(within, SubspaceFunction(_itself, _itself_type))
    return join(tensor, kept, np.multiply)


def _top_type(count: TensorType, tensor: TensorType) -> TensorType:
    """Return the type of the largest cells.

    Raises:
        ExpressionTypeError: If the count is no number, or the tensor is not sparse.
    """
    if not count.is_number:
        raise ExpressionTypeError(f"top: expected a number of cells, got {count}")
    if tensor.indexed or not tensor.mapped:
        raise ExpressionTypeError(f"top: expected mapped dimensions only, got {tensor}")
    return map_type(tensor)


def _itself(subspace: Tensor) -> Tensor:
    return subspace


def _itself_type(subspace: TensorType) -> TensorType:
    return subspace


DERIVED = (
    Derived(
        name="argmax", shape="over", rule=_extreme_type, kernel=_extreme("max"), source="Argmax"
    ),
    Derived(
        name="argmin", shape="over", rule=_extreme_type, kernel=_extreme("min"), source="Argmin"
    ),
    Derived(
        name="cosine_similarity",
        shape="pair along",
        rule=_cosine_similarity_type,
        kernel=_cosine_similarity,
        source="CosineSimilarity",
    ),
    Derived(
        name="euclidean_distance",
        shape="pair along",
        rule=_euclidean_distance_type,
        kernel=_euclidean_distance,
        source="EuclideanDistance",
    ),
    Derived(name="expand", shape="along", rule=_expand_type, kernel=_expand, source="Expand"),
    Derived(
        name="l1_normalize",
        shape="along",
        rule=_normalized_type,
        kernel=_l1_normalize,
        source="L1Normalize",
    ),
    Derived(
        name="l2_normalize",
        shape="along",
        rule=_normalized_type,
        kernel=_l2_normalize,
        source="L2Normalize",
    ),
    Derived(name="matmul", shape="pair along", rule=_matmul_type, kernel=_matmul, source="Matmul"),
    Derived(
        name="softmax", shape="along", rule=_normalized_type, kernel=_softmax, source="Softmax"
    ),
    Derived(name="top", shape="tensors", rule=_top_type, kernel=_top, source="Top"),
    Derived(
        name="xw_plus_b",
        shape="three along",
        rule=_xw_plus_b_type,
        kernel=_xw_plus_b,
        source="XwPlusB",
    ),
)
"""Derived functions that are called by name; ``range`` and ``diag`` are patterns of the grammar."""
