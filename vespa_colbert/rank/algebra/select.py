"""Which cells: slices, filters, branches, orders."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.algebra.cells import (
    Columns,
    aligned,
    is_hidden,
    lifted,
    stored,
    user_dimensions,
)
from vespa_colbert.rank.algebra.hidden import (
    agreed,
    completed,
    hidden_indexed,
    hidden_mapped,
    spread,
    unrolled,
)
from vespa_colbert.rank.algebra.join import join, matching, merge
from vespa_colbert.rank.algebra.rules import map_type, peek_type
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["cell_order", "choose", "peek", "rows_where"]

PAST_EVERY_INDEX = 2.0**53
MOST_DIGITS = 19
"""Of a computed label: the content nodes make a 64-bit integer of the number."""


def peek(tensor: Tensor, places: Mapping[str, str | Tensor]) -> Tensor:
    """Return a slice: ``tensor{x:label, y:(number)}``.

    Args:
        tensor: Any tensor.
        places: Dimension → the label or index written out, or a number that is computed, another
            one for each evaluation.

    Returns:
        The cells there; none where there is no such label or index, which is 0 if nothing that is
        left is mapped.

    Source: generic_peek.cpp in eval, Vespa 8.700.24 (a computed number is cut to an integer).
    """
    written = {name: place for name, place in places.items() if isinstance(place, str)}
    computed = {name: place for name, place in places.items() if isinstance(place, Tensor)}
    found = _peek_written(tensor, written) if written else tensor
    for name, number in computed.items():
        found = _peek_computed(found, name, number)
    return completed(found)


def _peeked_type(kind: TensorType, names: list[str]) -> TensorType:
    return lifted(lambda one: peek_type(one, names), kind)


def _peek_written(tensor: Tensor, places: Mapping[str, str]) -> Tensor:
    """Return the cells at labels and indexes that are written out; indexes have been checked."""
    kind = tensor.type
    wanted = _peeked_type(kind, list(places))
    block = tuple(
        min(int(places[name]), size) if name in places else slice(None)
        for name, size in zip(kind.indexed, kind.shape, strict=True)
    )
    rows = np.ones(len(tensor.codes), bool)
    for place, name in enumerate(kind.mapped):
        if name in places:
            rows &= tensor.codes[:, place] == _code(tensor.labels[place], places[name])
    return _without(tensor, wanted, tensor.values[(rows, *block)], rows)


def _code(labels: tuple[str, ...], label: str) -> int:
    return labels.index(label) if label in labels else -1


def _without(
    tensor: Tensor, wanted: TensorType, values: NDArray[Any], rows: NDArray[Any]
) -> Tensor:
    """Return some rows without the columns that the wanted type lacks; zeros if it needs a row."""
    keep = [place for place, name in enumerate(tensor.type.mapped) if name in wanted.mapped]
    if not wanted.mapped and not len(values):
        return Tensor.empty(wanted)
    labels = tuple(tensor.labels[place] for place in keep)
    values = stored(values, wanted.cell_type)
    return Tensor(wanted, tensor.codes[rows][:, keep], labels, values)


def _peek_computed(tensor: Tensor, name: str, number: Tensor) -> Tensor:
    """Return the cells where one dimension has a number that each evaluation computes."""
    if any(each.is_mapped for each in user_dimensions(tensor.type)):
        # A subspace may be absent in one evaluation and not in another: each needs its own rows.
        number = unrolled(number, hidden_indexed(number.type))
    tensor, number = agreed(tensor, number)
    joined = lifted(lambda one, _other: one, tensor.type, number.type)
    mine, theirs = matching(tensor, number)
    at = np.nan_to_num(aligned(number, joined)[theirs], nan=-1.0, posinf=-1.0, neginf=-1.0)
    indexes = np.trunc(np.clip(at, -1.0, PAST_EVERY_INDEX)).astype(np.int64)
    values = aligned(tensor, joined)[mine]
    both = join(tensor, number, lambda cell, _index: cell)  # the rows with their hidden labels
    wanted = _peeked_type(joined, [name])
    if name in tensor.type.mapped:
        place = tensor.type.mapped.index(name)
        labels = np.array([_integer(label) for label in tensor.labels[place]] or [-1], np.float64)
        whole = np.trunc(aligned(number, joined)[theirs]).reshape(-1)
        kept: NDArray[Any] = np.asarray(labels[tensor.codes[mine, place]] == whole)
        return _without(both, wanted, values[kept], kept)
    axis = 1 + joined.indexed.index(name)
    size = values.shape[axis]
    taken, valid = _taken(values, indexes, axis, size)
    if any(each.is_mapped for each in user_dimensions(wanted)):
        inside: NDArray[Any] = np.asarray(valid.all(axis=tuple(range(1, valid.ndim))))
        return _without(both, wanted, taken[inside], inside)
    rows = np.ones(len(taken), bool)
    return _without(both, wanted, np.where(valid, taken, 0).astype(taken.dtype), rows)


def _taken(
    values: NDArray[Any], indexes: Columns, axis: int, size: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return values at one index along an axis, the axis gone, and where there was one."""
    inside = (indexes >= 0) & (indexes < size)
    shape = list(np.broadcast_shapes(values.shape, indexes.shape))
    index_shape = [1 if place == axis else extent for place, extent in enumerate(indexes.shape)]
    clipped = np.where(inside, indexes, 0).reshape(index_shape)
    shape[axis] = size
    spread_values = np.broadcast_to(values, shape)
    taken = np.take_along_axis(spread_values, clipped, axis=axis)
    shape[axis] = 1
    return np.broadcast_to(taken, shape).squeeze(axis), inside.squeeze(axis)


