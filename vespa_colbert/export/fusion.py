"""Attention as one operator of ONNX Runtime: its transformer fusion, for the BERT family.

The fusion looks for the graphs of older exporters. Two things are written its way first: the mask,
and the shapes of the heads as constants. What comes out is compared with torch again.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vespa_colbert.errors import ExportError, MissingExtraError

__all__ = ["FUSED_DOMAIN", "fuse_attention"]

FUSED_DOMAIN = "com.microsoft"
SMALL = 8
"""Elements of the largest constant that is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """A graph with what is looked up in it.

    Attributes:
        proto: The ONNX graph.
        makers: Name of a value → the node that makes it.
        constants: Name → value of every constant.
    """

    proto: Any
    makers: dict[str, Any]
    constants: dict[str, Any]


def fuse_attention(path: Path) -> dict[str, int]:
    """Return operator → number of fused ones, after rewriting an ONNX file with them.

    Raises:
        ExportError: If not every attention could be fused.
        MissingExtraError: If onnx or onnxruntime is not installed.

    Source: FusionAttention, ONNX Runtime 1.23.2, for what the fusion looks for.
    """
    try:
        import onnx
        from onnxruntime.transformers import optimizer
        from onnxruntime.transformers.fusion_options import AttentionMaskFormat, FusionOptions
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "onnx") from error
    model = onnx.load(str(path))
    wanted = sum(node.op_type == "Softmax" for node in model.graph.node)
    _prepare(model.graph)
    options = FusionOptions("bert")
    # The mask itself, not the number of tokens before the padding.
    options.attention_mask_format = AttentionMaskFormat.AttentionMask
    with _quiet():
        fused = optimizer.optimize_model(
            model, model_type="bert", optimization_options=options, opt_level=0, use_gpu=False
        )
        fused.save_model_to_file(str(path))
    counts: dict[str, int] = {}
    for node in fused.model.graph.node:
        if node.domain == FUSED_DOMAIN:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    if counts.get("Attention", 0) != wanted or not wanted:
        raise ExportError(
            f"expected ONNX Runtime's fusion to find the attention of all {wanted} layers, got "
            f"{counts.get('Attention', 0)}: it knows that of BERT and its like; export without "
            "optimize"
        )
    return counts


def _prepare(proto: Any) -> None:
    """Write masks and shapes as the fusion looks for them.

    Raises:
        ExportError: If no mask is made of one tensor of attention.
    """
    graph = _Graph(
        proto=proto,
        makers={name: node for node in proto.node for name in node.output},
        constants=_constants(proto),
    )
    masks = {
        name for node in proto.node if node.op_type == "Softmax" for name in _masks(graph, node)
    }
    sources = {source for mask in masks for source in _attention_of(graph, mask)}
    if len(sources) != 1:
        raise ExportError(
            f"expected one attention mask for all layers, got {len(sources)}: ONNX Runtime's "
            "fusion does not know this encoder; export without optimize"
        )
    _write_shapes(graph)
    _write_mask(graph, masks, sources.pop())


def _constants(proto: Any) -> dict[str, Any]:
    from onnx import numpy_helper

    # Only small ones are looked at; weights are not copied.
    small = [each for each in proto.initializer if np.prod(each.dims, dtype=np.int64) <= SMALL]
    found = {each.name: numpy_helper.to_array(each) for each in small}
    for node in proto.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _masks(graph: _Graph, softmax: Any) -> list[str]:
    """Return what is added to the products of queries and keys, which are scaled or not."""
    add = graph.makers.get(softmax.input[0])
    if add is None or add.op_type != "Add":
        return []
    products = {"Mul", "Div", "MatMul"}
    return [
        name
        for name in add.input
        if name not in graph.makers or graph.makers[name].op_type not in products
    ]


def _attention_of(graph: _Graph, mask: str) -> set[str]:
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


