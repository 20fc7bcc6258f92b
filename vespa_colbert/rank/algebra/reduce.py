"""Cells into fewer: reduce with every aggregator, without a loop over groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.algebra.cells import Columns, lifted, stored
from vespa_colbert.rank.algebra.hidden import completed
from vespa_colbert.rank.algebra.rules import reduce_type
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["AGGREGATORS", "reduce"]

Aggregator: TypeAlias = Callable[[NDArray[Any], Columns, Columns], NDArray[Any]]


def _sum(values: NDArray[Any], starts: Columns, counts: Columns) -> NDArray[Any]:
    """Return sums made one cell after the other from 0.0, as Vespa makes them.

    numpy's own sum and reduceat add in pairs, which rounds differently.
    """
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    if len(starts) * width > 1 and (counts == counts[0]).all():
        blocks = values.reshape((len(starts), int(counts[0]), width)).swapaxes(0, 1)
        # One vector of all groups is added to another: numpy has no cells to pair.
        sums: NDArray[Any] = np.ascontiguousarray(blocks).sum(axis=0) + 0.0
        return sums.reshape((len(starts), *values.shape[1:]))
    bins = (_group_numbers(counts)[:, np.newaxis] * width + np.arange(width)).reshape(-1)
    sums = np.bincount(bins, values.reshape(-1), minlength=len(starts) * width)
    return sums.reshape((len(starts), *values.shape[1:]))


def _group_numbers(counts: Columns) -> Columns:
    return np.repeat(np.arange(len(counts)), counts)


def _per_group(counts: Columns, values: NDArray[Any]) -> NDArray[Any]:
    """Return the group sizes in a shape that divides groups of blocks."""
    shaped: NDArray[Any] = counts.reshape((-1,) + (1,) * (values.ndim - 1)).astype(np.float64)
    return np.broadcast_to(shaped, (len(counts), *values.shape[1:]))


def _average(values: NDArray[Any], starts: Columns, counts: Columns) -> NDArray[Any]:
    averages: NDArray[Any] = _sum(values, starts, counts) / _per_group(counts, values)
    return averages


def _median(values: NDArray[Any], starts: Columns, counts: Columns) -> NDArray[Any]:
    """Return medians; NaN where there is one, the mean of the middle two of an even number."""
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    flat = values.reshape(len(values), width)
    groups = np.repeat(_group_numbers(counts), width)
    columns = np.tile(np.arange(width), len(values))
    order = np.lexsort((flat.reshape(-1), columns, groups))
    ordered = flat.reshape(-1)[order]
    first = (starts * width)[:, np.newaxis] + np.arange(width) * counts[:, np.newaxis]
    middle = counts[:, np.newaxis] // 2
    upper = ordered[first + middle]
    lower = ordered[first + np.maximum(middle - 1, 0)]
    even = (counts % 2 == 0)[:, np.newaxis]
    medians = np.where(even, (upper + lower) / 2, upper)
    last = ordered[first + counts[:, np.newaxis] - 1]  # NaN is sorted to the end
    return np.where(np.isnan(last), np.nan, medians).reshape((len(starts), *values.shape[1:]))


def _max(values: NDArray[Any], starts: Columns, _counts: Columns) -> NDArray[Any]:
    # As in Vespa a NaN is never the largest: it does not compare, and nothing is left but -inf.
    best = np.fmax.reduceat(values, starts)
    return _with_first_zero(np.where(np.isnan(best), -np.inf, best), values, starts)


def _min(values: NDArray[Any], starts: Columns, _counts: Columns) -> NDArray[Any]:
    best = np.fmin.reduceat(values, starts)
    return _with_first_zero(np.where(np.isnan(best), np.inf, best), values, starts)


def _with_first_zero(best: NDArray[Any], values: NDArray[Any], starts: Columns) -> NDArray[Any]:
    """Return the best with the sign of its first zero: 0.0 and -0.0 are neither the larger."""
    is_zero = best == 0
    if not is_zero.any() or not np.signbit(values[values == 0]).any():
        return best
    rows = np.arange(len(values)).reshape((-1,) + (1,) * (values.ndim - 1))
    first = np.minimum.reduceat(np.where(values == 0, rows, len(values)), starts)
    zeros = np.take_along_axis(values, np.minimum(first, len(values) - 1), axis=0)
    return np.where(is_zero, zeros, best)


AGGREGATORS: dict[str, Aggregator] = {
    "avg": _average,
    "count": lambda values, _starts, counts: _per_group(counts, values),
    "max": _max,
    "median": _median,
    "min": _min,
    "prod": lambda values, starts, _counts: np.multiply.reduceat(values, starts),
    "sum": _sum,
}
"""Aggregator → function of (cell, …) values sorted by group, group starts and group sizes.

