from __future__ import annotations

import math

import numpy as np
import pytest

from tests.required import import_or_skip
from vespa_colbert.errors import ArrayError
from vespa_colbert.evaluate.significance import (
    Sampling,
    bootstrap_intervals,
    holm,
    randomization_test,
)

DEVIATIONS = 5
"""Standard deviations of a drawn share that are allowed: one of a million draws is farther off."""

FLOAT_SUM = 1e-12
"""Two ways to write the same few divisions."""


def p_of(*differences: float) -> float:
    return float(randomization_test(np.array([differences]).T, Sampling())[0])


def test_all_signs_are_tried_where_they_are_few() -> None:
    # Of the eight sums of ±1 ±2 ±3 only 6 and -6 are as far from 0 as the one seen.
    assert p_of(1, 2, 3) == 2 / 8
    # ±2 ±2 ±1: 5, 3 and their negatives are as far as the 3 seen, ±1 is not.
    assert p_of(2, 2, -1) == 4 / 8
    assert p_of(3, 1) == 2 / 4


def test_equal_systems_differ_by_chance() -> None:
    assert p_of(0, 0, 0) == 1.0
    assert p_of(1, -1) == 1.0


def test_queries_without_a_difference_say_nothing() -> None:
    assert p_of(1, 2, 3, 0, 0, 0, 0) == p_of(1, 2, 3)


def test_sums_that_are_equal_but_for_rounding_count() -> None:
    # 0.1 + 0.2 - 0.3 is not 0 in doubles: the sum of all and that without those three are one.
    assert p_of(0.1, 0.2, -0.3, 1.0) == p_of(1, 2, -3, 10)


def test_each_column_is_a_test_of_its_own() -> None:
    both = np.array([[1.0, 2.0], [2.0, 2.0], [3.0, -1.0]])

    assert randomization_test(both, Sampling()).tolist() == [2 / 8, 4 / 8]


def test_drawn_signs_come_near_to_all_of_them() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1.0, (14, 1))
    exact = randomization_test(differences, Sampling())[0]
    drawn = Sampling(permutations=2**14 - 1)

    found = randomization_test(differences, drawn)[0]

    deviation = math.sqrt(exact * (1 - exact) / drawn.permutations)
    assert abs(found - exact) < DEVIATIONS * deviation
    assert found != exact


def test_many_queries_give_what_scipy_gives() -> None:
    stats = import_or_skip("scipy.stats")
    differences = np.random.default_rng(5).normal(0.12, 1.0, 200)
    sampling = Sampling(permutations=20_000)

    found = randomization_test(differences[:, np.newaxis], sampling)[0]

    judged = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=sampling.permutations,
        rng=np.random.default_rng(1),
    ).pvalue
    deviation = math.sqrt(2 * judged * (1 - judged) / sampling.permutations)
    assert abs(found - judged) < DEVIATIONS * deviation


def test_no_drawn_p_value_is_zero_and_the_seed_decides() -> None:
    differences = np.ones((60, 1))

    found = randomization_test(differences, Sampling(permutations=999))[0]

    assert found == 1 / 1000
    values = np.random.default_rng(3).normal(0.2, 1.0, (60, 1))
    first, again, other = (
        float(randomization_test(values, Sampling(permutations=999, seed=seed))[0])
        for seed in (4, 4, 5)
    )
    assert first == again != other


def test_a_bootstrap_interval_worked_out_by_hand() -> None:
    # Two queries, 0 and 1: means of samples are 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4.
    values = np.array([[0.0, 7.0], [1.0, 7.0]])

    wide = bootstrap_intervals(values, Sampling(confidence=0.9))
    narrow = bootstrap_intervals(values, Sampling(confidence=0.4))

    assert wide.tolist() == [[0.0, 1.0], [7.0, 7.0]]
    assert narrow.tolist() == [[0.5, 0.5], [7.0, 7.0]]


def test_holm_worked_out_by_hand() -> None:
    # 3 · 0.01, then 2 · 0.03, then 1 · 0.04, which may not be below the one before.
    assert np.allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06], atol=FLOAT_SUM)
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert len(holm(np.zeros(0))) == 0


@pytest.mark.parametrize("values", [np.zeros((0, 2)), np.zeros(3), np.array([[np.nan]])])
def test_what_is_no_table_of_values_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ArrayError, match="expected"):
        randomization_test(values, Sampling())
    with pytest.raises(ArrayError, match="expected"):
        bootstrap_intervals(values, Sampling())


@pytest.mark.parametrize("wrong", [{"permutations": 0}, {"resamples": 0}, {"confidence": 1.0}])
def test_sampling_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ArrayError, match="sampling"):
        Sampling(**wrong)  # type: ignore[arg-type]
