"""bfloat16 products, accumulated batches and cached gradients beside the plain form, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.tiny_training import options, training_data
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.train import BatchOptions, Precision
from vespa_colbert.train.batches import epoch_batches
from vespa_colbert.train.losses import LossKind, LossOptions
from vespa_colbert.train.model import trainable_module
from vespa_colbert.train.settings import silent
from vespa_colbert.train.sources import Preparation
from vespa_colbert.train.step import Stepper
from vespa_colbert.train.windows import open_treatment

ROWS = 8
ALLOWED = {Precision.FP32: 1e-5, Precision.BF16: 0.05}
"""Of the largest component of a gradient: float32 sums in another order; products of 8 bits, off by
0.4 % each, through two layers and back."""
NARROW = 0.15
"""The same between the types: of document rows that are nearly alike another one may win, and get
all of a query row's gradient."""


@pytest.fixture(scope="session", name="checkpoint")
def checkpoint_fixture(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


def gradients(
    checkpoint: Checkpoint, folder: Path, *, size: int = ROWS, **changes: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the loss and the gradient of one step over eight rows in batches of a size."""
    loss = LossOptions(kind=LossKind.HINGE, margin=3.0)
    asked = options(
        with_encoder=True,
        clip=0.0,
        accumulate=ROWS // size,
        batch=BatchOptions(size=size, negatives=2, seed=3),
        **{"loss": loss, **changes},
    )
    every = training_data(folder)
    data = every.part(every.rows[:ROWS])
    module = trainable_module(checkpoint, "cpu", with_encoder=True)
    # Without dropout, which draws other numbers for other batches.
    module.eval()
    sides = Preparation(data=data, options=asked, folder=folder, track=silent).sides(
        module, open_treatment(checkpoint)
    )
    stepper = Stepper(module, asked, "cpu", 10)
    result = stepper.step(sides, list(epoch_batches(data, asked.batch, 0)))
    found = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    return result.loss, found


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference, relative to the largest component of all."""
    assert one.keys() == other.keys()
    largest = max(float(each.abs().max()) for each in one.values())
    return max(float((each - other[name]).abs().max()) for name, each in one.items()) / largest


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
@pytest.mark.parametrize(
    "changes",
    [{"size": 2}, {"texts_at_once": 3}, {"size": 4, "texts_at_once": 5}],
    ids=["accumulated", "cached", "both"],
)
def test_a_step_in_parts_is_the_step_of_one_batch(
    checkpoint: Checkpoint, tmp_path: Path, precision: Precision, changes: dict[str, int]
) -> None:
    wanted_loss, wanted = gradients(checkpoint, tmp_path, precision=precision)
    loss, found = gradients(checkpoint, tmp_path, precision=precision, **changes)
    assert loss == pytest.approx(wanted_loss, rel=ALLOWED[precision])
    assert difference(wanted, found) <= ALLOWED[precision]


def test_bfloat16_products_give_about_the_gradient_of_float32(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    wanted_loss, wanted = gradients(checkpoint, tmp_path)
    loss, found = gradients(checkpoint, tmp_path, precision=Precision.BF16)
    assert loss == pytest.approx(wanted_loss, rel=ALLOWED[Precision.BF16])
    assert 0 < difference(wanted, found) <= NARROW
    # Weights and their gradients stay float32.
    assert {each.dtype for each in found.values()} == {torch.float32}


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_cuts_are_accumulated_and_cached_alike(
    checkpoint: Checkpoint, tmp_path: Path, precision: Precision
) -> None:
    loss = LossOptions(kind=LossKind.HINGE, margin=3.0, cuts=(4, 2), cut_weights=(0.5, 0.25))
    wanted_loss, wanted = gradients(checkpoint, tmp_path, precision=precision, loss=loss)
    changes: dict[str, Any] = {"size": 4, "texts_at_once": 3, "loss": loss}
    found_loss, found = gradients(checkpoint, tmp_path, precision=precision, **changes)
    assert found_loss == pytest.approx(wanted_loss, rel=ALLOWED[precision])
    assert difference(wanted, found) <= ALLOWED[precision]