def _integer(label: str) -> float:
    """Return the number that a label spells as Vespa spells integers; NaN if no double is it."""
    digits = label.removeprefix("-")
    is_long = len(digits) <= MOST_DIGITS and digits.isascii() and digits.isdigit()
    spelled = is_long and str(int(label)) == label and int(float(label)) == int(label)
    return float(label) if spelled else math.nan


def rows_where(tensor: Tensor, keep: NDArray[np.bool_]) -> Tensor:
    """Return the subspaces that a mask of rows keeps."""
    return Tensor(tensor.type, tensor.codes[keep], tensor.labels, tensor.values[keep])


def choose(condition: Tensor, taken: Tensor, other: Tensor) -> Tensor:
    """Return for each evaluation the branch that its condition takes.

    Args:
        condition: A number for each evaluation.
        taken: Where it is not 0.
        other: Where it is 0; of the same type as ``taken``.
    """
    sides = agreed(condition, taken, other)
    if not any(each.type.mapped for each in sides):
        sides = [spread(each, *sides) for each in sides]
        kind = sides[1].type
        shaped = aligned(sides[0], kind) != 0
        values = np.where(shaped, sides[1].values, sides[2].values)
        return Tensor(kind, sides[1].codes, (), values)
    flat = [unrolled(each, hidden_indexed(each.type)) for each in sides]
    flat = [spread(each, *flat) for each in flat]
    test = completed(flat[0])
    sizes = tuple(map(len, test.labels))
    chosen = []
    for branch, wanted in ((flat[1], True), (flat[2], False)):
        places = [branch.type.mapped.index(name) for name in hidden_mapped(branch.type)]
        rows = np.ravel_multi_index(tuple(branch.codes[:, places].T), sizes)
        chosen.append(rows_where(branch, (test.values[rows] != 0) == wanted))
    # Nothing is in both, so that nothing is computed; merge would decay the cells.
    merged = merge(chosen[0], chosen[1], lambda first, _second: first)
    cells = taken.type.cell_type if user_dimensions(taken.type) else merged.type.cell_type
    kind = TensorType(cells, merged.type.dimensions)
    return completed(Tensor(kind, merged.codes, merged.labels, stored(merged.values, cells)))


def cell_order(tensor: Tensor, order: str) -> Tensor:
    """Return the place of every cell in an order of all cells, from 0.

    Args:
        tensor: Any tensor.
        order: ``max``: the largest first; ``min``: the smallest first. NaN comes last in both.

    Source: generic_cell_order.cpp in eval, Vespa 8.700.24. Equal cells keep the order that they
    have in the tensor; Vespa leaves that open.
    """
    wanted = lifted(map_type, tensor.type)
    hidden = [1 + place for place, name in enumerate(tensor.type.indexed) if name.startswith("$")]
    blocks = tensor.values.astype(np.float64)
    evaluations = np.indices(blocks.shape)[hidden].reshape(len(hidden), blocks.size)
    columns = [place for place, each in enumerate(_mapped(tensor.type)) if each]
    rows = np.repeat(tensor.codes[:, columns], math.prod(blocks.shape[1:]), axis=0).T
    groups = (*rows, *evaluations)
    flat = blocks.reshape(-1)
    key = -flat if order == "max" else flat
    sorting = np.lexsort((key, *groups))  # NaN sorts last, equal keys keep their order
    ranks = np.empty(len(flat), np.int64)
    ranks[sorting] = np.arange(len(flat)) - _group_starts(groups, sorting)
    values = stored(ranks.reshape(blocks.shape).astype(np.float64), wanted.cell_type)
    return Tensor(wanted, tensor.codes, tensor.labels, values)


def _mapped(kind: TensorType) -> list[bool]:
    """Return for each mapped dimension whether it is hidden."""
    return [is_hidden(each) for each in kind.dimensions if each.is_mapped]


def _group_starts(groups: tuple[Columns, ...], sorting: Columns) -> Columns:
    """Return for each sorted cell where its group begins."""
    if not groups or not len(sorting):
        return np.zeros(len(sorting), np.int64)
    ordered = np.stack(groups)[:, sorting]
    first = np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)])
    starts: Columns = np.maximum.accumulate(np.where(first, np.arange(len(sorting)), 0))
    return starts
