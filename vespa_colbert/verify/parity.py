"""Two judges, rung by rung: ids, attention, rows, bits, scores.

The first rung that differs explains those above it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from vespa_colbert.rank import RankQuery
from vespa_colbert.tensor import CellType, Tensor
from vespa_colbert.verify.judges import EmbeddingJudge, ScoreCase, ScoreJudge, TextCase
from vespa_colbert.verify.report import Rung, RungCount
from vespa_colbert.verify.result_judges import ResultJudge

__all__ = [
    "EXACT",
    "ROWS_TOLERANCE",
    "SCORES_FLOOR",
    "SCORES_TOLERANCE",
    "compare_embeddings",
    "compare_results",
    "compare_scores",
]

EXACT = 0.0
"""Ids, attention and bits are whole numbers: none may differ."""

ROWS_TOLERANCE = 2e-6
"""Components of unit vectors in float32: two versions of ONNX Runtime add in another order."""

SCORES_TOLERANCE = 1e-6
"""Relative: Vespa's Java multiplies in float and adds in double, a matrix product adds in float."""

SCORES_FLOOR = 1e-7
"""Of the largest score of an expression, what a smaller one may always be off by: a step of float32
at 1 is 1.2e-7, and products of unit vectors that nearly cancel out were rounded when they were as
large as those of the other scores.
"""


def compare_embeddings(
    cases: Sequence[TextCase],
    judges: tuple[EmbeddingJudge, EmbeddingJudge],
    progress: Callable[[int], None] = lambda _done: None,
) -> list[Rung]:
    """Return the rungs from token ids to packed bits.

    Args:
        cases: The texts.
        judges: Ours and theirs.
        progress: Called with the number of texts done.
    """
    ids = RungCount("token ids", EXACT, "exact")
    attention = RungCount("attention", EXACT, "exact")
    rows = {
        kind: RungCount(name, tolerance, measure)
        for kind, name, tolerance, measure in (
            (CellType.DOUBLE, "rows, double", ROWS_TOLERANCE, "absolute"),
            (CellType.FLOAT, "rows, float", ROWS_TOLERANCE, "absolute"),
            (CellType.BFLOAT16, "rows, bfloat16", BFLOAT16_STEP, "absolute"),
            (CellType.INT8, "rows, packed bits", EXACT, "exact"),
        )
    }
    for done, case in enumerate(cases, start=1):
        ours, theirs = (judge.embed(case) for judge in judges)
        _add_lists(ids, case.name, ours.ids, theirs.ids)
        _add_lists(attention, case.name, ours.attention, theirs.attention)
        for destination, target in case.targets.items():
            _add_tensors(
                rows[target.cell_type],
                f"{case.name} as {destination}",
                ours.tensors[destination],
                theirs.tensors[destination],
            )
        progress(done)
    asked = {target.cell_type for case in cases for target in case.targets.values()}
    counts = [ids, attention, *(count for kind, count in rows.items() if kind in asked)]
    return [count.rung() for count in counts]


BFLOAT16_STEP = 2.0**-8
"""A float that sits on a border may be cut to either neighbour: one step at 1.0."""


def _add_lists(count: RungCount, case: str, ours: Sequence[int], theirs: Sequence[int]) -> None:
    if len(ours) != len(theirs):
        count.shapes_differ(case, f"{len(ours)} tokens", f"{len(theirs)} tokens")
        return
    count.add(case, float(np.count_nonzero(np.not_equal(ours, theirs))), len(ours))


def _add_tensors(count: RungCount, case: str, ours: Tensor, theirs: Tensor) -> None:
    mine, others = ours.subspaces(), theirs.subspaces()
    if ours.type != theirs.type or mine.keys() != others.keys():
        count.shapes_differ(
            case, f"{ours.type} with {len(mine)} rows", f"{theirs.type} with {len(others)} rows"
        )
        return
    if not mine:
        count.add(case, 0.0, 0)
        return
    left = np.stack(list(mine.values()))
    right = np.stack([others[address] for address in mine])
    if count.measure == "exact":
        bits = np.unpackbits((left ^ right).view(np.uint8), axis=-1)
        count.add(case, float(bits.sum()), bits.size)
    else:
        apart = np.abs(left.astype(np.float64) - right.astype(np.float64))
        count.add(case, float(apart.max()), left.size)


def compare_scores(
    name: str,
    cases: Sequence[tuple[str, ScoreCase]],
    judges: tuple[ScoreJudge, ScoreJudge],
    remark: str = "",
) -> Rung:
    """Return the rung of one expression's scores.

    Args:
        name: Of the rung: profile and phase.
        cases: Name and pair.
        judges: Ours and theirs.
        remark: What a reader has to know of it.
    """
    count = RungCount(name, SCORES_TOLERANCE, "relative", remark=remark)
    pairs = [case for _name, case in cases]
    ours, theirs = (judge.scores(pairs) for judge in judges)
    least = _least_size(theirs)
    for (case, _pair), left, right in zip(cases, ours, theirs, strict=True):
        count.add(case, _apart(left, right, least), 1)
    return count.rung()


def _least_size(scores: Iterable[float]) -> float:
    """Return the size that smaller scores of an expression are taken to have."""
    largest = max((abs(each) for each in scores if math.isfinite(each)), default=0.0)
    return largest * SCORES_FLOOR / SCORES_TOLERANCE


def _apart(left: float, right: float, least: float) -> float:
    """Return how far two scores are apart, relative to the larger; equal infinities are not."""
    return 0.0 if left == right else abs(left - right) / max(abs(left), abs(right), least)


def compare_results(
    name: str,
    queries: Mapping[str, RankQuery],
    judges: tuple[ResultJudge, ResultJudge],
    remark: str = "",
) -> Rung:
    """Return the rung of whole results: the same hits in the same places, with the same scores.

    Hits whose scores are within the tolerance of each other may change places.

    Args:
        name: Of the rung: profile and phase.
        queries: Name → query.
        judges: Ours and theirs.
        remark: What a reader has to know of it.
    """
    count = RungCount(name, SCORES_TOLERANCE, "relative", remark=remark)
    for case, query in queries.items():
        ours, theirs = (judge.result(query) for judge in judges)
        scores = {hit.id: hit.relevance for hit in theirs}
        if {hit.id for hit in ours} != scores.keys() or len(ours) != len(theirs):
            count.shapes_differ(case, f"{len(ours)} hits", f"{len(theirs)} other hits")
            continue
        least = _least_size(scores.values())
        apart = [_apart(hit.relevance, scores[hit.id], least) for hit in ours]
        # What stands in one place has the same score, whoever it is.
        pairs = zip(ours, theirs, strict=True)
        apart += [_apart(a.relevance, b.relevance, least) for a, b in pairs]
        # Unlike max, numpy's maximum of what has a NaN is NaN.
        count.add(case, float(np.max(apart, initial=0.0)), len(ours))
    return count.rung()
