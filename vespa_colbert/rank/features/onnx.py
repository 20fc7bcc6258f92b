"""``onnx(model).output``: a model of the application package, run for each document.

Whoever runs the graph is handed in: nothing here needs ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.profile import OnnxModel
from vespa_colbert.errors import ExpressionTypeError, UnknownFeatureError
from vespa_colbert.rank.algebra import DOCUMENTS
from vespa_colbert.rank.batches import batch_labels
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = [
    "OnnxGraph",
    "OpenOnnx",
    "dense_values",
    "graph_input",
    "graph_output",
    "normalized",
    "result_tensor",
    "run_graph",
]


class OnnxGraph(Protocol):
    """An opened ONNX model."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of its inputs."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of its outputs, in order."""

    def run(self, values: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """Return output → array, from input → array.

        Arrays are cast to the element type that the graph declares, as C casts numbers.
        """


OpenOnnx: TypeAlias = Callable[[Path], OnnxGraph]
"""A model file → the model, ready to run."""

CELL_TYPES = {
    "int8": CellType.INT8,
    "bfloat16": CellType.BFLOAT16,
    **dict.fromkeys(("int16", "uint8", "uint16", "float16", "float32"), CellType.FLOAT),
}
"""Element type of an output → cell type; any other becomes double.

Source: best_cell_type in onnx_wrapper.cpp, Vespa 8.700.24.
"""


def normalized(name: str) -> str:
    """Return a name of the graph as expressions write it where the model states no other.

    Source: normalize_name in onnx_feature.cpp, Vespa 8.700.24.
    """
    return "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in name)


def dense_values(tensor: Tensor, feature: str) -> tuple[bool, NDArray[np.generic]]:
    """Return whether a tensor differs by document, and its blocks: (document or 1, *shape).

    Args:
        tensor: With indexed dimensions only, and perhaps the batch.
        feature: Whose argument it is, for messages.

    Raises:
        ExpressionTypeError: If it has a mapped dimension.
    """
    indexed_batch = [each for each in tensor.type.dimensions if each.name == DOCUMENTS]
    if tensor.type.mapped == () and indexed_batch:
        place = 1 + tensor.type.indexed.index(DOCUMENTS)
        return True, np.moveaxis(tensor.values, place, 0)[:, 0]
    if tensor.type.mapped == ():
        return False, tensor.values
    if tensor.type.mapped != (DOCUMENTS,):
        user = [each for each in tensor.type.dimensions if each.name != DOCUMENTS]
        kind = TensorType(tensor.type.cell_type, tuple(user))
        raise ExpressionTypeError(f"{feature}: expected a dense tensor, got {kind}")
    blocks = np.zeros((len(tensor.labels[0]), *tensor.type.shape), tensor.values.dtype)
    blocks[tensor.codes[:, 0]] = tensor.values
    return True, blocks


def result_tensor(values: NDArray[np.generic], cell_type: CellType, *, is_batch: bool) -> Tensor:
    """Return a tensor with dimensions d0, d1 … from one array, or from one a document.

    Args:
        values: (document or 1, *shape).
        cell_type: Of its cells; a result without dimensions is a number.
        is_batch: Whether the first axis is the document.
    """
    shape = values.shape[1:]
    dimensions = tuple(Dimension(f"d{place}", size) for place, size in enumerate(shape))
    cell_type = cell_type if dimensions else CellType.DOUBLE
    if not is_batch:
        return Tensor.dense(TensorType(cell_type, dimensions), values[0])
    kind = TensorType(cell_type, (Dimension(DOCUMENTS), *dimensions))
    return Tensor.rows(kind, values, batch_labels(len(values)))


def graph_input(model: OnnxModel, name: str) -> str:
    """Return the expression that is put into an input of a model."""
    return dict(model.inputs).get(name, normalized(name))


def graph_output(model: OnnxModel, graph: OnnxGraph, feature: FeatureName) -> str:
    """Return the output of the graph that ``onnx(model).output`` names, the first if it names none.

    Raises:
        UnknownFeatureError: If the model has no output of that name.
    """
    names = dict(model.outputs)
    outputs = {names.get(each, normalized(each)): each for each in graph.outputs}
    wanted = feature.output or next(iter(outputs))
    if wanted not in outputs:
        known = ", ".join(outputs)
        raise UnknownFeatureError(f"{feature.text}: expected an output among {known}")
    return outputs[wanted]


def run_graph(graph: OnnxGraph, output: str, inputs: Mapping[str, Tensor], feature: str) -> Tensor:
    """Return an output of a model, computed once for each document.

    Args:
        graph: The model.
        output: Name of an output of the graph.
        inputs: Input of the graph → its value.
        feature: The feature, for messages.

    Raises:
        UnknownFeatureError: If the graph has no such output.

    Source: OnnxFeatureExecutor::execute, Vespa 8.700.24: one document at a time.
    """
    if output not in graph.outputs:
        raise UnknownFeatureError(
            f"{feature}: expected an output among {', '.join(graph.outputs)}, got {output!r}"
        )
    blocks = {name: dense_values(tensor, feature) for name, tensor in inputs.items()}
    is_batch = any(each for each, _ in blocks.values())
    times = max((len(values) for each, values in blocks.values() if each), default=1)
    found = [
        np.asarray(
            graph.run({
                name: values[document if each else 0] for name, (each, values) in blocks.items()
            })[output]
        )
        for document in range(times)
    ]
    if not found:
        raise UnknownFeatureError(f"{feature}: there is no document to run the model for")
    cell_type = CELL_TYPES.get(found[0].dtype.name, CellType.DOUBLE)
    return result_tensor(np.stack(found), cell_type, is_batch=is_batch)
