"""Checkpoint → module whose weights can be trained, and back. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch  # noqa: TID253 - computes with tensors; `train` imports it when it runs
from numpy.typing import NDArray

from vespa_colbert.checkpoint import Checkpoint, ProjectionLayer
from vespa_colbert.errors import TrainingError
from vespa_colbert.model import build_encoder
from vespa_colbert.model.accounting import assign_weights
from vespa_colbert.model.contextual import ContextualEncoder
from vespa_colbert.train.settings import Device, TrainingOptions

__all__ = ["device_of", "trainable_module", "trained_checkpoint"]


def device_of(asked: Device) -> str:
    """Return where a run is computed.

    Raises:
        TrainingError: If a GPU is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if asked is Device.CUDA and not there:
        raise TrainingError("device: expected a CUDA GPU, got none that torch can use; take cpu")
    return "cuda" if there and asked is not Device.CPU else "cpu"


def trainable_module(
    checkpoint: Checkpoint, device: str, *, with_encoder: bool
) -> ContextualEncoder:
    """Return encoder and head on a device; what is trained needs a gradient.

    An encoder that is trained has the dropout that its config says, a frozen one none.

    Raises:
        CheckpointError: If transformers does not know the architecture.
        MissingWeightError: If a tensor is left over or missing.
        MissingExtraError: If torch or transformers is not installed.
    """
    module: ContextualEncoder = build_encoder(checkpoint)
    module.to(device)
    module.projection.requires_grad_(requires_grad=True)
    module.encoder.requires_grad_(requires_grad=with_encoder)
    module.train(with_encoder)
    return module


def trained_checkpoint(
    checkpoint: Checkpoint, module: ContextualEncoder, options: TrainingOptions
) -> Checkpoint:
    """Return the checkpoint with the weights of a module.

    Args:
        checkpoint: What the module was built from.
        module: The trained one.
        options: Say whether the encoder was trained.
    """
    state = {name: _array(tensor) for name, tensor in module.projection.state_dict().items()}
    projection = tuple(
        _layer(layer, state, place) for place, layer in enumerate(checkpoint.projection)
    )
    if not options.with_encoder:
        return replace(checkpoint, projection=projection)
    weights = _encoder_weights(checkpoint, module)
    encoder = replace(checkpoint.encoder, weights=weights, dtypes=("F32",))
    return replace(checkpoint, projection=projection, encoder=encoder)


def _layer(
    layer: ProjectionLayer, state: Mapping[str, NDArray[np.float32]], place: int
) -> ProjectionLayer:
    return replace(
        layer,
        weight=state[f"{place}.linear.weight"],
        bias=state.get(f"{place}.linear.bias"),
        residual_weight=state.get(f"{place}.residual.weight"),
    )


def _encoder_weights(
    checkpoint: Checkpoint, module: ContextualEncoder
) -> Mapping[str, NDArray[Any]]:
    """Return the encoder's tensors by the names that its file gives them; others stay."""
    state = module.encoder.state_dict()
    stored = checkpoint.encoder.weights
    assignment = assign_weights(
        {name: array.shape for name, array in stored.items()},
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        module.encoder.base_model_prefix,
    )
    moved = {
        source: _array(state[name])
        for name, source in assignment.sources.items()
        if state[name].is_floating_point()
    }
    return {name: moved.get(name, array) for name, array in stored.items()}


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().contiguous().numpy().copy()
    return array
