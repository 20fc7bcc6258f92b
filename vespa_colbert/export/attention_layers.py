"""The attention of BERT and its like, found in a graph as torch's dynamo exporter writes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["AttentionLayer", "Graph", "UnknownAttentionError", "layer_around", "only", "read_graph"]

SMALL = 8
"""Elements of the largest constant that is looked at."""

HEADS_FIRST = (0, 2, 1, 3)
"""Order of axes from (batch, token, head, component) to heads first, and back."""
KEYS = ((0, 2, 3, 1),), (HEADS_FIRST, (0, 1, 3, 2))
"""The same with the tokens of keys last, in one step or in two."""


class UnknownAttentionError(Exception):
    """The nodes around a softmax are not those of BERT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph with what is looked up in it.

    Attributes:
        proto: The ONNX graph.
        makers: Name of a value → the node that makes it.
        users: Name of a value → the nodes that take it.
        constants: Name → value of every small constant.
    """

    proto: Any
    makers: dict[str, Any]
    users: dict[str, list[Any]]
    constants: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayer:
    """The attention of one layer.

    Attributes:
        nodes: From queries, keys and values to what is attended, heads side by side; that one last.
        given: Names of queries, keys and values, (batch, token, width) each.
        heads: How many.
        scale: Factor of the products of queries and keys.
        mask: Name of what is added to them.
    """

    nodes: tuple[Any, ...]
    given: tuple[str, ...]
    heads: int
    scale: float
    mask: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """Queries, keys or values on their way to the heads.

    Attributes:
        nodes: What makes heads of them.
        given: Name before that.
        heads: How many.
    """

    nodes: tuple[Any, ...]
    given: str
    heads: int


def read_graph(proto: Any) -> Graph:
    """Return an ONNX graph with what is looked up in it."""
    from onnx import numpy_helper

    # Only small ones are looked at; weights are not copied.
    small = [each for each in proto.initializer if np.prod(each.dims, dtype=np.int64) <= SMALL]
    constants = {each.name: numpy_helper.to_array(each) for each in small}
    users: dict[str, list[Any]] = {}
    for node in proto.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        for name in node.input:
            users.setdefault(name, []).append(node)
    makers = {name: node for node in proto.node for name in node.output}
    return Graph(proto=proto, makers=makers, users=users, constants=constants)


def layer_around(graph: Graph, softmax: Any) -> AttentionLayer:
    """Return the layer of a softmax.

    Raises:
        UnknownAttentionError: If it is not as in BERT.
    """
    masked = _maker(graph, softmax.input[0], "Add")
    scaled = _maker(graph, masked.input[0], "Mul", "Div")
    product = _maker(graph, scaled.input[0], "MatMul")
    weighted = _user(graph, softmax, "MatMul")
    turned = _user(graph, weighted, "Transpose")
    merged = _user(graph, turned, "Reshape")
    if _order(turned) != HEADS_FIRST or len(_shape_parts(graph, merged.input[1])) != 3:
        raise UnknownAttentionError("heads put side by side", f"{turned.name}, {merged.name}")
    sides = (
        _side(graph, product.input[0], ((HEADS_FIRST,),)),
        _side(graph, product.input[1], KEYS),
        _side(graph, weighted.input[1], ((HEADS_FIRST,),)),
    )
    taken = (node for side in sides for node in side.nodes)
    layer = AttentionLayer(
        nodes=(*taken, product, scaled, masked, softmax, weighted, turned, merged),
        given=tuple(side.given for side in sides),
        heads=only({side.heads for side in sides}, "number of heads"),
        scale=_scale(graph, scaled),
        mask=masked.input[1],
    )
    _require_unused_elsewhere(graph, layer)
    return layer


def _maker(graph: Graph, name: str, *operators: str) -> Any:
    """Return the node that makes a value.

    Raises:
        UnknownAttentionError: If that is none of the operators.
    """
    node = graph.makers.get(name)
    if node is None or node.op_type not in operators:
        got = "no node" if node is None else node.op_type
        raise UnknownAttentionError(f"{name} to come from {' or '.join(operators)}", got)
    return node


def _user(graph: Graph, node: Any, operator: str) -> Any:
    """Return the one node that takes first what a node makes.

    Raises:
        UnknownAttentionError: If there are more, or it is another operator.
    """
    users = graph.users.get(node.output[0], [])
    if [each.op_type for each in users] != [operator] or users[0].input[0] != node.output[0]:
        got = ", ".join(each.op_type for each in users) or "nothing"
        raise UnknownAttentionError(f"{operator} alone to take {node.output[0]}", got)
    return users[0]


def _side(graph: Graph, name: str, orders: Iterable[tuple[tuple[int, ...], ...]]) -> _Side:
    """Return queries, keys or values by the name of their heads.

    Raises:
        UnknownAttentionError: If they are not cut into heads and turned in one of the orders.
    """
    nodes = [_maker(graph, name, "Transpose")]
    while (before := _maker(graph, nodes[0].input[0], "Transpose", "Reshape")).op_type != "Reshape":
        nodes.insert(0, before)
    if tuple(_order(node) for node in nodes) not in orders:
        raise UnknownAttentionError(f"{name} with heads first", str([_order(n) for n in nodes]))
    parts, width = _shape_parts(graph, before.input[1]), _width(graph, before.input[0])
    if len(parts) != 4 or not width or not parts[3] or parts[3] < 1 or width % parts[3]:
        raise UnknownAttentionError(f"{name} cut into heads of one size", f"{parts} of {width}")
    return _Side(nodes=(before, *nodes), given=before.input[0], heads=width // parts[3])


def _order(transpose: Any) -> tuple[int, ...]:
    return tuple(next((each.ints for each in transpose.attribute if each.name == "perm"), ()))


def _shape_parts(graph: Graph, name: str) -> list[int | None]:
    """Return the parts that a shape is put together from: numbers, None for what is not known."""
    node = graph.makers.get(name)
    if node is None or node.op_type != "Concat":
        return []
    known = [graph.constants.get(_without_unsqueeze(graph, each)) for each in node.input]
    return [int(each.reshape(-1)[0]) if each is not None else None for each in known]


def _without_unsqueeze(graph: Graph, name: str) -> str:
    node = graph.makers.get(name)
    return str(node.input[0]) if node is not None and node.op_type == "Unsqueeze" else name


def _width(graph: Graph, name: str) -> int:
    """Return the width of what a matrix product and a bias made; 0 if it is something else."""
    add = graph.makers.get(name)
    if add is None or add.op_type != "Add":
        return 0
    biases = [each for each in graph.proto.initializer if each.name in add.input]
    return int(biases[0].dims[0]) if len(biases) == 1 and len(biases[0].dims) == 1 else 0


def _scale(graph: Graph, node: Any) -> float:
    """Return the factor by which a node multiplies.

    Raises:
        UnknownAttentionError: If it is no constant.
    """
    constant = graph.constants.get(node.input[1])
    if constant is None or constant.size != 1:
        raise UnknownAttentionError("products scaled by a constant", node.input[1])
    factor = float(constant.reshape(-1)[0])
    return factor if node.op_type == "Mul" else 1 / factor


def _require_unused_elsewhere(graph: Graph, layer: AttentionLayer) -> None:
    """Return nothing if only a layer's own nodes take what it makes on the way.

    Raises:
        UnknownAttentionError: If not.
    """
    own = {id(node) for node in layer.nodes}
    shown = {value.name for value in graph.proto.output}
    for name in (name for node in layer.nodes[:-1] for name in node.output):
        users = graph.users.get(name, [])
        if name in shown or any(id(user) not in own for user in users):
            raise UnknownAttentionError(f"{name} to be used in its layer alone", "another use")


def only(found: set[Any], what: str) -> Any:
    """Return the only element.

    Raises:
        UnknownAttentionError: If there are others.
    """
    if len(found) != 1:
        raise UnknownAttentionError(f"one {what}", str(len(found)))
    return next(iter(found))
