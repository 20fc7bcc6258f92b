from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.train.random_batches import random_batch
from vespa_colbert.errors import ArrayError, SpecError
from vespa_colbert.train.losses import (
    LossKind,
    LossOptions,
    batch_loss,
    contrastive,
    distillation,
    margin_mse,
    pairwise_hinge,
)
from vespa_colbert.train.max_sim import plain_max_sim

SAME = 1e-6
"""float32 scores of unit vectors, summed in another order, through one softmax."""

NAN = math.nan


def test_a_hinge_worked_out_by_hand() -> None:
    positive, negative = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1.0, 1.5, 4.0])

    assert pairwise_hinge(positive, negative).item() == pytest.approx((0 + 0.5 + 4) / 3)
    assert pairwise_hinge(positive, negative, margin=3).item() == pytest.approx((1 + 2.5 + 6) / 3)
    wanted = functional.margin_ranking_loss(positive, negative, torch.ones(3), margin=1.0)
    assert pairwise_hinge(positive, negative).item() == pytest.approx(wanted.item())


def test_a_softmax_worked_out_by_hand() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    targets = torch.tensor([0, 2])

    first = -math.log(math.e**4 / (math.e**4 + math.e**2 + 1))
    second = -math.log(math.e**6 / (math.e**6 + 2))
    assert contrastive(scores, targets, temperature=0.5).item() == pytest.approx(
        (first + second) / 2
    )


def test_what_also_answers_is_no_negative() -> None:
    scores = torch.tensor([[2.0, 9.0, 0.0]])
    also = torch.tensor([[True, True, False]])

    found = contrastive(scores, torch.tensor([0]), temperature=1.0, excluded=also)

    assert found.item() == pytest.approx(-math.log(math.e**2 / (math.e**2 + 1)))


def test_a_divergence_worked_out_by_hand() -> None:
    """Two candidates, the teacher three to one, the model one to one."""
    scores, teacher = torch.tensor([[5.0, 5.0]]), torch.tensor([[math.log(3.0), 0.0]])

    wanted = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert distillation(scores, teacher).item() == pytest.approx(wanted)
    assert distillation(teacher + 7, teacher).item() == pytest.approx(0.0, abs=SAME)


def test_temperatures_divide_scores_and_multiply_the_loss_by_the_models_square() -> None:
    generator = torch.Generator().manual_seed(1)
    scores, teacher = (torch.randn(3, 4, generator=generator) for _ in range(2))

    found = distillation(scores, teacher, temperature=0.5, teacher_temperature=2.0)

    assert found.item() == pytest.approx(distillation(scores * 2, teacher / 2).item() * 0.25)


def test_scaled_scores_are_those_of_the_library_that_scales() -> None:
    """PyLate moves the model's scores of a query to 0…1; the teacher's stay."""
    generator = torch.Generator().manual_seed(1)
    scores, teacher = (torch.randn(3, 4, generator=generator) for _ in range(2))
    low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)

    found = distillation(scores * 30, teacher, scale_scores=True)

    wanted = distillation((scores - low) / (high - low), teacher)
    assert found.item() == pytest.approx(wanted.item(), abs=SAME)
    assert torch.isfinite(distillation(torch.ones(2, 2), torch.ones(2, 2), scale_scores=True))


def test_a_margin_worked_out_by_hand() -> None:
    scores, teacher = torch.tensor([[5.0, 3.0, 6.0]]), torch.tensor([[10.0, 9.0, 7.0]])

    assert margin_mse(scores, teacher).item() == pytest.approx(((2 - 1) ** 2 + (-1 - 3) ** 2) / 2)


@pytest.mark.parametrize("scale", [False, True])
def test_a_row_with_fewer_candidates_counts_as_it_does_alone(*, scale: bool) -> None:
    scores = torch.tensor([[1.0, 2.0, 50.0], [3.0, 1.0, 0.5]], requires_grad=True)
    teacher = torch.tensor([[4.0, 1.0, NAN], [1.0, 2.0, 3.0]])

    loss = distillation(scores, teacher, scale_scores=scale)
    (slope,) = torch.autograd.grad(loss, scores)

    alone = distillation(scores[:1, :2], teacher[:1, :2], scale_scores=scale)
    other = distillation(scores[1:], teacher[1:], scale_scores=scale)
    assert loss.item() == pytest.approx((alone.item() + other.item()) / 2)
    assert torch.isfinite(slope).all()
    assert slope[0, 2] == 0.0


