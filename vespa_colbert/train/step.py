"""One step of training: losses of batches, their gradient, and the weights moved. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - trains; `train` imports it when it runs

from vespa_colbert.errors import TrainingError
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.train.batches import Batch
from vespa_colbert.train.encode import EncodedTexts, HiddenRows, precision_of
from vespa_colbert.train.losses import LossOptions, batch_loss, imitation_loss
from vespa_colbert.train.max_sim import max_sim
from vespa_colbert.train.schedule import build_optimizer, build_schedule
from vespa_colbert.train.settings import Precision, TrainingOptions

__all__ = ["Sides", "StepResult", "Stepper", "Teacher", "loss_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Where the vectors of a data set's texts come from: places → padded vectors.

    Attributes:
        queries: For ``TrainingData.queries``.
        documents: For ``TrainingData.documents``.
        teacher: A model whose scores of them are followed, in the place of what rows say; None for
            none.
    """

    queries: EncodedTexts | HiddenRows
    documents: EncodedTexts | HiddenRows
    teacher: Teacher | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Another model, which stays as it is.

    Attributes:
        sides: Where its vectors of the same texts come from.
        mean: Whether its score is the mean over the query's rows, not the sum.
    """

    sides: Sides
    mean: bool

    def scores(self, batch: Batch, cells: int) -> torch.Tensor:
        """Return what it gives all queries and documents of a batch: (query, document)."""
        with torch.no_grad():
            queries = self.sides.queries(batch.queries)
            documents = self.sides.documents(batch.documents)
            return max_sim(queries, documents, mean=self.mean, cells=cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step gave.

    Attributes:
        loss: Mean over its batches.
        gradient: Norm of the gradient before clipping; not finite where fp16 overflowed.
        rates: Learning rate of each group of weights that was used.
        skipped: Whether the weights stayed, since fp16 overflowed.
    """

    loss: float
    gradient: float
    rates: tuple[float, ...]
    skipped: bool


def loss_of(sides: Sides, batch: Batch, loss: LossOptions) -> torch.Tensor:
    """Return the loss of a batch: a number with a gradient.

    Raises:
        ArrayError: If the batch lacks what the loss needs.
    """
    queries, documents = sides.queries(batch.queries), sides.documents(batch.documents)
    if sides.teacher is None:
        return batch_loss(queries, documents, batch, loss)
    return imitation_loss(queries, documents, sides.teacher.scores(batch, loss.cells), loss)


class Stepper:
    """A module with its optimizer, schedule and scaler."""

    def __init__(
        self, module: ContextualEncoder, options: TrainingOptions, device: str, steps: int
    ) -> None:
        """Set everything up for a run.

        Args:
            module: On its device, the weights that are trained needing a gradient.
            options: The choices.
            device: ``cpu`` or ``cuda``.
            steps: Of the whole run.
        """
        self.module, self.device, self._options = module, device, options
        self.optimizer = build_optimizer(module, options)
        self.schedule = build_schedule(self.optimizer, options, steps)
        self.scaler = torch.amp.GradScaler(device, enabled=options.precision is Precision.FP16)

    def step(self, sides: Sides, batches: Sequence[Batch]) -> StepResult:
        """Return what came of moving the weights by the gradient of some batches.

        Raises:
            ArrayError: If a batch lacks what the loss needs.
            TrainingError: If a loss or, without fp16, a gradient is not finite.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for batch in batches:
            with precision_of(self.device, self._options.precision):
                loss = loss_of(sides, batch, self._options.loss) / len(batches)
            total += float(loss.detach())
            if not math.isfinite(total):
                raise TrainingError(
                    f"expected a finite loss, got {total}: take lower learning rates, or bf16 or "
                    "fp32 for fp16"
                )
            self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = self._clip()
        rates = tuple(dict.fromkeys(self.schedule.get_last_lr()))
        skipped = self._move()
        return StepResult(loss=total, gradient=norm, rates=rates, skipped=skipped)

    def state(self) -> dict[str, Any]:
        """Return all that a later process needs to go on, weights that stay excepted."""
        return {
            "weights": self.weights(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of ``state``."""
        self.set_weights(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])

    def weights(self) -> dict[str, torch.Tensor]:
        """Return copies of the weights that are trained, by name, on the CPU."""
        return {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.module.named_parameters()
            if parameter.requires_grad
        }

    def set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put weights in the place of those that are trained."""
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(weights[name])

    def _clip(self) -> float:
        """Return the norm of the gradient, which is no longer than allowed afterwards.

        Raises:
            TrainingError: If it is not finite and no scaler is there to skip the step.
        """
        trained = [each for each in self.module.parameters() if each.grad is not None]
        limit = self._options.clip or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(trained, limit))
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise TrainingError(
                f"expected a finite gradient, got {norm}: take lower learning rates"
            )
        return norm

    def _move(self) -> bool:
        """Return whether the step was skipped."""
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        skipped = bool(self.scaler.get_scale() < before)
        if not skipped:
            self.schedule.step()
        return skipped
