"""What a training run may be told. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

from vespa_colbert.errors import SpecError, TrainingError
from vespa_colbert.train.batches import BatchOptions

if TYPE_CHECKING:
    from vespa_colbert.train.losses import LossOptions

__all__ = [
    "Control",
    "Device",
    "HeadStart",
    "OutputLayout",
    "Precision",
    "StoppedError",
    "Track",
    "TrainingOptions",
    "silent",
]

GIB = 1 << 30

OutputLayout: TypeAlias = Literal["same", "stand-alone", "pylate"]
"""``same`` is the source's, every other file as it was; ``stand-alone`` has safetensors alone and
nothing of other heads; ``pylate`` is what PyLate and sentence-transformers read."""

Track: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Label and total → a context whose value is called with the number of items done."""


class StoppedError(TrainingError):
    """A run was asked to stop; what it says is where its state is."""


def silent(_label: str, _total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Return a context whose value ignores the progress that it hears of."""
    return nullcontext(lambda _done: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How a run is followed and held.

    Attributes:
        resume: Whether the state that is there is gone on from; where none is, the run begins.
        track: Hears of the progress.
        should_stop: Asked after each step; the state is saved then.
    """

    resume: bool = False
    track: Track = silent
    should_stop: Callable[[], bool] = lambda: False


class HeadStart(StrEnum):
    """What the training of a head begins with; the values are what a recipe says."""

    OWN = "own"
    NEW = "new"


class Precision(StrEnum):
    """In which type products are computed; weights and sums stay float32."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Device(StrEnum):
    """Where it is computed."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How a checkpoint is trained.

    Attributes:
        loss: What is made small. Its scores are means where the checkpoint's are.
        batch: How rows become batches; its seed is that of everything.
        with_encoder: Whether the encoder is trained too; else its rows are computed once.
        head: Whether training begins with the checkpoint's head or with a new one.
        dims: Width of the token vectors; None for the head's own.
        epochs: How often every example is seen.
        learning_rate: Of the head, after warm-up.
        encoder_learning_rate: Of the encoder.
        weight_decay: Of weights; biases and normalisations have none.
        warm_up: Share of the steps in which the rates rise to those above.
        clip: Largest norm of a step's gradient; 0 for no limit.
        accumulate: Batches whose gradients make one step.
        texts_at_once: Texts that go through an encoder in training together, whose activations are
            computed again for the gradient (gradient caching); 0 for all of a batch, kept.
        precision: Of products.
        device: Where; ``auto`` is a GPU if there is one.
        save_every: Steps from one saved state to the next.
        evaluate_every: Steps from one evaluation to the next; 0 for one at the end of each epoch.
        patience: Evaluations without improvement after which the run ends; 0 for none.
        memory_bytes: Most memory for the rows of a frozen encoder; more are kept in a file.
        disk_bytes: The largest such file.
    """

    loss: LossOptions
    batch: BatchOptions = field(default_factory=BatchOptions)
    with_encoder: bool = False
    head: HeadStart = HeadStart.OWN
    dims: int | None = None
    epochs: int = 1
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 1e-5
    weight_decay: float = 0.01
    warm_up: float = 0.05
    clip: float = 1.0
    accumulate: int = 1
    texts_at_once: int = 0
    precision: Precision = Precision.FP32
    device: Device = Device.AUTO
    save_every: int = 200
    evaluate_every: int = 0
    patience: int = 0
    memory_bytes: int = 2 * GIB
    disk_bytes: int = 64 * GIB

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SpecError: With every one that cannot be.
        """
        whole = {
            **dict.fromkeys(("epochs", "accumulate", "save_every"), 1),
            **dict.fromkeys(("texts_at_once", "evaluate_every", "patience"), 0),
            **dict.fromkeys(("memory_bytes", "disk_bytes"), 0),
        }
        faults = [
            f"{name}: expected {least} at least, got {getattr(self, name)}"
            for name, least in whole.items()
            if getattr(self, name) < least
        ]
        if self.dims is not None and self.dims < 1:
            faults.append(f"dims: expected 1 at least, got {self.dims}")
        faults += [
            f"{name}: expected a positive number, got {getattr(self, name)}"
            for name in ("learning_rate", "encoder_learning_rate")
            if not 0 < getattr(self, name) < math.inf
        ]
        faults += [
            f"{name}: expected 0 or a positive number, got {getattr(self, name)}"
            for name in ("weight_decay", "clip")
            if not 0 <= getattr(self, name) < math.inf
        ]
        if not 0 <= self.warm_up < 1:
            faults.append(f"warm_up: expected a share from 0 to below 1, got {self.warm_up}")
        if faults:
            raise SpecError("the training cannot be done", tuple(faults))
