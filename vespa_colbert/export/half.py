"""A graph in half precision whose rows are nevertheless finished in float32.

The nodes behind the last matrix product (normalisation, and an exact graph's choice of rows and
their lengths) are cut off, the rest is converted, and they are put back: the converter would keep
named nodes in float32 and still round their result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vespa_colbert.errors import ExportError, MissingExtraError

__all__ = ["to_half"]

PRODUCTS = frozenset({"MatMul", "Gemm"})
COPY = "float32_{}"
"""Name in the cut part of a constant that the rest may use too, there in half precision."""


def to_half(path: Path) -> None:
    """Rewrite an ONNX file in half precision; inputs and output keep their types.

    Raises:
        ExportError: If no matrix product goes into the output.
        MissingExtraError: If onnx or onnxruntime is not installed.
    """
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "onnx") from error
    model = onnx.load(str(path))
    types = _element_types(onnx.shape_inference.infer_shapes(model).graph)
    last = onnx.ValueInfoProto()
    last.CopyFrom(model.graph.output[0])
    tail = _cut(model.graph, _finishing_nodes(model.graph), types)
    half = convert_float_to_float16(model, keep_io_types=True)
    del half.graph.output[:]
    half.graph.output.append(last)
    half.graph.node.extend(tail.node)
    half.graph.initializer.extend(tail.initializer)
    onnx.save(half, str(path))


def _element_types(graph: Any) -> dict[str, int]:
    """Return name → number of onnx.TensorProto of every value whose type is known."""
    values = (*graph.input, *graph.output, *graph.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def _finishing_nodes(graph: Any) -> list[Any]:
    """Return the nodes that only the output depends on, up to the matrix products before them.

    Raises:
        ExportError: If there is no such product.
    """
    output = graph.output[0].name
    users: dict[str, int] = {output: 1}
    for node in graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    found, taken, products = list[Any](), {output: 1}, 0
    for node in reversed(graph.node):
        reached = any(name in taken for name in node.output)
        if reached and node.op_type in PRODUCTS:
            products += 1
        elif reached and all(taken.get(name, 0) == users.get(name, 0) for name in node.output):
            found.insert(0, node)
            for name in node.input:
                taken[name] = taken.get(name, 0) + 1
    if not products:
        raise ExportError("expected a matrix product before the normalisation, found none")
    return found


def _cut(graph: Any, nodes: list[Any], types: dict[str, int]) -> Any:
    """Return nodes with the constants that they need, taken out of the graph.

    What goes from the rest into them is the graph's output then, without a shape: an edge is not as
    wide as the output was.
    """
    import onnx

    tail = onnx.GraphProto()
    for node in nodes:
        graph.node.remove(node)
    made = {name for node in nodes for name in node.output}
    copied = _copy_constants(graph, {name for node in nodes for name in node.input}, tail)
    tail.node.extend(nodes)
    for node in tail.node:
        node.input[:] = [copied.get(name, name) for name in node.input]
    given = {value.name for value in graph.input} | made | set(copied.values()) | {""}
    edges = dict.fromkeys(name for node in tail.node for name in node.input if name not in given)
    for value in [each for each in graph.value_info if each.name in made]:
        graph.value_info.remove(value)
    del graph.output[:]
    graph.output.extend(
        onnx.helper.make_tensor_value_info(name, types.get(name, onnx.TensorProto.FLOAT), None)
        for name in edges
    )
    _drop_unused(graph)
    return tail


def _copy_constants(graph: Any, needed: set[str], tail: Any) -> dict[str, str]:
    """Return name → name of its copy, for the constants that were copied to the cut part."""
    copied: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.name in needed:
            copied[tensor.name] = COPY.format(tensor.name)
            tail.initializer.add().CopyFrom(tensor)
            tail.initializer[-1].name = copied[tensor.name]
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in needed:
            copied[node.output[0]] = COPY.format(node.output[0])
            tail.node.add().CopyFrom(node)
            tail.node[-1].name = COPY.format(node.name)
            tail.node[-1].output[:] = [copied[node.output[0]]]
    return copied


def _drop_unused(graph: Any) -> None:
    """Take out the initializers and constants that nothing uses any more."""
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    for tensor in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(tensor)
    for node in [each for each in graph.node if each.op_type == "Constant"]:
        if node.output[0] not in used:
            graph.node.remove(node)
