"""A whole run: epochs of steps, states saved on the way, the best weights in the end.

A run that is killed and resumed takes the same steps as one that is not: batches depend on seed and
epoch alone, and the state holds weights, optimizer, schedule, scaler and generators. Imports torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - trains; `train` imports it when it runs

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.train.batches import Batch, batch_count, epoch_batches
from vespa_colbert.train.log import RunLog
from vespa_colbert.train.measure import Measure, TextVectors
from vespa_colbert.train.model import trained_checkpoint
from vespa_colbert.train.rows import TrainingData
from vespa_colbert.train.settings import Control, StoppedError, TrainingOptions
from vespa_colbert.train.state import Position, SavedState, load_state, save_state
from vespa_colbert.train.step import Sides, Stepper

__all__ = ["LOG_FILE", "STATE_FOLDER", "Run", "Trained", "step_count"]

STATE_FOLDER, LOG_FILE = "state", "log.jsonl"


def step_count(data: TrainingData, options: TrainingOptions) -> int:
    """Return the steps of a whole run."""
    return -(-batch_count(data, options.batch) // options.accumulate) * options.epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run came to.

    Attributes:
        checkpoint: The source with the trained weights: the best ones where there is a measure.
        position: Where the run ended.
        steps: Steps that it could have had.
        loss: Of the last step.
        log: The file with all steps.
    """

    checkpoint: Checkpoint
    position: Position
    steps: int
    loss: float
    log: Path


@dataclass(slots=True, kw_only=True)
class Run:
    """A run, ready to go on from where its state is.

    Attributes:
        checkpoint: What is trained, with the head that it begins with.
        data: The rows.
        options: The choices.
        folder: Where state and log are.
        stepper: Module, optimizer, schedule, scaler.
        sides: Where the vectors of the rows' texts come from.
        vectors: The model, for the measure.
        measure: What the run is judged by, None for nothing.
        fingerprint: What the run is made of → its digest.
        position: How far the run is.
        best: Weights by name, the best by the measure so far.
        loss: Of the last step.
    """

    checkpoint: Checkpoint
    data: TrainingData
    options: TrainingOptions
    folder: Path
    stepper: Stepper
    sides: Sides
    vectors: TextVectors
    measure: Measure | None = None
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    position: Position = field(default_factory=Position)
    best: dict[str, torch.Tensor] | None = None
    loss: float = float("nan")

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return step_count(self.data, self.options)

    def resume(self) -> bool:
        """Return whether there was a state, from which the run now goes on.

        Raises:
            TrainingError: If the state is damaged, or of another run.
        """
        saved = load_state(self.folder / STATE_FOLDER, self.fingerprint)
        if saved is None:
            return False
        self.stepper.restore(saved.tensors)
        self.best, self.loss = saved.tensors["best"], float(saved.tensors["loss"])
        self.position = saved.position
        _set_generators(saved.tensors["generators"])
        return True

    def finish(self, control: Control) -> Trained:
        """Return the result after taking all steps that are left.

        Args:
            control: Hears of the progress, and is asked after each step whether to stop.

        Raises:
            StoppedError: If it says so; the state is saved then.
            ArrayError: If a batch lacks what the loss needs.
            TrainingError: If a loss is not finite, or the log cannot be written.
            OutputError: If a state cannot be saved.
        """
        log = RunLog(self.folder / LOG_FILE, after=self.position.step)
        if self.measure is not None and not self.position.is_finished:
            self.measure.prepare(self.vectors)
            if self.measure.at_start and not self.position.step:
                self._evaluate(log)
        with control.track("steps", self.steps) as progress:
            for group in self._groups():
                self._take(group, log)
                progress(self.position.step)
                stopped = control.should_stop() and not self.position.is_finished
                due = self.position.step % self.options.save_every == 0
                if stopped or due or self.position.is_finished:
                    self._save()
                if stopped:
                    raise StoppedError(
                        f"stopped after step {self.position.step} of {self.steps}; the state is in "
                        f"{self.folder / STATE_FOLDER}: resume to go on"
                    )
        if self.best is not None:
            self.stepper.set_weights(self.best)
        return Trained(
            checkpoint=trained_checkpoint(self.checkpoint, self.stepper.module, self.options),
            position=self.position,
            steps=self.steps,
            loss=self.loss,
            log=log.path,
        )

    def _groups(self) -> Iterator[Sequence[Batch]]:
        """Yield the batches of each step that is left, until the run is finished."""
        lengths = self.sides.documents.lengths.tolist()
        for epoch in range(self.position.epoch, self.options.epochs):
            batches = epoch_batches(self.data, self.options.batch, epoch, lengths)
            left = itertools.islice(batches, self.position.batch, None)
            while not self.position.is_finished:
                group = tuple(itertools.islice(left, self.options.accumulate))
                if not group:
                    break
                yield group

    def _take(self, group: Sequence[Batch], log: RunLog) -> None:
        """Take one step, and what is due after it."""
        result = self.stepper.step(self.sides, group)
        self.loss = result.loss
        epoch = self.position.epoch
        self.position = self._advanced(len(group))
        log.add(
            self.position.step,
            epoch=epoch,
            loss=result.loss,
            gradient=result.gradient if not result.skipped else None,
            rates=result.rates,
        )
        if self._evaluates(epoch):
            self._evaluate(log)

    def _advanced(self, batches: int) -> Position:
        """Return the position after a step."""
        batch, epoch = self.position.batch + batches, self.position.epoch
        if batch >= batch_count(self.data, self.options.batch):
            batch, epoch = 0, epoch + 1
        finished = epoch >= self.options.epochs
        return replace(
            self.position,
            step=self.position.step + 1,
            epoch=epoch,
            batch=batch,
            is_finished=finished,
        )

    def _evaluates(self, epoch: int) -> bool:
        """Return whether the measure is due after a step of an epoch."""
        if self.measure is None:
            return False
        every = self.options.evaluate_every
        ended = self.position.epoch > epoch
        return self.position.is_finished or (self.position.step % every == 0 if every else ended)

    def _evaluate(self, log: RunLog) -> None:
        """Ask the measure, keep the weights if they are the best so far, end if none will be."""
        if self.measure is None:
            return
        generators = _generators()
        values = self.measure.values(self.vectors)
        _set_generators(generators)
        value = values.pop(self.measure.name)
        others = {"others": values} if values else {}
        log.add(self.position.step, measure=self.measure.name, value=value, **others)
        if self.measure.improves(value, self.position.best):
            self.best = self.stepper.weights()
            step = self.position.step
            self.position = replace(self.position, best=value, best_step=step, unimproved=0)
            return
        unimproved, patience = self.position.unimproved + 1, self.options.patience
        ended = self.position.is_finished or 0 < patience <= unimproved
        self.position = replace(self.position, unimproved=unimproved, is_finished=ended)

    def _save(self) -> None:
        tensors = {
            **self.stepper.state(),
            "best": self.best,
            "loss": self.loss,
            "generators": _generators(),
        }
        state = SavedState(position=self.position, tensors=tensors)
        save_state(self.folder / STATE_FOLDER, state, self.fingerprint)


def _generators() -> dict[str, Any]:
    """Return the states of torch's random generators."""
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": on_gpu}


def _set_generators(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
