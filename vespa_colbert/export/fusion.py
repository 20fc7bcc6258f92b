"""Attention as one operator of ONNX Runtime where nothing is padded, for the BERT family.

Without a mask, its MultiHeadAttention goes through the tokens block by block and never writes the
scores of all pairs of tokens down; with one it does. So each layer chooses, call by call: where all
tokens are attended, as in a document, the operator without a mask; else, as in a query with
expansion, the nodes as they were. What comes out is compared with torch again, padded and not.

Source: MultiHeadAttention<T>::Compute, ONNX Runtime 1.23.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vespa_colbert.errors import ExportError, MissingExtraError
from vespa_colbert.export.attention_layers import (
    AttentionLayer,
    Graph,
    UnknownAttentionError,
    layer_around,
    only,
    read_graph,
)
from vespa_colbert.export.onnx_session import open_session

__all__ = ["FUSED_DOMAIN", "fuse_attention"]

FUSED_DOMAIN = "com.microsoft"
OPERATOR = "MultiHeadAttention"
WHOLE = "attention_is_whole"
"""Name of the value that is true where all tokens are attended."""
PROBED_TOKENS = 1024
"""Length of the text whose mask is looked at: more than the windows, outside of which tokens are
masked, of encoders with local attention (ModernBERT 128, Longformer 512)."""


def fuse_attention(path: Path) -> dict[str, int]:
    """Return operator → number of fused ones, after rewriting an ONNX file with them.

    Raises:
        ExportError: If not every attention can be fused.
        MissingExtraError: If onnx or onnxruntime is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "onnx") from error
    model = onnx.load(str(path))
    graph = read_graph(model.graph)
    try:
        layers = [
            layer_around(graph, node) for node in model.graph.node if node.op_type == "Softmax"
        ]
        mask = only({layer.mask for layer in layers}, "mask for all layers")
        attention = only(_attention_of(graph, mask), "tensor of attention behind the mask")
        _require_nothing_masked(model, graph, mask, attention)
    except UnknownAttentionError as error:
        wanted, got = error.args
        raise ExportError(
            f"expected {wanted}, as BERT and its like have it, got {got}: the fusion does not know "
            "this encoder; export without optimize"
        ) from None
    _write_choices(graph, layers, attention)
    model.opset_import.append(onnx.helper.make_opsetid(FUSED_DOMAIN, 1))
    onnx.save(model, str(path))
    return {OPERATOR: len(layers)}


def _attention_of(graph: Graph, mask: str) -> set[str]:
    """Return the tensors of which a mask takes the truth value: the attention, if all is well."""
    import onnx

    found, seen, todo = set[str](), {mask}, [mask]
    while todo:
        node = graph.makers.get(todo.pop())
        if node is None:
            continue
        to = next((each.i for each in node.attribute if each.name == "to"), None)
        if node.op_type == "Cast" and to == onnx.TensorProto.BOOL:
            found.add(node.input[0])
            continue
        todo += [name for name in node.input if name not in seen]
        seen.update(node.input)
    return found


def _require_nothing_masked(model: Any, graph: Graph, mask: str, attention: str) -> None:
    """Return nothing if a mask adds 0 everywhere when all tokens of a long text are attended.

    The part of the graph that makes the mask is run by itself.

    Raises:
        UnknownAttentionError: If it does not, or depends on more than the attention.
    """
    import onnx

    nodes = _nodes_behind(graph, mask, attention)
    taken = {name for node in nodes for name in node.input}
    inputs = [each for each in graph.proto.input if each.name in taken and each.name != attention]
    for each in inputs:
        users = {node.op_type for node in nodes if each.name in node.input}
        if users != {"Shape"}:
            raise UnknownAttentionError(f"the mask to depend on {attention} alone", each.name)
    known = (*graph.proto.input, *graph.proto.value_info)
    inputs += [each for each in known if each.name == attention]
    weights = [each for each in graph.proto.initializer if each.name in taken]
    part = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "mask", inputs, [onnx.ValueInfoProto(name=mask)], weights),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    probe = {
        each.name: np.ones(
            (1, PROBED_TOKENS),
            onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type),
        )
        for each in inputs
    }
    (added,) = open_session(part.SerializeToString()).run([mask], probe)
    if np.any(added):
        raise UnknownAttentionError(f"a mask of 0 over {PROBED_TOKENS} attended tokens", "others")


def _nodes_behind(graph: Graph, name: str, start: str) -> list[Any]:
    """Return the nodes on which a value depends, in their order, without those behind ``start``."""
    wanted = {name}
    found = list[Any]()
    for node in reversed(graph.proto.node):
        if wanted & set(node.output) - {start}:
            found.insert(0, node)
            wanted.update(node.input)
    return found


def _write_choices(graph: Graph, layers: Iterable[AttentionLayer], attention: str) -> None:
    """Replace the nodes of each layer by the choice between the operator and themselves."""
    from onnx import TensorProto, helper

    ends = {id(layer.nodes[-1]): layer for layer in layers}
    moved = {id(node) for layer in ends.values() for node in layer.nodes}
    condition = [
        helper.make_node("Cast", [attention], ["attended"], to=TensorProto.INT32),
        helper.make_node("ReduceMin", ["attended"], ["least_attended"], keepdims=0),
        helper.make_node("Cast", ["least_attended"], [WHOLE], to=TensorProto.BOOL),
    ]
    nodes = list[Any]()
    for node in graph.proto.node:
        if layer := ends.get(id(node)):
            nodes += [*condition, _choice(graph, layer)]
            condition = []  # once for all layers
        elif id(node) not in moved:
            nodes.append(node)
    gone = {name for layer in ends.values() for node in layer.nodes[:-1] for name in node.output}
    values = [each for each in graph.proto.value_info if each.name not in gone]
    del graph.proto.node[:], graph.proto.value_info[:]
    graph.proto.node.extend(nodes)
    graph.proto.value_info.extend(values)


def _choice(graph: Graph, layer: AttentionLayer) -> Any:
    """Return the node that computes the attention of a layer in one of the two ways."""
    from onnx import ValueInfoProto, helper

    own = {id(node) for node in layer.nodes}
    as_it_was = [node for node in graph.proto.node if id(node) in own]
    (name,) = layer.nodes[-1].output
    as_it_was[-1].output[0] = f"{name}_masked"
    operator = helper.make_node(
        OPERATOR,
        layer.given,
        [f"{name}_whole"],
        domain=FUSED_DOMAIN,
        num_heads=layer.heads,
        scale=layer.scale,
    )
    branches = {"then": (operator,), "else": as_it_was}
    return helper.make_node(
        "If",
        [WHOLE],
        [name],
        name=f"{name}_choice",
        **{
            f"{branch}_branch": helper.make_graph(
                nodes,
                f"{name}_{branch}",
                [],
                [ValueInfoProto(name=nodes[-1].output[0])],
            )
            for branch, nodes in branches.items()
        },
    )
