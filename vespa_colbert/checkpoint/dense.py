"""One projection layer in a folder of its own: ``config.json`` and ``model.safetensors``.

Activations are looked up in a table by the dotted name that the config holds; nothing is imported.
Source: Dense.forward and Dense.load, PyLate 1.4.0; Dense, sentence-transformers 6.2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.facts import ProjectionLayer
from vespa_colbert.checkpoint.folder import JsonObject, read_object
from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.safetensors_file import read_weights
from vespa_colbert.checkpoint.torch_file import read_any_weights
from vespa_colbert.errors import CheckpointError, MissingWeightError

__all__ = [
    "ACTIVATION_NAMES",
    "POOLED_VECTOR",
    "TOKEN_ROWS",
    "dense_config",
    "dense_tensors",
    "read_dense",
]

ACTIVATION_NAMES = {
    "identity": "torch.nn.modules.linear.Identity",
    "tanh": "torch.nn.modules.activation.Tanh",
    "gelu": "torch.nn.modules.activation.GELU",
    "relu": "torch.nn.modules.activation.ReLU",
}
"""Activation → the dotted name that is written."""

ACTIVATIONS = {name: activation for activation, name in ACTIVATION_NAMES.items()} | {
    "torch.nn.Identity": "identity",
    "torch.nn.Tanh": "tanh",
    "torch.nn.GELU": "gelu",
    "torch.nn.ReLU": "relu",
}
KEYS = frozenset({"in_features", "out_features", "bias", "activation_function", "use_residual"})
ROUTING_KEYS = frozenset({"module_input_name", "module_output_name"})
TOKEN_ROWS, POOLED_VECTOR = "token_embeddings", "sentence_embedding"
"""What a layer may work on."""


def read_dense(
    folder: Path, options: ReadOptions | None = None, *, fed_by: str = TOKEN_ROWS
) -> tuple[ProjectionLayer, Path]:
    """Return the layer in ``folder`` and its weights file.

    Args:
        folder: Of the module.
        options: Says whether the weights may be a torch file; never, if absent.
        fed_by: What the layer must work on, as the library calls it.

    Raises:
        CheckpointError: If a file is missing or damaged, a key or activation is not known, or the
            weights are not as wide as the config says.
    """
    where = f"{folder.name}/config.json"
    config = read_object(folder.parent, where)
    _check_keys(config, where, fed_by)
    activation = config.text("activation_function")
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"{where}: activation_function: expected one of {', '.join(sorted(ACTIVATIONS))}, got "
            f"{activation!r}; nothing that a config names is imported"
        )
    files = read_weights(folder) if options is None else read_any_weights(folder, options)
    shapes = _expected_shapes(config)
    _check_tensors(files.tensors, shapes, folder)
    return ProjectionLayer(
        weight=files.tensors["linear.weight"],
        bias=files.tensors.get("linear.bias"),
        activation=ACTIVATIONS[activation],
        residual=config.flag("use_residual", default=False),
        residual_weight=files.tensors.get("residual.weight"),
    ), files.paths[0]


def dense_config(layer: ProjectionLayer) -> dict[str, Any]:
    """Return the ``config.json`` of a layer."""
    return {
        "in_features": layer.in_features,
        "out_features": layer.out_features,
        "bias": layer.bias is not None,
        "activation_function": ACTIVATION_NAMES[layer.activation],
        "use_residual": layer.residual,
    }


def dense_tensors(layer: ProjectionLayer) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a layer by the names that its file gives them."""
    tensors = {
        "linear.weight": layer.weight,
        "linear.bias": layer.bias,
        "residual.weight": layer.residual_weight,
    }
    return {name: array for name, array in tensors.items() if array is not None}


def _check_keys(config: JsonObject, where: str, fed_by: str) -> None:
    """Return nothing if the config says only what is understood.

    Raises:
        CheckpointError: For a key that may change the result, or a layer that works on something
            else.
    """
    if unknown := config.values.keys() - KEYS - ROUTING_KEYS:
        raise CheckpointError(
            f"{where}: expected only {', '.join(sorted(KEYS))}, got {', '.join(sorted(unknown))}"
        )
    for key in sorted(ROUTING_KEYS):
        if config.text(key, fed_by) != fed_by:
            works_on = "token rows" if fed_by == TOKEN_ROWS else "the pooled vector"
            raise CheckpointError(
                f"{where}: {key}: expected {fed_by!r}, got {config.text(key)!r}: "
                f"the layer does not work on {works_on}"
            )


def _expected_shapes(config: JsonObject) -> dict[str, tuple[int, ...]]:
    width, dim = config.integer("in_features"), config.integer("out_features")
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (dim, width)}
    if config.flag("bias", default=True):
        shapes["linear.bias"] = (dim,)
    if config.flag("use_residual", default=False) and width != dim:
        shapes["residual.weight"] = (dim, width)
    return shapes


def _check_tensors(
    tensors: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> None:
    """Return nothing if the file holds exactly the tensors that the config asks for.

    Raises:
        MissingWeightError: If a tensor is absent or goes nowhere.
        CheckpointError: If one has another shape or is no float.
    """
    if tensors.keys() != shapes.keys():
        raise MissingWeightError(
            f"{folder}: expected the tensors {', '.join(sorted(shapes))} as config.json says, "
            f"got {', '.join(sorted(tensors))}"
        )
    for name, shape in shapes.items():
        array = tensors[name]
        if array.shape != shape or array.dtype != np.float32:
            raise CheckpointError(
                f"{folder}: {name}: expected a float tensor of shape {shape} as config.json says, "
                f"got {array.dtype} {array.shape}"
            )