def _write_shapes(graph: _Graph) -> None:
    """Write ``0, 0, heads, size`` where a shape is made of batch, length and constants."""
    from onnx import numpy_helper

    for node in [each for each in graph.proto.node if each.op_type == "Reshape"]:
        parts = _shape_parts(graph, node.input[1])
        width = _width(graph, node.input[0])
        if len(parts) not in {3, 4} or parts[0] is not None or parts[1] is not None:
            continue
        last = parts[-1]
        if len(parts) == 4 and last and last > 0 and width:
            shape = [0, 0, width // last, last]
        elif len(parts) == 3 and last:
            shape = [0, 0, last]
        else:
            continue
        name = "shape_" + "_".join(str(each) for each in shape)
        if name not in graph.constants:
            graph.constants[name] = np.array(shape, np.int64)
            graph.proto.initializer.append(numpy_helper.from_array(graph.constants[name], name))
        node.input[1] = name
        for attribute in [each for each in node.attribute if each.name == "allowzero"]:
            node.attribute.remove(attribute)


def _shape_parts(graph: _Graph, name: str) -> list[int | None]:
    """Return the parts that a shape is put together from: numbers, None for what is not known."""
    node = graph.makers.get(name)
    if node is None or node.op_type != "Concat":
        return []
    known = [graph.constants.get(_without_unsqueeze(graph, each)) for each in node.input]
    return [int(each.reshape(-1)[0]) if each is not None else None for each in known]


def _without_unsqueeze(graph: _Graph, name: str) -> str:
    node = graph.makers.get(name)
    return str(node.input[0]) if node is not None and node.op_type == "Unsqueeze" else name


def _width(graph: _Graph, name: str) -> int:
    """Return the width of what a matrix product and a bias made; 0 if it is something else."""
    add = graph.makers.get(name)
    if add is None or add.op_type != "Add":
        return 0
    biases = [each for each in graph.proto.initializer if each.name in add.input]
    return int(biases[0].dims[0]) if len(biases) == 1 and len(biases[0].dims) == 1 else 0


def _write_mask(graph: _Graph, masks: set[str], attention: str) -> None:
    """Replace the masks by the chain of nodes that the fusion knows; drop what made them."""
    from onnx import TensorProto, helper, numpy_helper

    lowest = np.array(np.finfo(np.float32).min, np.float32)
    values = {
        "mask_first": np.array([1], np.int64),
        "mask_second": np.array([2], np.int64),
        "mask_one": np.array(1, np.int64),
        "mask_ones": np.ones(4, np.int64),
        "mask_lowest": lowest,
        "mask_zero": np.array(0, np.float32),
    }
    graph.proto.initializer.extend(numpy_helper.from_array(v, k) for k, v in values.items())
    chain = [
        helper.make_node("Unsqueeze", [attention, "mask_first"], ["mask_rows"]),
        helper.make_node("Unsqueeze", ["mask_rows", "mask_second"], ["mask_heads"]),
        helper.make_node("Expand", ["mask_heads", "mask_ones"], ["mask_expanded"]),
        helper.make_node("Sub", ["mask_one", "mask_expanded"], ["mask_absent"]),
        helper.make_node("Cast", ["mask_absent"], ["mask_truth"], to=TensorProto.BOOL),
        helper.make_node("Where", ["mask_truth", "mask_lowest", "mask_zero"], ["mask_added"]),
    ]
    for node in graph.proto.node:
        node.input[:] = ["mask_added" if name in masks else name for name in node.input]
    nodes = list(graph.proto.node)
    made = graph.makers.get(attention)
    place = nodes.index(made) + 1 if made is not None else 0
    del graph.proto.node[:]
    graph.proto.node.extend([*nodes[:place], *chain, *nodes[place:]])
    _drop_unused(graph.proto)


def _drop_unused(proto: Any) -> None:
    """Take out the nodes and initializers on which the output does not depend."""
    used, kept = {value.name for value in proto.output}, list[Any]()
    for node in reversed(proto.node):
        if used & set(node.output):
            kept.insert(0, node)
            used.update(node.input)
    del proto.node[:]
    proto.node.extend(kept)
    for tensor in [each for each in proto.initializer if each.name not in used]:
        proto.initializer.remove(tensor)
    # Shapes that were noted of what is gone are no longer true.
    del proto.value_info[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the fusion says and prints of its steps out of a user's sight."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
