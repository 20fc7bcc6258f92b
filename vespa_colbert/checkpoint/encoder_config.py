"""``config.json`` of an encoder: what it may not ask for, and sizes that the weights bear out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from vespa_colbert.checkpoint.folder import JsonObject
from vespa_colbert.errors import CheckpointError

__all__ = ["check_config", "check_sizes"]

LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
SHARED_LAYERS = "num_hidden_groups"
"""A config with this key (ALBERT's) may have more layers than tensors."""
SIZE_KEYS = (
    *("hidden_size", "dim", "d_model", "n_embd", "embedding_size"),
    *("intermediate_size", "hidden_dim", "n_inner", "d_ff"),
    *("vocab_size", "type_vocab_size"),
)
"""What a tensor of the encoder has for a dimension."""
SHOWN = 300


def check_config(config: JsonObject) -> None:
    """Return nothing if the encoder is one that transformers has built in, stored as floats.

    Raises:
        CheckpointError: If the config names code of the checkpoint's own, or quantised weights.
    """
    if remote := config.values.get("auto_map"):
        raise CheckpointError(
            f"{config.name}: expected an architecture that transformers has built in, got auto_map "
            f"({_named(remote)}), code of the checkpoint's own, which is not run; if the class of "
            "transformers for this model_type computes the same, take auto_map out of the file"
        )
    if quantised := config.values.get("quantization_config"):
        raise CheckpointError(
            f"{config.name}: expected float weights, got quantization_config "
            f"({json.dumps(quantised)[:SHOWN]}); save the model again without quantisation"
        )


def check_sizes(config: JsonObject, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Return nothing if no size is beyond what the weights can fill.

    Building the architecture takes memory for every size, so that an absurd one is not tried.

    Raises:
        CheckpointError: With the size and its limit.
    """
    largest = max((max(array.shape, default=1) for array in tensors.values()), default=1)
    # DeBERTa-v3 has no token types at all.
    zero = {"type_vocab_size"} if config.values.get("type_vocab_size") == 0 else set()
    for key in (key for key in SIZE_KEYS if key in config and key not in zero):
        _check_size(config, key, largest, "the largest dimension of its tensors")
    for key in (key for key in LAYER_KEYS if key in config and SHARED_LAYERS not in config):
        _check_size(config, key, len(tensors), "as many as the weights have tensors")


def _check_size(config: JsonObject, key: str, limit: int, meaning: str) -> None:
    """Return nothing if a size is from 1 to a limit.

    Raises:
        CheckpointError: With both.
    """
    if not 1 <= (size := config.integer(key)) <= limit:
        raise CheckpointError(
            f"{config.name}: {key}: expected 1 to {limit} ({meaning}), got {size}; config and "
            "weights are of different models"
        )


def _named(remote: object) -> str:
    values = remote.values() if isinstance(remote, dict) else [remote]
    return ", ".join(sorted(str(value) for value in values))[:SHOWN]
