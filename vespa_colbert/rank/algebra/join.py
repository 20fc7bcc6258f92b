"""Two tensors into one: join, merge, concat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.algebra.cells import Columns, aligned, lifted, stored
from vespa_colbert.rank.algebra.hidden import agreed, spread
from vespa_colbert.rank.algebra.rules import concat_type, join_type, merge_type
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["Joiner", "concat", "join", "matching", "merge"]

Joiner: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
Rows: TypeAlias = Columns | slice
EVERY = slice(None)
LARGEST_KEY = 2**62


def join(left: Tensor, right: Tensor, function: Joiner) -> Tensor:
    """Return ``join(left, right, f)``: a cell for each pair that agrees on shared dimensions.

    Source: Join.evaluate, Vespa 8.700.24; types: ValueType::join in eval, which unlike Java's does
    not take a mapped and an indexed dimension for the same.
    """
    left, right = agreed(left, right)
    wanted = lifted(join_type, left.type, right.type)
    lefts, rights = matching(left, right)
    with np.errstate(all="ignore"):
        computed = function(
            aligned(left, wanted)[lefts].astype(np.float64),
            aligned(right, wanted)[rights].astype(np.float64),
        )
    rows = len(left.codes[lefts])
    values = np.broadcast_to(computed, (rows, *wanted.shape))
    return _joined(wanted, left, right, lefts, rights, stored(values, wanted.cell_type))


def _joined(
    wanted: TensorType, left: Tensor, right: Tensor, lefts: Rows, rights: Rows, values: NDArray[Any]
) -> Tensor:
    """Return a tensor of joined rows, with the labels of the side that has a dimension."""
    columns, labels = [], []
    for name in wanted.mapped:
        side, picked = (left, lefts) if name in left.type.mapped else (right, rights)
        place = side.type.mapped.index(name)
        columns.append(side.codes[picked, place])
        labels.append(side.labels[place])
    codes = np.stack(columns, axis=1) if columns else np.zeros((1, 0), np.int64)
    return Tensor(wanted, codes, tuple(labels), values)


def matching(left: Tensor, right: Tensor) -> tuple[Rows, Rows]:
    """Return the positions of all pairs of subspaces whose shared labels are equal."""
    shared = [name for name in left.type.mapped if name in right.type.mapped]
    if _same_addresses(left, right):
        return EVERY, EVERY
    if not shared:
        lefts = np.repeat(np.arange(len(left.codes)), len(right.codes))
        return lefts, np.tile(np.arange(len(right.codes)), len(left.codes))
    mine, theirs, _labels = _keys(left, right, shared)
    order = np.argsort(theirs, kind="stable")
    first = np.searchsorted(theirs[order], mine, "left")
    counts = np.searchsorted(theirs[order], mine, "right") - first
    lefts = np.repeat(np.arange(len(mine)), counts)
    within = np.arange(len(lefts)) - np.repeat(np.cumsum(counts) - counts, counts)
    return lefts, order[np.repeat(first, counts) + within]


def _same_addresses(left: Tensor, right: Tensor) -> bool:
    return (
        left.type.mapped == right.type.mapped
        and left.labels == right.labels
        and np.array_equal(left.codes, right.codes)
    )


def _keys(
    left: Tensor, right: Tensor, names: list[str]
) -> tuple[Columns, Columns, list[tuple[str, ...]]]:
    """Return a number for each row of both sides, equal where the labels of ``names`` are.

    Also the common vocabulary of each dimension.
    """
    keys = np.zeros(len(left.codes) + len(right.codes), np.int64)
    vocabularies, largest = [], 1
    for name in names:
        codes, labels = _common_codes(left, right, name)
        vocabularies.append(labels)
        if largest * max(1, len(labels)) > LARGEST_KEY:
            keys = np.unique(keys, return_inverse=True)[1].reshape(-1)
            largest = len(keys)
        keys = keys * max(1, len(labels)) + codes
        largest *= max(1, len(labels))
    return keys[: len(left.codes)], keys[len(left.codes) :], vocabularies


def _common_codes(left: Tensor, right: Tensor, name: str) -> tuple[Columns, tuple[str, ...]]:
    """Return the codes of one dimension, left then right, in one vocabulary, and that."""
    mine, theirs = left.type.mapped.index(name), right.type.mapped.index(name)
    codes, labels = right.codes[:, theirs], left.labels[mine]
    if labels != right.labels[theirs]:
        known = {label: code for code, label in enumerate(labels)}
        renumbered = [known.setdefault(label, len(known)) for label in right.labels[theirs]]
        codes = np.array(renumbered, np.int64)[codes] if renumbered else codes
        labels = tuple(known)
    return np.concatenate([left.codes[:, mine], codes]), labels


def merge(left: Tensor, right: Tensor, function: Joiner) -> Tensor:
    """Return ``merge(left, right, f)``: f of the cells that both have, others as they are.

    Source: generic_merge.cpp in eval, Vespa 8.700.24.
    """
    left, right = agreed(left, right)
    left, right = spread(left, right), spread(right, left)
    wanted = lifted(merge_type, left.type, right.type)
    mine, theirs, vocabularies = _keys(left, right, list(wanted.mapped))
    order = np.argsort(theirs, kind="stable")
    place = np.minimum(np.searchsorted(theirs[order], mine), max(0, len(theirs) - 1))
    partner = order[place] if len(theirs) else np.zeros(len(mine), np.int64)
    both = theirs[partner] == mine if len(theirs) else np.zeros(len(mine), bool)
    alone = np.ones(len(theirs), bool)
    alone[partner[both]] = False
    values = np.concatenate([left.values.astype(np.float64), right.values[alone]])
    with np.errstate(all="ignore"):
        values[: len(mine)][both] = function(
            left.values[both].astype(np.float64), right.values[partner[both]].astype(np.float64)
        )
    columns = [
        np.concatenate([codes[: len(mine)], codes[len(mine) :][alone]])
        for codes in (_common_codes(left, right, name)[0] for name in wanted.mapped)
    ]
    codes = np.stack(columns, axis=1) if columns else np.zeros((1, 0), np.int64)
    return Tensor(wanted, codes, tuple(vocabularies), stored(values, wanted.cell_type))


def concat(left: Tensor, right: Tensor, dimension: str) -> Tensor:
    """Return ``concat(left, right, dimension)``: one after the other along a dimension.

    Source: generic_concat.cpp in eval, Vespa 8.700.24.
    """
    left, right = agreed(left, right)
    wanted = lifted(lambda a, b: concat_type(a, b, dimension), left.type, right.type)
    lefts, rights = matching(left, right)
    axis = 1 + wanted.indexed.index(dimension)
    parts = []
    for side, picked in ((left, lefts), (right, rights)):
        part = aligned(side, wanted)[picked].astype(np.float64)
        shape = [len(part), *wanted.shape]
        shape[axis] = part.shape[axis]
        parts.append(np.broadcast_to(part, shape))
    values = stored(np.concatenate(parts, axis=axis), wanted.cell_type)
    return _joined(wanted, left, right, lefts, rights, values)
