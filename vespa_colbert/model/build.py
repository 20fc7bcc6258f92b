"""Building the module of a checkpoint: architecture from config, every number from its files."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from vespa_colbert.checkpoint import Checkpoint, Encoder
from vespa_colbert.errors import CheckpointError, MissingExtraError
from vespa_colbert.model.accounting import IGNORABLE, assign_weights

if TYPE_CHECKING:
    from vespa_colbert.model.contextual import ContextualEncoder
    from vespa_colbert.model.exact import ExactEncoder

__all__ = ["build_encoder", "build_exact_encoder", "empty_module", "load_module"]

logger = logging.getLogger(__name__)


def build_encoder(checkpoint: Checkpoint, *, dims: int | None = None) -> ContextualEncoder:
    """Return the torch module of a checkpoint: float32, in evaluation mode, on the CPU.

    Args:
        checkpoint: What to build.
        dims: How many of the first components make a token vector, normalised again; None for all.

    Raises:
        CheckpointError: If transformers does not know the architecture, or refuses the config.
        MissingWeightError: If a tensor of the file goes nowhere or one of the model is not in it.
        MissingExtraError: If torch or transformers is not installed.
    """
    try:
        from vespa_colbert.model.contextual import ContextualEncoder
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "torch") from error
    encoder = load_module(checkpoint.path, checkpoint.encoder)
    module = ContextualEncoder(encoder, checkpoint.projection, dims)
    module.requires_grad_(requires_grad=False)
    module.eval()
    return module


def build_exact_encoder(checkpoint: Checkpoint, *, dims: int | None = None) -> ExactEncoder:
    """Return the torch module of a checkpoint with the training library's semantics around it.

    Args:
        checkpoint: What to build; its markers are both there or both absent.
        dims: How many of the first components make a token vector, normalised again; None for all.

    Raises:
        CheckpointError: If transformers does not know the architecture, or refuses the config.
        MissingWeightError: If a tensor of the file goes nowhere or one of the model is not in it.
        MissingExtraError: If torch or transformers is not installed.
    """
    inner = build_encoder(checkpoint, dims=dims)
    from vespa_colbert.model.exact import ExactEncoder

    module = ExactEncoder(inner, checkpoint)
    module.eval()
    return module


def load_module(
    path: Path,
    encoder: Encoder,
    auto: str = "AutoModel",
    ignorable: Mapping[str, str] = IGNORABLE,
) -> Any:
    """Return transformers' module with the weights of the checkpoint.

    Args:
        path: What errors call the checkpoint.
        encoder: Config and weights.
        auto: Name of the class of transformers that knows the architecture.
        ignorable: Pattern of names of tensors that may go nowhere → why.

    Raises:
        CheckpointError: If the architecture or its config is refused.
        MissingWeightError: If a tensor is unused, missing or of another shape.
    """
    try:
        return _loaded(encoder, auto, ignorable)
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from error


def _loaded(encoder: Encoder, auto: str, ignorable: Mapping[str, str]) -> Any:
    import torch

    module = empty_module(encoder, auto)
    state = module.state_dict()
    assignment = assign_weights(
        {name: array.shape for name, array in encoder.weights.items()},
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        module.base_model_prefix if auto == "AutoModel" else "",
        ignorable,
    )
    with torch.no_grad():
        for name, source in assignment.sources.items():
            _fill(state[name], encoder.weights[source], source)
    logger.info(
        "%s: %d tensors loaded, %d ignored",
        type(module).__name__,
        len(assignment.sources),
        len(assignment.ignored),
    )
    return module


def _fill(tensor: Any, array: NDArray[Any], source: str) -> None:
    """Copy an array into a tensor of the module.

    Raises:
        CheckpointError: If one holds floats and the other does not.
    """
    import torch

    if tensor.is_floating_point() != (array.dtype.kind == "f"):
        raise CheckpointError(f"{source}: expected values of {tensor.dtype}, got {array.dtype}")
    tensor.copy_(torch.tensor(array))


def empty_module(encoder: Encoder, auto: str = "AutoModel") -> Any:
    """Return the architecture that the config describes, its weights still to be filled in.

    Args:
        encoder: The config; its weights are not looked at.
        auto: Name of the class of transformers that knows the architecture.

    Raises:
        CheckpointError: If transformers does not know the architecture, or refuses the config.
        MissingExtraError: If transformers is not installed.
    """
    try:
        import torch
        import transformers

        from vespa_colbert.model.attention import attention_of
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "transformers") from error
    values = {key: value for key, value in encoder.config.items() if key != "model_type"}
    try:
        config = transformers.AutoConfig.for_model(encoder.model_type, **values)
        config.use_cache = False
        chosen = getattr(transformers, auto)
        architecture = chosen._model_mapping[type(config)]
        options = {"attn_implementation": attention_of(architecture), "dtype": torch.float32}
        if "add_pooling_layer" in inspect.signature(architecture.__init__).parameters:
            options["add_pooling_layer"] = False
        return chosen.from_config(config, **options)
    except Exception as error:  # what a config can break in there has no common base
        raise CheckpointError(
            f"config.json: expected an encoder that transformers {transformers.__version__} "
            f"builds, got model_type {encoder.model_type!r} ({error})"
        ) from error
