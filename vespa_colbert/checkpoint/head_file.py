"""A projection that lies in one file beside an encoder: safetensors, or a torch file if allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.facts import ProjectionLayer
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.safetensors_file import read_weights_file
from vespa_colbert.checkpoint.torch_file import read_torch_tensors, require_pickle_allowed
from vespa_colbert.errors import CheckpointError, MissingWeightError

__all__ = ["check_matrix", "read_head_file"]

PREFIX = "linear."
MATRIX_DIMENSIONS = 2


def read_head_file(path: Path, options: ReadOptions, *, bias_wanted: bool) -> ProjectionLayer:
    """Return the layer ``weight · row + bias`` of a head file.

    Args:
        path: A file with ``weight`` and maybe ``bias``, or the same two after ``linear.``.
        options: Says whether a torch file may be opened.
        bias_wanted: Whether a bias has to be there.

    Raises:
        CheckpointError: If the file is damaged, may not be opened, or holds no such layer.
        MissingWeightError: If a tensor is absent or goes nowhere.
    """
    if path.suffix == ".safetensors":
        tensors = dict(read_weights_file(path).tensors)
    else:
        require_pickle_allowed(path, options)
        tensors = read_torch_tensors(path)
    weight, bias = _weight_and_bias(path, tensors)
    if bias_wanted and bias is None:
        raise MissingWeightError(f"{path}: expected the tensors weight and bias, got weight alone")
    _check_shapes(path, weight, bias)
    return ProjectionLayer(weight=weight, bias=bias)


def check_matrix(weight: NDArray[Any], where: str) -> None:
    """Return nothing if the weight of a layer is a float matrix.

    Raises:
        CheckpointError: With what is there.
    """
    if weight.dtype != np.float32 or weight.ndim != MATRIX_DIMENSIONS or 0 in weight.shape:
        raise CheckpointError(
            f"{where}: expected a float matrix, got {weight.dtype} {weight.shape}"
        )


def _weight_and_bias(
    path: Path, tensors: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the two tensors of the layer.

    Raises:
        MissingWeightError: If there are others, or no weight.
    """
    prefix = PREFIX if PREFIX + "weight" in tensors else ""
    wanted = {prefix + "weight", prefix + "bias"}
    if prefix + "weight" not in tensors or tensors.keys() - wanted:
        raise MissingWeightError(
            f"{path}: expected the tensors weight and maybe bias, or linear.weight and "
            f"linear.bias, got {', '.join(sorted(tensors))[:500]}"
        )
    return tensors[prefix + "weight"], tensors.get(prefix + "bias")


def _check_shapes(path: Path, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
    """Return nothing if the weight is a float matrix and the bias has a value for each of its rows.

    Raises:
        CheckpointError: With what is there.
    """
    check_matrix(weight, f"{path}: weight")
    if bias is not None and (bias.dtype != np.float32 or bias.shape != weight.shape[:1]):
        raise CheckpointError(
            f"{path}: bias: expected a float tensor of shape {weight.shape[:1]}, a value for each "
            f"row of weight, got {bias.dtype} {bias.shape}"
        )
