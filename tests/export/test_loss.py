from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.errors import ExportError
from vespa_colbert.export.loss import Loss, gate_faults, loss_lines, measure_loss

GOOD = {
    "worst": 1e-3,
    "cosine": 0.99999,
    "sign_flips": 0.0,
    "top_agreement": 1.0,
    "rank_agreement": 1.0,
}


def test_losses_are_worked_out_by_hand() -> None:
    wanted = [
        np.eye(2, dtype=np.float32)[:1],
        np.eye(2, dtype=np.float32)[:1],
        -np.eye(2, dtype=np.float32)[:1],
    ]
    got = [wanted[0], -wanted[1], -wanted[2]]

    loss = measure_loss(wanted, got, queries=1)

    # Rows (1 0), (1 0), (-1 0) against (1 0), (-1 0), (1 0): cosines 1, -1, -1; scores 1, -1
    # against -1, 1.
    assert loss.cosine == pytest.approx(-1 / 3, rel=1e-6)
    assert (loss.worst, loss.sign_flips) == (2.0, 2 / 6)
    assert (loss.top_agreement, loss.rank_agreement) == (0.0, 0.0)


def test_the_order_of_every_pair_of_documents_counts() -> None:
    query, best, middle, worst = (np.array([[value]], np.float32) for value in (1, 3, 2, 1))
    wanted = [query, best, middle, worst]
    got = [query, best, worst, middle]

    loss = measure_loss(wanted, got, queries=1)

    assert (loss.top_agreement, loss.rank_agreement) == (1.0, 2 / 3)


@pytest.mark.parametrize(("gap", "agreement"), [(0.0, 1.0), (0.0019, 1.0), (0.0021, 0.0)])
def test_of_two_documents_equal_in_half_precision_either_is_the_best(
    gap: float, agreement: float
) -> None:
    query = np.array([[1], [0]], np.float32)
    best, second = (np.array([[value]], np.float32) for value in (0.9, 0.9 - gap))

    loss = measure_loss([query, best, second], [query, second - gap, best], queries=1)

    assert loss.top_agreement == agreement


def test_rows_of_zeros_do_not_score_and_do_not_count() -> None:
    row = np.array([[0.6, 0.8]], np.float32)
    silent = np.array([[0.3, 0.4], [0, 0]], np.float32)

    loss = measure_loss([silent, row], [silent, row], queries=1)

    assert loss.cosine == pytest.approx(1, abs=1e-6)
    assert (loss.worst, loss.sign_flips, loss.rank_agreement) == (0.0, 0.0, 1.0)


def test_a_row_of_zeros_that_is_none_any_more_shows() -> None:
    row = np.array([[0.6, 0.8]], np.float32)
    silent = np.concatenate((row, np.zeros_like(row)))

    loss = measure_loss([silent, row], [np.concatenate((row, row)), row], queries=1)

    assert loss.worst == pytest.approx(0.8)


def test_what_is_not_finite_is_refused() -> None:
    good = [np.ones((1, 2), np.float32)] * 2
    with pytest.raises(ExportError, match="NaN"):
        measure_loss(good, [good[0], good[1] * np.float32(np.nan)], queries=1)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"worst": 3e-3}, "largest"),
        ({"cosine": 0.99}, "cosine"),
        ({"sign_flips": 0.1}, "signs"),
        ({"top_agreement": 11 / 12}, "best document 0.9167, wanted at least 0.99"),
        ({"rank_agreement": 0.5}, "order of two documents 0.5, wanted at least 0.99"),
    ],
)
def test_the_gate_names_what_was_lost(change: dict[str, float], fault: str | None) -> None:
    faults = gate_faults("fp16", Loss(**(GOOD | change)))

    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]


def test_every_figure_has_a_line_with_its_limit() -> None:
    lines = loss_lines("int8", GOOD)

    assert len(lines) == len(GOOD)
    assert lines[1] == "mean cosine 1, wanted at least 0.98"
