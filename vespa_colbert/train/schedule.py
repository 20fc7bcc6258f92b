"""Optimizer and learning rates: AdamW, a linear warm-up, then half a cosine down to 0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vespa_colbert.errors import MissingExtraError
from vespa_colbert.train.settings import TrainingOptions

if TYPE_CHECKING:
    from vespa_colbert.model.contextual import ContextualEncoder

__all__ = ["build_optimizer", "build_schedule"]

MATRIX_DIMENSIONS = 2


def build_optimizer(module: ContextualEncoder, options: TrainingOptions) -> Any:
    """Return AdamW over the module's parameters that need a gradient.

    Vectors (biases, scales of normalisations) are not decayed.
    """
    import torch

    rates = {"projection": options.learning_rate, "encoder": options.encoder_learning_rate}
    groups: list[dict[str, Any]] = []
    for name, rate in rates.items():
        trained = [each for each in getattr(module, name).parameters() if each.requires_grad]
        for decay, parameters in (
            (options.weight_decay, [p for p in trained if p.ndim >= MATRIX_DIMENSIONS]),
            (0.0, [p for p in trained if p.ndim < MATRIX_DIMENSIONS]),
        ):
            if parameters:
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def build_schedule(optimizer: Any, options: TrainingOptions, steps: int) -> Any:
    """Return the schedule of the optimizer's learning rates.

    Args:
        optimizer: What has the rates.
        options: Says the share of warm-up.
        steps: Of the whole run.

    Raises:
        MissingExtraError: If transformers is not installed.
    """
    try:
        from transformers import get_cosine_schedule_with_warmup
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "transformers") from error
    warm_up = math.ceil(options.warm_up * steps)
    return get_cosine_schedule_with_warmup(optimizer, warm_up, steps)
