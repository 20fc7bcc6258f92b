from __future__ import annotations

import math

import numpy as np
import pytest

from vespa_colbert.rank.phases import (
    Window,
    above,
    linear,
    order,
    reciprocal_ranks,
    rescored_globally,
    rescored_on_node,
    usable_scores,
)

EXACT_TO_A_ROUNDING = 1e-15
"""Values computed by hand on paper are rounded once."""


def window(places: list[int], scores: list[float]) -> Window:
    return Window(places=np.array(places), scores=np.array(scores, np.float64))


def numbers(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values, np.float64)


def test_the_first_phase_keeps_no_nan_and_no_infinity() -> None:
    found = usable_scores(numbers(1, math.nan, math.inf, -math.inf))

    assert found.tolist() == [1, -math.inf, -math.inf, -math.inf]


def test_equal_scores_stand_by_position_and_nan_comes_last() -> None:
    scores = numbers(math.nan, 0.0, 2.0, -0.0, 2.0, -math.inf)

    places = order(scores, np.array([0, 1, 9, 3, 4, 5]))

    assert places.tolist() == [4, 2, 1, 3, 5, 0]


def test_a_drop_limit_drops_the_limit_itself() -> None:
    scores = numbers(1, 2, 3, math.nan)

    assert above(scores, 2.0).tolist() == [False, False, True, False]
    assert above(scores, None).all()


def test_below_the_window_scores_are_scaled_and_moved_when_the_window_fell() -> None:
    # First phase 8 … 4 in the window, second 3 … 1: scale 2 / 4, adjust 4 * 0.5 - 1 = 1.
    found = rescored_on_node(numbers(8, 4, 3, -2), np.arange(4), window([0, 1], [1, 3]))

    assert found.tolist() == [1, 3, 0.5, -2]


@pytest.mark.parametrize(
    ("best", "second", "wanted"),
    [
        (5000, (300, 400), (0, 100, 200)),
        (5000, (500, 600), (200, 300, 400)),
        (5000, (3250, 4500), (-500, 750, 2000)),
        (5000, (4, 4), (1, 2, 3)),
        (4000, (400, 500), (-299600, -199600, -99600)),
    ],
)
def test_rescaling_gives_the_numbers_of_vespas_own_hit_collector_test(
    best: float, second: tuple[float, float], wanted: tuple[float, ...]
) -> None:
    first = numbers(1000, 2000, 3000, 4000, best)
    order_of_window = [4, 3] if best > 4000 else [3, 4]
    by_place = dict(zip((3, 4), second, strict=True))

    found = rescored_on_node(
        first,
        np.arange(5),
        window(order_of_window, [by_place[place] for place in order_of_window]),
    )

    assert found.tolist() == [*wanted, *second]


def test_a_window_that_did_not_fall_moves_nothing() -> None:
    found = rescored_on_node(numbers(8, 4, 3), np.arange(3), window([0, 1], [4, 9]))

    assert found.tolist() == [4, 9, 3]


def test_ranges_narrower_than_1_count_as_1() -> None:
    # Ranges 0.5 and 0: the scale is 1, all below move by 0.5 - (-1) = 1.5.
    found = rescored_on_node(numbers(1, 0.5, 0.25), np.arange(3), window([0, 1], [-1, -1]))

    assert found.tolist() == [-1, -1, -1.25]


def test_nan_of_the_second_phase_becomes_the_lowest_and_has_no_say_in_the_range() -> None:
    # By position: 3 first, then NaN. Low 3 is under 4: range 1 against 4, adjust 4 / 4 - 3.
    found = rescored_on_node(numbers(8, 4, 2), np.array([5, 9, 7]), window([0, 1], [3, math.nan]))

    assert found.tolist() == [3, -math.inf, 2 / 4 - (4 / 4 - 3)]


def test_a_window_of_nothing_but_nan_moves_nothing_below_it() -> None:
    found = rescored_on_node(numbers(8, 4), np.arange(2), window([0], [math.nan]))

    assert found.tolist() == [-math.inf, 4]


def test_the_global_phase_moves_what_is_below_its_window() -> None:
    # Ranges 6 … 4 and 1 … 0: scale 1 / 2, bias 0 - 4 * 0.5.
    found = rescored_globally(numbers(6, 4, 3), window([0, 1], [0, 1]))

    assert found.tolist() == [0, 1, -0.5]


def test_a_global_phase_that_raised_scores_moves_nothing() -> None:
    found = rescored_globally(numbers(6, 4, 3), window([0, 1], [10, 5]))

    assert found.tolist() == [10, 5, 3]


def test_nan_of_the_global_phase_has_no_say_in_the_range() -> None:
    found = rescored_globally(numbers(6, 4, 3), window([0, 1], [math.nan, 1]))

    assert found[1:].tolist() == [1, 3 * 0.5 + (1 - 4 * 0.5)]
    assert math.isnan(found[0])


def test_normalize_linear_spreads_values_over_0_to_1() -> None:
    assert linear(numbers(2, 6, 4)).tolist() == [0, 1, 0.5]


@pytest.mark.parametrize("values", [(3.0,), (3.0, 3.0), (math.inf,)])
def test_normalize_linear_of_equal_values_is_a_half(values: tuple[float, ...]) -> None:
    finite = [each for each in values if math.isfinite(each)]

    assert linear(numbers(*finite)).tolist() == [0.5] * len(finite)


def test_normalize_linear_leaves_infinities_out_of_the_range() -> None:
    found = linear(numbers(0, 2, math.inf, math.nan, 1e39))

    assert found[:3].tolist() == [0, 1, math.inf]
    assert math.isnan(found[3])
    assert found[4] == pytest.approx(0.5 + 0.5 * (1e39 - 1), rel=EXACT_TO_A_ROUNDING)


def test_reciprocal_rank_ranks_ties_by_the_order_before_and_nan_last() -> None:
    found = reciprocal_ranks(numbers(5, math.nan, 7, 5), 60.0)

    assert found.tolist() == [1 / 62, 1 / 64, 1 / 61, 1 / 63]


def test_reciprocal_rank_takes_another_k() -> None:
    assert reciprocal_ranks(numbers(5), 1.0).tolist() == [0.5]