Source: Reduce in com.yahoo.tensor.functions and aggr.h in eval, Vespa 8.700.24.
"""


def reduce(
    tensor: Tensor, aggregator: str, dimensions: Sequence[str], documents: int | None = None
) -> Tensor:
    """Return ``reduce(tensor, aggregator, dimensions)``; over all of them when none is named.

    Args:
        tensor: Any tensor.
        aggregator: A key of ``AGGREGATORS``.
        dimensions: Names to remove.
        documents: Not needed; the labels of the batch say its size.

    Raises:
        ExpressionTypeError: If a dimension is not there, or named twice.

    Source: Reduce.evaluate, Vespa 8.700.24; nothing to reduce gives 0.
    """
    del documents
    wanted = lifted(lambda kind: reduce_type(kind, dimensions), tensor.type)
    kept = {each.name for each in wanted.dimensions}
    flat, times = _cells_by_kept(tensor, wanted)
    keep = [place for place, name in enumerate(tensor.type.mapped) if name in kept]
    labels = tuple(tensor.labels[place] for place in keep)
    groups, order, starts, counts = _groups(tensor, keep, times)
    reduced = np.zeros((0, *wanted.shape))
    if len(flat):
        with np.errstate(all="ignore"):
            reduced = AGGREGATORS[aggregator](flat[order], starts, counts)
    if not wanted.mapped and not len(groups):
        return Tensor.empty(wanted)
    result = Tensor(wanted, groups, labels, stored(reduced, wanted.cell_type))
    return completed(result)


def _cells_by_kept(tensor: Tensor, wanted: TensorType) -> tuple[NDArray[Any], int]:
    """Return values as (row, *kept indexed), removed indexes unrolled into rows.

    Also how many rows each subspace has become.
    """
    kept = [place for place, name in enumerate(tensor.type.indexed) if name in wanted.indexed]
    gone = [place for place in range(len(tensor.type.indexed)) if place not in kept]
    moved = tensor.values.transpose(0, *(1 + place for place in gone), *(1 + k for k in kept))
    times = int(np.prod([tensor.type.shape[place] for place in gone], dtype=np.int64))
    flat = moved.reshape((len(tensor.values) * times, *wanted.shape)).astype(np.float64)
    return flat, times


def _groups(
    tensor: Tensor, keep: list[int], times: int
) -> tuple[Columns, Columns | slice, Columns, Columns]:
    """Return distinct addresses, an order that sorts rows by them, group starts and group sizes.

    Args:
        tensor: What is reduced.
        keep: Places of the mapped dimensions that stay.
        times: Rows of each subspace.
    """
    codes, every = tensor.codes[:, keep], slice(None)
    if len(keep) == len(tensor.type.mapped):  # a group each
        starts = np.arange(len(codes)) * times
        return codes, every, starts, np.full(len(codes), times)
    if not keep:
        found = min(1, len(codes))
        starts, counts = np.zeros(found, np.int64), np.full(found, len(codes) * times)
        return np.zeros((found, 0), np.int64), every, starts, counts
    if _is_sorted(codes):
        changes = np.flatnonzero((codes[1:] != codes[:-1]).any(axis=1)) + 1
        starts = np.concatenate([np.zeros(min(1, len(codes)), np.int64), changes])
        return codes[starts], every, starts * times, np.diff(np.append(starts, len(codes))) * times
    groups, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    rows = np.argsort(inverse.reshape(-1), kind="stable")
    order = (rows[:, np.newaxis] * times + np.arange(times)).reshape(-1)
    return groups, order, (np.cumsum(counts) - counts) * times, counts * times


def _is_sorted(codes: Columns) -> bool:
    """Return whether rows are in lexicographic order, so that equal ones stand together."""
    steps = np.diff(codes, axis=0)
    first = (steps != 0).argmax(axis=1)
    return bool((np.take_along_axis(steps, first[:, np.newaxis], axis=1) >= 0).all())
