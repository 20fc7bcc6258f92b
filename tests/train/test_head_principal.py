from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError
from vespa_colbert.train.principal import Moments, principal_axes

ROUNDING = 1e-6
"""Sums of a few hundred float32 products beside numpy's in float64."""


def rows_of(seed: int = 0, count: int = 400) -> NDArray[np.float32]:
    """Return rows of unlike lengths, far from the origin, more along some directions."""
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((count, 6)) * [3, 2, 1, 0.5, 0.2, 0.1]
    turned = mixed @ np.linalg.qr(random.standard_normal((6, 6)))[0] + 0.4
    lengths = random.uniform(0.1, 10, (count, 1))
    rows: NDArray[np.float32] = (turned * lengths).astype(np.float32)
    return rows


def moments_of(*parts: NDArray[np.float32]) -> Moments:
    moments = Moments(dim=parts[0].shape[1])
    for part in parts:
        moments.add(part)
    return moments


def units_of(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    units: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return units


def test_the_axes_are_the_right_singular_vectors_of_the_unit_rows() -> None:
    rows = rows_of()
    axes = principal_axes(moments_of(rows), centered=False)
    _left, values, right = np.linalg.svd(units_of(rows), full_matrices=False)
    assert np.abs(np.abs((axes.rows * right).sum(axis=1)) - 1).max() <= ROUNDING
    assert np.abs(axes.shares - values**2 / len(rows)).max() <= ROUNDING
    assert not axes.center.any()


def test_no_other_projection_keeps_dot_products_as_well() -> None:
    units = units_of(rows_of())
    kept = principal_axes(moments_of(rows_of()), centered=False).rows[:3]

    def lost(basis: NDArray[np.float64]) -> float:
        short = units @ basis.T
        return float(np.square(units @ units.T - short @ short.T).sum())

    random = np.random.default_rng(1)
    others = [np.linalg.qr(random.standard_normal((6, 3)))[0].T for _ in range(50)]
    nearby = [
        np.linalg.qr((kept + 0.05 * random.standard_normal((3, 6))).T)[0].T for _ in range(50)
    ]
    assert lost(kept) < min(map(lost, others + nearby))


def test_parts_add_up_and_rows_of_zeros_are_none() -> None:
    rows = rows_of()
    whole = moments_of(rows)
    parts = moments_of(rows[:150], np.zeros((3, 6), np.float32), rows[150:])
    assert parts.count == whole.count == len(rows)
    assert np.allclose(parts.products, whole.products, rtol=0, atol=ROUNDING * len(rows))
    assert np.allclose(parts.total, whole.total, rtol=ROUNDING)


def test_the_center_leaves_the_least_beside_it_in_the_length_of_each_row() -> None:
    rows = rows_of().astype(np.float64)
    axes = principal_axes(moments_of(rows_of()), centered=True)

    def left(center: NDArray[np.float64]) -> float:
        squares = np.square(rows).sum(axis=1)
        return float((np.square(rows - center).sum(axis=1) / squares).sum())

    random = np.random.default_rng(2)
    for step in random.standard_normal((20, 6)) * 0.01:
        assert left(axes.center) < left(axes.center + step)
    weights = 1 / np.square(rows).sum(axis=1, keepdims=True)
    beside = (rows - axes.center) * np.sqrt(weights)
    along = np.square(beside @ axes.rows.T).sum(axis=0)
    assert np.abs(axes.shares - along / along.sum()).max() <= ROUNDING
    assert (np.diff(axes.shares) <= 0).all()


def test_the_side_of_an_axis_is_chosen() -> None:
    rows = rows_of()
    one = principal_axes(moments_of(rows), centered=False).rows
    other = principal_axes(moments_of(-rows), centered=False).rows
    assert np.allclose(one, other, atol=ROUNDING)
    assert (np.take_along_axis(one, np.abs(one).argmax(axis=1)[:, None], axis=1) > 0).all()


def test_rows_that_are_not_finite_or_not_there_are_refused() -> None:
    rows = rows_of()
    rows[3, 2] = np.nan
    with pytest.raises(ArrayError, match="finite"):
        moments_of(rows)
    with pytest.raises(ArrayError, match="give more texts"):
        principal_axes(Moments(dim=6), centered=False)
