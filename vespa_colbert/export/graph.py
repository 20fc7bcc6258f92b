"""What the ONNX file must look like before anybody runs it: names, types, axes, opset, one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.errors import GraphMismatchError
from vespa_colbert.export.graph_form import INPUT_AXES, GraphForm
from vespa_colbert.export.runtimes import Runtime

__all__ = ["GraphFacts", "GraphWish", "check_graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphWish:
    """What a graph is to be.

    Attributes:
        form: Its inputs and its output.
        opset: Version of ONNX's operator set.
        runtime: What must load it.
        domains: Where its operators may come from beside ONNX.
    """

    form: GraphForm
    opset: int
    runtime: Runtime
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFacts:
    """What the manifest says of the graph.

    Attributes:
        opset: Version of the operator set.
        ir_version: Version of the file format.
        nodes: Operators in the graph.
        inputs: Name → axes.
        outputs: Name → axes.
        domains: Where operators come from beside ONNX.
    """

    opset: int
    ir_version: int
    nodes: int
    inputs: dict[str, list[str | int]]
    outputs: dict[str, list[str | int]]
    domains: list[str]


def check_graph(path: Path, wish: GraphWish) -> GraphFacts:
    """Return the facts of the graph if it is one that Vespa can use.

    Args:
        path: The ONNX file.
        wish: What it is to be.

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
    opset = _opset(model, wish)
    facts = GraphFacts(
        opset=opset,
        ir_version=model.ir_version,
        nodes=len(model.graph.node),
        inputs=_axes(model.graph.input, onnx.TensorProto.INT64),
        outputs=_axes(model.graph.output, onnx.TensorProto.FLOAT),
        domains=sorted(_domains(model)),
    )
    form = wish.form
    wanted_inputs = {name: [*INPUT_AXES] for name in form.inputs}
    if facts.inputs != wanted_inputs or tuple(facts.inputs) != form.inputs:
        raise GraphMismatchError(f"expected the inputs {wanted_inputs}, got {facts.inputs}")
    if facts.outputs != {form.output: [*form.axes]}:
        raise GraphMismatchError(
            f"expected the output {{{form.output!r}: {[*form.axes]}}}, got {facts.outputs}"
        )
    if any(weight.data_location == onnx.TensorProto.EXTERNAL for weight in model.graph.initializer):
        raise GraphMismatchError("expected all weights in one file, got some in a second one")
    return facts


def _opset(model: Any, wish: GraphWish) -> int:
    """Return the operator set if it is the one asked for and the wanted runtime loads the file.

    Raises:
        GraphMismatchError: With both versions.
    """
    if more := _domains(model) - wish.domains:
        raise GraphMismatchError(
            f"expected operators of ONNX{''.join(f' and {each}' for each in sorted(wish.domains))} "
            f"alone, got those of {', '.join(sorted(more))}"
        )
    opset = next((int(each.version) for each in model.opset_import if not each.domain), 0)
    runtime = wish.runtime
    if opset != wish.opset or opset > runtime.opset or model.ir_version > runtime.ir_version:
        raise GraphMismatchError(
            f"expected opset {wish.opset} and, for Vespa {runtime.vespa} (ONNX Runtime "
            f"{runtime.onnxruntime}), opset ≤ {runtime.opset} and IR version ≤ "
            f"{runtime.ir_version}, got opset {opset} and IR version {model.ir_version}"
        )
    return opset


def _domains(model: Any) -> set[str]:
    """Return where operators come from beside ONNX."""
    stamped = {entry.domain for entry in model.opset_import}
    return (stamped | {node.domain for node in model.graph.node}) - {"", "ai.onnx"}


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
