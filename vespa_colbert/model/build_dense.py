"""Building the module of a dense model: every number comes from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint
from vespa_colbert.errors import MissingExtraError
from vespa_colbert.model.build import load_module

if TYPE_CHECKING:
    from vespa_colbert.model.dense import HiddenRows, PooledVectors

__all__ = ["build_dense"]


def build_dense(
    checkpoint: DenseCheckpoint, *, pooled: bool, dims: int | None = None
) -> HiddenRows | PooledVectors:
    """Return the torch module of a dense checkpoint: float32, in evaluation mode, on the CPU.

    Args:
        checkpoint: What to build.
        pooled: Whether it gives one vector a text, or the encoder's rows.
        dims: How many of the first components of the vector are left; None for all.

    Raises:
        CheckpointError: If transformers does not know the architecture, or refuses the config.
        MissingWeightError: If a tensor of the file goes nowhere or one of the model is not in it.
        MissingExtraError: If torch or transformers is not installed.
    """
    try:
        from vespa_colbert.model.dense import HiddenRows, PooledVectors
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "torch") from error
    encoder = load_module(checkpoint.path, checkpoint.encoder)
    module = HiddenRows(encoder)
    if pooled:
        module = PooledVectors(
            encoder,
            checkpoint.pooling,
            checkpoint.projection,
            normalize=checkpoint.normalize,
            dims=None if dims == checkpoint.width else dims,
        )
    module.requires_grad_(requires_grad=False)
    module.eval()
    return module
