"""A new head that learns the scores of the one before it, on rows of training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vespa_colbert.checkpoint import Checkpoint, ProjectionLayer
from vespa_colbert.files import digest_file
from vespa_colbert.pipeline.reporter import Reporter
from vespa_colbert.pipeline.texts_by_id import read_texts_by_id
from vespa_colbert.train import (
    BatchOptions,
    Control,
    HeadStart,
    TrainingData,
    TrainingOptions,
    read_training_data,
)

if TYPE_CHECKING:
    from vespa_colbert.train.surgery import HeadOptions

__all__ = ["DistilOptions", "Distilled", "Surgery", "distil_head"]

HELD_OUT = 8
"""Of so many queries, one is not learned on: the loss is measured on those."""
SUM_TEMPERATURE, MEAN_TEMPERATURE = 1.0, 0.02
"""Of scores that are sums over a query's rows, and of those that are means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilOptions:
    """On what a new head learns the scores of the one before it, and how.

    Attributes:
        rows: File of training rows. Only their texts count: what meets in a batch is scored.
        queries: File of queries, for rows with ids.
        corpus: File of documents, for rows with ids.
        epochs: How often every row is seen.
        batch: Queries a batch.
        learning_rate: After warm-up.
        temperature: Of both heads' scores; None for what suits sums, or means.
    """

    rows: Path
    queries: Path | None = None
    corpus: Path | None = None
    epochs: int = 2
    batch: int = 16
    learning_rate: float = 1e-3
    temperature: float | None = None

    def to_json(self) -> Mapping[str, Any]:
        """Return what ``checksums.json`` says of it."""
        return {
            "rows": {"name": self.rows.name, "sha256": digest_file(self.rows).sha256},
            "epochs": self.epochs,
            "batch": self.batch,
            "learning-rate": self.learning_rate,
            "temperature": self.temperature,
        }

    def read(self) -> TrainingData:
        """Return the rows with the texts of their ids.

        Raises:
            CollectionError: With file and line, if a line is bad.
        """
        queries, documents = read_texts_by_id(self.queries, self.corpus)
        return read_training_data(self.rows, queries=queries, documents=documents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surgery:
    """A checkpoint before and after it got another head.

    Attributes:
        before: With the head that it had.
        after: With the new one.
        options: How that was made. Where it takes no part of the old one, the scores of the
            encoder's own rows are learned; cuts are learned too.
    """

    before: Checkpoint
    after: Checkpoint
    options: HeadOptions

    @property
    def teacher(self) -> Checkpoint:
        """What scores: the old head, or the encoder's rows as they are."""
        if self.options.start is HeadStart.OWN:
            return self.before
        whole = np.eye(self.before.encoder.hidden_size, dtype=np.float32)
        return replace(self.before, projection=(ProjectionLayer(weight=whole),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """What the distillation gave.

    Attributes:
        checkpoint: With the head that has learned.
        rows: That were learned on.
        steps: That were taken.
        loss_before: How far the new head's scores are from the old one's, on rows that are not
            learned on, before the first step; None where there are too few rows to keep some.
        loss: The same of the head that is written, the best there was.
    """

    checkpoint: Checkpoint
    rows: int
    steps: int
    loss_before: float | None
    loss: float | None


def distil_head(
    surgery: Surgery, data: TrainingData, folder: Path, options: DistilOptions, reporter: Reporter
) -> Distilled:
    """Return a checkpoint whose head has learned the scores of the one before it.

    Args:
        surgery: The new head and the one before it.
        data: The rows.
        folder: Of the run: its log and curves stay there.
        options: How long.
        reporter: Hears of the progress.

    Raises:
        TrainingError: If a loss is not finite, or the state of another run is there.
        OutputError: If a file of the run cannot be written.
        MissingExtraError: If torch or transformers is not installed.
    """
    from vespa_colbert.train.log import read_log
    from vespa_colbert.train.train import Taught, train

    learned, held_out = _parts(data)
    trained = train(
        surgery.after,
        Taught(data=learned, teacher=surgery.teacher),
        folder,
        _training_options(surgery, options),
        measure=held_out,
        control=Control(resume=True, track=reporter.track),
    )
    measured = {line["step"]: line["value"] for line in read_log(trained.log) if "measure" in line}
    return Distilled(
        checkpoint=trained.checkpoint,
        rows=len(learned.rows),
        steps=trained.position.step,
        loss_before=measured.get(0),
        loss=trained.position.best,
    )


def _parts(data: TrainingData) -> tuple[TrainingData, TrainingData | None]:
    """Return what is learned on, and what is kept apart: every eighth query."""
    kept = [row for row in data.rows if row.query % HELD_OUT == HELD_OUT - 1]
    held_out = data.part(kept) if kept else None
    if held_out is None or len(held_out.documents) < 2:
        return data, None
    return data.part([row for row in data.rows if row.query % HELD_OUT < HELD_OUT - 1]), held_out


def _training_options(surgery: Surgery, options: DistilOptions) -> TrainingOptions:
    from vespa_colbert.train.losses import LossKind, LossOptions

    head = surgery.options
    usual = MEAN_TEMPERATURE if surgery.before.mean_score else SUM_TEMPERATURE
    temperature = usual if options.temperature is None else options.temperature
    return TrainingOptions(
        loss=LossOptions(
            kind=LossKind.DISTILLATION,
            student_temperature=temperature,
            teacher_temperature=temperature,
            cuts=head.cuts,
        ),
        batch=BatchOptions(size=options.batch, seed=head.seed),
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        # The head is good already: it is not to be drawn to zero.
        weight_decay=0.0,
        device=head.device,
    )
