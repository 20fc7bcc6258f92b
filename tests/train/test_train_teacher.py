"""Distillation from another checkpoint's scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_checkpoint import DIM, HIDDEN
from tests.train.tiny_training import SCORED, options, training_data
from vespa_colbert.checkpoint import Checkpoint, ProjectionLayer, read_checkpoint
from vespa_colbert.errors import SpecError, TrainingError
from vespa_colbert.train import Control, HeadStart, StoppedError
from vespa_colbert.train.batches import epoch_batches
from vespa_colbert.train.heads import orthonormal_rows
from vespa_colbert.train.log import read_log
from vespa_colbert.train.losses import LossKind
from vespa_colbert.train.model import trainable_module
from vespa_colbert.train.settings import TrainingOptions, silent
from vespa_colbert.train.sources import Preparation
from vespa_colbert.train.step import loss_of
from vespa_colbert.train.train import Taught, train
from vespa_colbert.train.windows import open_treatment

NOTHING = 1e-6
"""A divergence of two equal distributions in float32."""
SAME_LOSS = 1e-6
"""The same, of rows of an encoder from batches of other lengths."""


@pytest.fixture(scope="session", name="checkpoint")
def checkpoint_fixture(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


def distilling(**changes: Any) -> TrainingOptions:
    return options(LossKind.DISTILLATION, **changes)


def widened(checkpoint: Checkpoint) -> Checkpoint:
    head = ProjectionLayer(weight=orthonormal_rows(HIDDEN, HIDDEN, seed=5))
    return replace(checkpoint, projection=(head,))


def first_loss(student: Checkpoint, teacher: Checkpoint, folder: Path, **changes: Any) -> Any:
    asked = distilling(**changes)
    data = training_data(folder)
    texts = Preparation(data=data, options=asked, folder=folder, track=silent, teacher=teacher)
    module = trainable_module(student, "cpu", with_encoder=asked.with_encoder)
    module.eval()
    sides = texts.sides(module, open_treatment(student))
    loss = loss_of(sides, next(epoch_batches(data, asked.batch, 0)), asked.loss)
    loss.backward()
    return loss, module, sides


def test_a_model_that_scores_as_its_teacher_has_nothing_to_learn(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    # A rotation changes no score: another head, the same model.
    rotation = orthonormal_rows(DIM, DIM, seed=2)
    layer = checkpoint.projection[0]
    rotated = replace(layer, weight=(rotation @ layer.weight).astype(np.float32))
    loss, module, _sides = first_loss(
        checkpoint, replace(checkpoint, projection=(rotated,)), tmp_path
    )
    assert abs(float(loss.detach())) <= NOTHING
    assert float(module.projection[0].linear.weight.grad.abs().max()) <= 100 * NOTHING
    other, _module, _sides = first_loss(checkpoint, widened(checkpoint), tmp_path)
    assert float(other.detach()) > 1000 * NOTHING


def test_rows_of_one_encoder_are_made_once_for_both(checkpoint: Checkpoint, tmp_path: Path) -> None:
    teacher = widened(checkpoint)
    shared, _module, sides = first_loss(checkpoint, teacher, tmp_path)
    assert sides.teacher.sides.documents._rows is sides.documents._rows
    # Another padding id would be another window: nothing is shared, and the scores are the same.
    apart, _module, others = first_loss(checkpoint, replace(teacher, pad_id=6), tmp_path)
    assert others.teacher.sides.documents._rows is not others.documents._rows
    assert float(apart.detach()) == pytest.approx(float(shared.detach()), abs=SAME_LOSS)
    with_encoder, _module, _sides = first_loss(checkpoint, teacher, tmp_path, with_encoder=True)
    assert float(with_encoder.detach()) == pytest.approx(float(shared.detach()), abs=SAME_LOSS)


@pytest.mark.parametrize(("with_encoder", "most"), [(False, 0.9), (True, 1.0)])
def test_a_narrow_head_comes_closer_to_a_wide_one_on_rows_it_has_not_seen(
    checkpoint: Checkpoint, tmp_path: Path, with_encoder: bool, most: float
) -> None:
    data = training_data(tmp_path)
    learned = data.part([row for row in data.rows if row.query % 4])
    held_out = data.part([row for row in data.rows if row.query % 4 == 0])
    before = {name: array.copy() for name, array in checkpoint.encoder.weights.items()}
    asked = distilling(epochs=4, learning_rate=0.005, head=HeadStart.OWN, dims=5,
                       with_encoder=with_encoder, encoder_learning_rate=1e-4)  # fmt: skip
    trained = train(
        checkpoint,
        Taught(data=learned, teacher=widened(checkpoint)),
        tmp_path / "run",
        asked,
        measure=held_out,
    )
    measured = [line for line in read_log(trained.log) if "measure" in line]
    assert measured[0]["step"] == 0
    assert trained.position.best is not None
    assert trained.position.best < most * measured[0]["value"]
    # The teacher's encoder is the student's here: it is not moved with it.
    assert all(np.array_equal(checkpoint.encoder.weights[name], each)
               for name, each in before.items())  # fmt: skip


def test_a_stopped_run_follows_the_same_teacher_and_no_other(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    data, asked, teacher = training_data(tmp_path), distilling(), widened(checkpoint)
    taught = Taught(data=data, teacher=teacher)
    whole = train(checkpoint, taught, tmp_path / "whole", asked)

    def stop() -> bool:
        return len(read_log(tmp_path / "parts" / "log.jsonl")) == 3

    with pytest.raises(StoppedError):
        train(checkpoint, taught, tmp_path / "parts", asked, control=Control(should_stop=stop))
    for other, named in (
        (Taught(data=data, teacher=checkpoint), "teacher"),
        (Taught(data=data, teacher=teacher), "head"),
    ):
        changed = checkpoint
        if named == "head":
            layer = checkpoint.projection[0]
            changed = replace(checkpoint, projection=(replace(layer, weight=layer.weight * 2),))
        with pytest.raises(TrainingError, match=f"with other {named};"):
            train(changed, other, tmp_path / "parts", asked, control=Control(resume=True))
    resumed = train(checkpoint, taught, tmp_path / "parts", asked, control=Control(resume=True))
    one, other_weights = (each.checkpoint.projection[0].weight for each in (whole, resumed))
    assert one.tobytes() == other_weights.tobytes()


def test_a_teacher_goes_with_distillation_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    taught = Taught(data=training_data(tmp_path, SCORED), teacher=checkpoint)
    with pytest.raises(SpecError, match="expected the loss distillation, got softmax"):
        train(checkpoint, taught, tmp_path / "run", options())
    assert not (tmp_path / "run").exists()


def test_a_part_of_the_rows_has_its_own_texts_alone(tmp_path: Path) -> None:
    data = training_data(tmp_path)
    row = data.rows[7]
    part = data.part([row, data.rows[2]])
    assert part.queries == (data.queries[row.query], data.queries[data.rows[2].query])
    first = part.rows[0]
    assert [part.documents[place] for place in first.documents] == [
        data.documents[place] for place in row.documents
    ]
    assert part.positives[0] == frozenset(first.positives)
    assert first.line == row.line
    assert len(part.documents) < len(data.documents)
    assert part.rows[1].query == 1
