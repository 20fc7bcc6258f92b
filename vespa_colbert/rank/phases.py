"""What the phases do with scores: windows, ties, rescaling, drop limits, normalizers.

Equal scores keep the order of the index: Vespa's window takes the lower local document id too. Its
final sort is stable for short lists only, so that the order of equal hits is not a promise there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Ranked",
    "Window",
    "above",
    "linear",
    "order",
    "reciprocal_ranks",
    "rescored_globally",
    "rescored_on_node",
    "usable_scores",
]

Scores: TypeAlias = NDArray[np.float64]
Positions: TypeAlias = NDArray[np.int64]

LARGEST_FLOAT = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Hits of the content node, the best first.

    Attributes:
        positions: (hit,) int64.
        scores: (hit,) float64, what the node says their relevance is.
        first_phase: (hit,) float64, what the first phase gave, as computed.
    """

    positions: Positions
    scores: Scores
    first_phase: Scores

    def best(self, places: Positions) -> Ranked:
        """Return some of the hits."""
        return Ranked(
            positions=self.positions[places],
            scores=self.scores[places],
            first_phase=self.first_phase[places],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The hits that a phase ranks again.

    Attributes:
        places: (hit,) int64, places among the candidates, the best of the phase before first.
        scores: (hit,) float64, what the phase gave each of them.
    """

    places: Positions
    scores: Scores


def usable_scores(scores: Scores) -> Scores:
    """Return scores of the first phase as the content node keeps them: -inf for NaN and ±inf.

    Source: MatchThread::Context::rankHit, Vespa 8.700.24.
    """
    return np.where(np.isfinite(scores), scores, -np.inf)


def order(scores: Scores, positions: Positions) -> Positions:
    """Return places from the best score to the worst; equal scores in the order of the index.

    NaN is the worst of all; 0 is above -0, on the content node as in the container.

    Source: HitCollector::sortHitsByScore, FastS_DefaultResultSorter; Relevance.compareTo and
    Hit.compareTo, Vespa 8.700.24.
    """
    below_zero = np.signbit(scores) & (scores == 0)
    return np.lexsort((positions, below_zero, -scores))


def above(scores: Scores, limit: float | None) -> NDArray[np.bool_]:
    """Return which scores stay over a rank-score-drop-limit: all of them if there is none.

    Source: MatchThread::Context::rankHit, ConditionalHitAdder::add, Vespa 8.700.24.
    """
    return np.ones(len(scores), np.bool_) if limit is None else scores > limit


def rescored_on_node(scores: Scores, positions: Positions, window: Window) -> Scores:
    """Return scores after the second phase: its own in the window, the first phase's below it.

    Where the lowest of the window fell, hits below it are scaled and moved so that none is over it.
    NaN from the second phase becomes -inf, as Vespa's container shows it.

    Args:
        scores: (candidate,) float64, first phase.
        positions: (candidate,) int64, places in the index.
        window: What the second phase gave, in the order of the first phase.

    Source: MatchLoopCommunicator, FirstPhaseRescorer and HitCollector; LeanHit, Vespa 8.700.24.
    """
    if not len(window.places):
        return scores
    best, worst = scores[window.places[0]], scores[window.places[-1]]
    in_order = np.argsort(positions[window.places], kind="stable")
    low, high = _range_of(window.scores[in_order])
    final = scores
    if worst <= best and low <= high and worst > low:
        with np.errstate(invalid="ignore"):
            scale = _at_least_one(high - low) / _at_least_one(best - worst)
            final = scores * scale - (worst * scale - low)
    final = final.copy()
    final[window.places] = window.scores
    return np.where(np.isnan(final), -np.inf, final)


def _range_of(scores: Scores) -> tuple[float, float]:
    """Return the lowest and the highest; a NaN counts only where it is alone.

    Source: Scores::update, Vespa 8.700.24.
    """
    low, high = 1.0, 0.0
    for score in scores.tolist():
        if low <= high:
            low, high = (min(low, score), max(high, score))
        else:
            low = high = score
    return low, high


def _at_least_one(size: float) -> float:
    return 1.0 if size < 1.0 else size


def rescored_globally(scores: Scores, window: Window) -> Scores:
    """Return scores after the global phase: its own in the window, moved ones below it.

    Args:
        scores: (hit,) float64, relevance from the content nodes.
        window: What the global phase gave.

    Source: ResultReranker and RangeAdjuster, Vespa 8.700.24; NaN changes no range.
    """
    final = scores.copy()
    final[window.places] = window.scores
    before = scores[window.places]
    old, new = before[~np.isnan(before)], window.scores[~np.isnan(window.scores)]
    old_range, new_range = _java_range(old), _java_range(new)
    is_valid = old_range[1] >= old_range[0] and new_range[1] >= new_range[0]
    if not (is_valid and old_range[0] > new_range[0]):
        return final
    below = np.ones(len(scores), np.bool_)
    below[window.places] = False
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = [_at_least_one(high - low) for low, high in (old_range, new_range)]
        scale = sizes[1] / sizes[0]
        final[below] = scores[below] * scale + (new_range[0] - old_range[0] * scale)
    return final


def _java_range(scores: Scores) -> tuple[float, float]:
    """Return the lowest and the highest of what lies within Java's largest doubles."""
    largest = np.finfo(np.float64).max
    return float(scores.min(initial=largest)), float(scores.max(initial=-largest))


def linear(values: Scores) -> Scores:
    """Return ``normalize_linear``: the lowest 0, the highest 1; 0.5 each if they are all equal.

    Values that are not finite floats have no say in the range.

    Source: LinearNormalizer, Vespa 8.700.24.
    """
    counted = values[(values < LARGEST_FLOAT) & (values > -LARGEST_FLOAT)]
    low, high = counted.min(initial=LARGEST_FLOAT), counted.max(initial=-LARGEST_FLOAT)
    scale, middle = (1.0 / (high - low), (low + high) * 0.5) if high > low else (0.0, 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(0.5 + scale * (values - middle), np.float64)


def reciprocal_ranks(values: Scores, k: float) -> Scores:
    """Return ``reciprocal_rank``: 1 / (k + 1) for the best, 1 / (k + 2) for the next, and so on.

    Equal values do not share a rank: the hit that was better before comes first. NaN is -inf.

    Args:
        values: (hit,) float64, in the order of the hits before.
        k: The constant.

    Source: ReciprocalRankNormalizer, Vespa 8.700.24.
    """
    known = np.where(np.isnan(values), -np.inf, values)
    ranks = np.empty(len(values), np.float64)
    ranks[order(known, np.arange(len(values)))] = np.arange(len(values))
    return np.asarray(1.0 / (k + 1.0 + ranks), np.float64)
