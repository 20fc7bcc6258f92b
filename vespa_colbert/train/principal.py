"""Principal axes of token vectors, from sums alone: no matrix of all rows is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import ArrayError

__all__ = ["Axes", "Moments", "principal_axes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """An orthogonal basis in which the first components hold the most.

    Attributes:
        center: (dim,) float64, what is subtracted before; zeros if nothing is.
        rows: (dim, dim) float64, orthonormal: a row is an axis.
        shares: (dim,) float64, decreasing: how much of the squared length of unit token vectors
            lies along each; their sum is 1.
    """

    center: NDArray[np.float64]
    rows: NDArray[np.float64]
    shares: NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class Moments:
    """Weighted sums over rows, each row with the weight at which its own length is 1.

    Token vectors have unit length after the head, whatever they have before. Weighted by 1/‖row‖²,
    the products are those of the unit rows, and the mean is that which leaves the least beside it,
    measured in the length of each row.

    Attributes:
        dim: Components of a row.
        count: Rows so far; rows of zeros are none.
        weight: Sum of the weights.
        total: (dim,) float64, weighted sum.
        products: (dim, dim) float64, weighted sum of outer products.
    """

    dim: int
    count: int = 0
    weight: float = 0.0
    total: NDArray[np.float64] = field(init=False)
    products: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros(self.dim)
        self.products = np.zeros((self.dim, self.dim))

    def add(self, rows: TokenVectors) -> None:
        """Add rows: (row, dim) float32, of any length.

        Raises:
            ArrayError: If one is not finite.
        """
        squares = np.square(rows, dtype=np.float64).sum(axis=1)
        if not np.isfinite(squares).all():
            raise ArrayError("rows of the encoder: expected finite numbers, got others")
        kept = squares > 0
        weights = 1 / squares[kept]
        units = (rows[kept] * np.sqrt(weights)[:, None]).astype(np.float32)
        self.count += len(weights)
        self.weight += float(weights.sum())
        self.total += weights @ rows[kept].astype(np.float64)
        # A part's products in float32, their sum in float64.
        self.products += units.T @ units


def principal_axes(moments: Moments, *, centered: bool) -> Axes:
    """Return the axes along which rows differ most, from their mean or from zero.

    From zero, the first n axes are those whose n components keep the dot products of unit token
    vectors best: no other projection has a smaller sum of squared differences over all pairs.
    From the mean, they keep those of the vectors with the mean subtracted.

    Args:
        moments: Of the rows.
        centered: Whether the mean is subtracted.

    Raises:
        ArrayError: If there is no row.

    Source: Eckart and Young, 1936, for the matrix of dot products.
    """
    if not moments.count:
        raise ArrayError("principal axes: expected token vectors, got none; give more texts")
    center = moments.total / moments.weight if centered else np.zeros(moments.dim)
    products = moments.products - moments.weight * np.outer(center, center)
    values, columns = np.linalg.eigh(products)
    rows = columns.T[::-1]
    # An axis and its opposite are one: the larger side is made positive, so that one is chosen.
    largest = np.abs(rows).argmax(axis=1)
    rows = rows * np.sign(rows[np.arange(moments.dim), largest])[:, None]
    shares = np.clip(values[::-1], 0, None)
    return Axes(center=center, rows=rows, shares=shares / max(shares.sum(), np.finfo(float).tiny))
