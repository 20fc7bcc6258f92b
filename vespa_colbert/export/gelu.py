"""GELU in the order of factors that ONNX Runtime looks for, to compute it as one operation.

torch's dynamo exporter writes ``x · (½ · (erf(x / √2) + 1))``, which no fusion knows: five passes
over the widest tensor of a layer. As ``(x · (erf(x / √2) + 1)) · ½`` it is one. Halving is exact:
both products are the same as long as ``2 · x`` is a number.

Source: GeluFusion::ApplyImpl, ONNX Runtime 1.23.2.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from vespa_colbert.errors import MissingExtraError

__all__ = ["reorder_gelu"]

HALF = 0.5
INSIDE = ("Add", "Erf", "Div")
"""What is halved, and what each of these is made of first."""


def reorder_gelu(path: Path) -> int:
    """Return how many GELUs of an ONNX file had the other order; they have this one then.

    Raises:
        MissingExtraError: If onnx is not installed.
        OSError: If the file cannot be written.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "onnx") from error
    model = onnx.load(str(path))
    nodes = [node for node in model.graph.node if node.op_type == "Mul"]
    makers = {name: node for node in model.graph.node for name in node.output}
    used = Counter(name for node in model.graph.node for name in node.input)
    halves = {tensor.name for tensor in model.graph.initializer if _is_half(tensor)}
    found = 0
    for outer in nodes:
        value, halved = outer.input
        inner: Any = makers.get(halved)
        if not _is_halved_error_function(inner, value, makers) or used[halved] > 1:
            continue
        half, whole = inner.input
        if half in halves:
            inner.input[:] = [value, whole]
            outer.input[:] = [halved, half]
            found += 1
    if found:
        onnx.save(model, str(path))
    return found


def _is_halved_error_function(node: Any, value: str, makers: dict[str, Any]) -> bool:
    """Return whether a node multiplies something by ``erf(value / …) + …``."""
    if node is None or node.op_type != "Mul":
        return False
    name = node.input[1]
    for operator in INSIDE:
        node = makers.get(name)
        if node is None or node.op_type != operator:
            return False
        name = node.input[0]
    return bool(name == value)


def _is_half(tensor: Any) -> bool:
    from onnx import numpy_helper

    return not tensor.dims and float(numpy_helper.to_array(tensor)) == HALF