def test_margins_of_candidates_that_are_absent_do_not_count() -> None:
    scores = torch.tensor([[1.0, 2.0, 50.0], [3.0, 1.0, 0.5]], requires_grad=True)
    teacher = torch.tensor([[4.0, 1.0, NAN], [1.0, 2.0, 3.0]])

    loss = margin_mse(scores, teacher)
    (slope,) = torch.autograd.grad(loss, scores)

    # Margins of the model: -1; 2, 2.5. Of the teacher: 3; -1, -2.
    assert loss.item() == pytest.approx((4**2 + 3**2 + 4.5**2) / 3)
    assert torch.isfinite(slope).all()
    assert slope[0, 2] == 0.0


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("kind", LossKind)
def test_a_batch_is_scored_by_max_sim_of_its_own_pairs(kind: LossKind, *, mean: bool) -> None:
    made = random_batch()
    options = LossOptions(kind=kind, temperature=0.5, mean=mean)
    sides = (made.queries.vectors, made.documents.vectors)

    loss = batch_loss(made.queries, made.documents, made.batch, options)

    every = plain_max_sim(made.queries, made.documents)
    if mean:
        every = every / made.queries.mask.sum(1, keepdim=True)
    own = every.reshape(6, 6, 4)[torch.arange(6), torch.arange(6)]
    teacher = torch.from_numpy(made.batch.teacher)
    wanted = {
        LossKind.HINGE: lambda: (1 - own[:, :1] + own[:, 1:]).clamp(min=0).mean(),
        LossKind.SOFTMAX: lambda: functional.cross_entropy(every / 0.5, torch.arange(6) * 4),
        LossKind.DISTILLATION: lambda: functional.kl_div(
            own.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True
        ),
        LossKind.MARGIN_MSE: lambda: functional.mse_loss(
            own[:, :1] - own[:, 1:], teacher[:, :1] - teacher[:, 1:]
        ),
    }[kind]()
    assert loss.item() == pytest.approx(wanted.item(), rel=SAME)
    slopes = zip(torch.autograd.grad(loss, sides), torch.autograd.grad(wanted, sides), strict=True)
    assert all(torch.allclose(one, other, rtol=0, atol=SAME) for one, other in slopes)


@pytest.mark.parametrize("kind", LossKind)
def test_a_document_without_rows_leaves_every_loss_finite(kind: LossKind) -> None:
    made = random_batch()
    made.documents.mask[[0, 5]] = False
    sides = (made.queries.vectors, made.documents.vectors)

    loss = batch_loss(made.queries, made.documents, made.batch, LossOptions(kind=kind))
    slopes = torch.autograd.grad(loss, sides)

    assert torch.isfinite(loss)
    assert all(torch.isfinite(slope).all() for slope in slopes)
    assert not slopes[1][[0, 5]].any()


@pytest.mark.parametrize("kind", LossKind)
def test_what_stands_in_padding_rows_does_not_matter(kind: LossKind) -> None:
    made = random_batch()
    options = LossOptions(kind=kind)
    filled = replace(
        made.documents,
        vectors=torch.where(made.documents.mask[..., None], made.documents.vectors, 9.0),
    )

    assert torch.equal(
        batch_loss(made.queries, made.documents, made.batch, options),
        batch_loss(made.queries, filled, made.batch, options),
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: contrastive(torch.ones(3, 1), torch.zeros(3).long()), "take larger batches"),
        (lambda: pairwise_hinge(torch.ones(0), torch.ones(0)), "at least one"),
        (lambda: pairwise_hinge(torch.ones(2), torch.ones(3)), "as many positive as negative"),
        (lambda: distillation(torch.ones(2, 3), torch.ones(2, 2)), "distillation: expected"),
        (lambda: distillation(torch.ones(2, 1), torch.ones(2, 1)), "two candidates"),
        (lambda: margin_mse(torch.ones(2, 1), torch.ones(2, 1)), "two candidates"),
        (lambda: margin_mse(torch.ones(1, 2), torch.tensor([[1.0, NAN]])), "a negative in a row"),
    ],
)
def test_a_loss_that_would_be_no_measure_is_refused(call: Any, said: str) -> None:
    with pytest.raises(ArrayError, match=said):
        call()


def test_what_a_batch_lacks_is_named() -> None:
    made = random_batch()
    untaught = replace(made.batch, teacher=None)
    fewer = replace(made.batch, queries=np.arange(3))

    with pytest.raises(ArrayError, match='distillation: .* give every row "scores"'):
        batch_loss(made.queries, made.documents, untaught, LossOptions(kind=LossKind.DISTILLATION))
    with pytest.raises(ArrayError, match="queries: expected 3 texts, got 6"):
        batch_loss(made.queries, made.documents, fewer, LossOptions())


def test_constants_that_make_no_loss_are_listed_together() -> None:
    with pytest.raises(SpecError) as caught:
        LossOptions(temperature=0.0, margin=-1.0)

    assert len(caught.value.faults) == 2
