"""What the ONNX file must look like before anybody runs it: names, types, axes, opset, one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.errors import GraphMismatchError
from vespa_colbert.export.convert import INPUT_NAMES, OUTPUT_NAME

__all__ = ["MAX_IR_VERSION", "MAX_OPSET", "GraphFacts", "check_graph"]

# What ONNX Runtime 1.23.2 loads, the version that Vespa 8.700.24 pins.
MAX_OPSET = 23
MAX_IR_VERSION = 11
AXES = ("batch", "sequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFacts:
    """What the manifest says of the graph.

    Attributes:
        opset: Version of the operator set.
        ir_version: Version of the file format.
        nodes: Operators in the graph.
        inputs: Name → axes.
        outputs: Name → axes.
        dtype: Of the weights.
    """

    opset: int
    ir_version: int
    nodes: int
    inputs: dict[str, list[str | int]]
    outputs: dict[str, list[str | int]]
    dtype: str = "float32"


def check_graph(path: Path, dim: int, opset: int) -> GraphFacts:
    """Return the facts of the graph if it is one that Vespa's embedder can use.

    Args:
        path: The ONNX file.
        dim: Width of a token vector, in components.
        opset: The operator set that was asked for.

    Raises:
        GraphMismatchError: If the file is not valid, has other inputs, outputs or axes than
            wanted, or needs a newer ONNX Runtime or a second file.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path))
        model = onnx.load(str(path), load_external_data=False)
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise GraphMismatchError(f"the exported graph is not valid ONNX: {error}") from error
    _check_versions(model, opset)
    facts = GraphFacts(
        opset=model.opset_import[0].version,
        ir_version=model.ir_version,
        nodes=len(model.graph.node),
        inputs=_axes(model.graph.input, onnx.TensorProto.INT64),
        outputs=_axes(model.graph.output, onnx.TensorProto.FLOAT),
    )
    wanted_inputs = {name: [*AXES] for name in INPUT_NAMES}
    if facts.inputs != wanted_inputs or list(facts.inputs) != list(INPUT_NAMES):
        raise GraphMismatchError(f"expected the inputs {wanted_inputs}, got {facts.inputs}")
    if facts.outputs != {OUTPUT_NAME: [*AXES, dim]}:
        raise GraphMismatchError(
            f"expected the output {{{OUTPUT_NAME!r}: {[*AXES, dim]}}}, got {facts.outputs}"
        )
    if any(weight.data_location == onnx.TensorProto.EXTERNAL for weight in model.graph.initializer):
        raise GraphMismatchError("expected all weights in one file, got some in a second one")
    return facts


def _check_versions(model: Any, opset: int) -> None:
    """Return nothing if the operator set is the one asked for and Vespa loads the file format.

    Raises:
        GraphMismatchError: With both versions.
    """
    domains = {entry.domain: entry.version for entry in model.opset_import}
    if set(domains) != {""}:
        raise GraphMismatchError(f"expected operators of ONNX alone, got those of {domains}")
    if domains[""] != opset or model.ir_version > MAX_IR_VERSION:
        raise GraphMismatchError(
            f"expected opset {opset} and IR version ≤ {MAX_IR_VERSION}, got opset "
            f"{domains['']} and IR version {model.ir_version}"
        )


def _axes(values: Any, dtype: int) -> dict[str, list[str | int]]:
    """Return name → axes of inputs or outputs.

    Raises:
        GraphMismatchError: If one has another element type.
    """
    for value in values:
        if value.type.tensor_type.elem_type != dtype:
            raise GraphMismatchError(
                f"{value.name}: expected element type {dtype}, "
                f"got {value.type.tensor_type.elem_type} (numbers of onnx.TensorProto)"
            )
    return {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in values
    }
