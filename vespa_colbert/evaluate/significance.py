"""Whether a difference of means is more than chance: a paired randomization test, and bootstrap.

Under the null hypothesis the two systems are one, so that for each query either could have had
either value: the sign of each difference is a coin. The p-value is the share of coins that give a
mean as far from 0 as the one seen, or farther, on either side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError

__all__ = ["Sampling", "bootstrap_intervals", "holm", "randomization_test"]

Values: TypeAlias = NDArray[np.float64]

BLOCK = 2048
"""Samples drawn at a time."""

ROUNDING = 1e-9
"""Share of the largest possible sum by which two sums of the same numbers may differ in rounding;
they are equal then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How much is drawn.

    Attributes:
        permutations: Signs drawn for the test; all of them where there are no more than that.
        resamples: Samples of queries for an interval.
        confidence: Share of them that lies inside an interval.
        seed: Of both.

    Raises:
        ArrayError: If one is out of its range.
    """

    permutations: int = 100_000
    resamples: int = 10_000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.permutations, self.resamples) < 1 or not 0 < self.confidence < 1:
            raise ArrayError(
                "sampling: expected one permutation and one resample or more and a confidence "
                f"between 0 and 1, got {self.permutations}, {self.resamples}, {self.confidence}"
            )


def randomization_test(differences: Values, sampling: Sampling) -> Values:
    """Return the two-sided p-value of each column: (column,) float64.

    All signs are tried where those of the differences other than 0 are no more than
    ``sampling.permutations``; else as many are drawn, and the one seen counts as one more.

    Args:
        differences: (query, column), the differences between two systems.
        sampling: How many, and the seed.

    Raises:
        ArrayError: If there is no query, or a value is not finite.

    Source: Fisher's randomization test as Smucker, Allan and Carterette (CIKM 2007) use it; the
    one seen counted: Phipson and Smyth (2010).
    """
    _check(differences)
    found = np.ones(differences.shape[1])
    drawn = []
    for column, values in enumerate(differences.T):
        nonzero = values[values != 0]
        if 2.0 ** len(nonzero) <= sampling.permutations:
            found[column] = _exact(nonzero)
        else:
            drawn.append(column)
    if drawn:
        found[drawn] = _sampled(differences[:, drawn], sampling)
    return found


def _exact(differences: Values) -> float:
    """Return the share of all signs that give as much: (query,) float64, none of them 0."""
    count, least = 0, _least(differences[:, np.newaxis])
    every = 2 ** len(differences)
    for start in range(0, every, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, every))
        signs = 1.0 - 2.0 * (numbers[:, np.newaxis] >> np.arange(len(differences)) & 1)
        count += int((np.abs(signs @ differences) >= least[0]).sum())
    return float(count / every)


def _sampled(differences: Values, sampling: Sampling) -> Values:
    """Return the share of drawn signs that give as much: (query, column) → (column,)."""
    random = np.random.default_rng(sampling.seed)
    counts, least = np.ones(differences.shape[1]), _least(differences)
    for size in _blocks(sampling.permutations):
        signs = 1.0 - 2.0 * random.integers(0, 2, (size, len(differences)), dtype=np.int8)
        counts += (np.abs(signs @ differences) >= least).sum(axis=0)
    return np.asarray(counts / (sampling.permutations + 1), np.float64)


def _least(differences: Values) -> Values:
    """Return what the absolute value of a sum has to reach: (query, column) → (column,)."""
    largest = np.abs(differences).sum(axis=0)
    return np.asarray(np.abs(differences.sum(axis=0)) - ROUNDING * largest, np.float64)


def bootstrap_intervals(values: Values, sampling: Sampling) -> Values:
    """Return an interval for the mean of each column: (column, 2) float64, by percentiles.

    Args:
        values: (query, column).
        sampling: How many samples of as many queries are drawn, the confidence, and the seed.

    Raises:
        ArrayError: If there is no query, or a value is not finite.
    """
    _check(values)
    random = np.random.default_rng(sampling.seed)
    queries = len(values)
    means = [
        random.multinomial(queries, np.full(queries, 1 / queries), size) @ values / queries
        for size in _blocks(sampling.resamples)
    ]
    outside = 100 * (1 - sampling.confidence) / 2
    return np.percentile(np.concatenate(means), [outside, 100 - outside], axis=0).T


def holm(p_values: Values) -> Values:
    """Return p-values corrected for being several: (test,) float64, none below its own.

    Below a level each is significant with at most that chance of one false finding among all.

    Source: Holm (1979), the step-down of Bonferroni.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return corrected


def _blocks(samples: int) -> Iterator[int]:
    for start in range(0, samples, BLOCK):
        yield min(BLOCK, samples - start)


def _check(values: Values) -> None:
    """Return nothing if there are values for a test.

    Raises:
        ArrayError: If not.
    """
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ArrayError(
            f"values of queries: expected (query, column), finite, got shape {values.shape}"
        )
