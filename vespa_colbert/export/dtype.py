"""A graph in half precision or with int8 weights, and what that costs: measured, then gated.

Inputs stay int64 and ``contextual`` stays float32; the rows are normalised in float32.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import ExportError, MissingExtraError

__all__ = ["GATES", "Dtype", "Gate", "Loss", "convert_dtype", "gate_faults", "measure_loss"]

Dtype: TypeAlias = Literal["fp32", "fp16", "int8"]

PRODUCTS = frozenset({"MatMul", "Gemm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a narrower graph loses against the float32 one, over the token vectors of texts.

    Attributes:
        worst: Largest difference of a component.
        cosine: Mean cosine of a token vector with its original.
        sign_flips: Share of components whose sign bit differs, 0 to 1.
        top_agreement: Share of queries whose best document by MaxSim is the same, 0 to 1.
    """

    worst: float
    cosine: float
    sign_flips: float
    top_agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The most that a dtype may lose; the attributes are those of ``Loss``."""

    worst: float
    cosine: float
    sign_flips: float
    top_agreement: float


GATES = {
    "fp16": Gate(worst=2e-3, cosine=0.9999, sign_flips=0.005, top_agreement=0.99),
    "int8": Gate(worst=1.0, cosine=0.98, sign_flips=0.07, top_agreement=0.85),
}
"""fp16: a component has 11 bits, so that a dozen layers leave some 1e-3. int8: weights per channel
were measured at cosine 0.983, 5.7 % flipped signs and the same best document for 0.87 of queries;
what is clearly worse than that (per-tensor weights: 0.924, 12 %, 0.62) is refused."""


def convert_dtype(path: Path, dtype: Dtype) -> None:
    """Rewrite an ONNX file in another dtype; ``fp32`` leaves it as it is.

    Raises:
        MissingExtraError: If onnx or onnxruntime is not installed.
    """
    if dtype == "fp16":
        _to_half(path)
    elif dtype == "int8":
        _to_int8(path)


def _to_half(path: Path) -> None:
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "onnx") from error
    model = onnx.load(str(path))
    tail, last = _cut_normalisation(model.graph, onnx)
    with _quiet():
        half = convert_float_to_float16(model, keep_io_types=True)
    half.graph.output[0].CopyFrom(last)
    half.graph.node.extend(tail.node)
    half.graph.initializer.extend(tail.initializer)
    onnx.save(half, str(path))


def _cut_normalisation(graph: Any, onnx: Any) -> tuple[Any, Any]:
    """Return the nodes behind the last matrix product, taken out of the graph, and its output.

    The product is the graph's output then. The converter would keep named nodes in float32 and
    still round their result, so they are put back after it.

    Raises:
        ExportError: If no single matrix product goes into them.
    """
    nodes, border = _normalising_nodes(graph)
    tail, last = onnx.GraphProto(), onnx.ValueInfoProto()
    last.CopyFrom(graph.output[0])
    tail.node.extend(nodes)
    for node in nodes:
        graph.node.remove(node)
    made = {name for node in tail.node for name in node.output}
    for value in [each for each in graph.value_info if each.name in made]:
        graph.value_info.remove(value)
    needed = {name for node in tail.node for name in node.input}
    kept = {name for node in graph.node for name in node.input}
    for tensor in [each for each in graph.initializer if each.name in needed]:
        if tensor.name not in kept:
            tail.initializer.append(tensor)
            graph.initializer.remove(tensor)
    graph.output[0].name = border
    return tail, last


def _normalising_nodes(graph: Any) -> tuple[list[Any], str]:
    """Return the nodes that only the output depends on, and the matrix product before them.

    Raises:
        ExportError: If no single matrix product goes into them.
    """
    output = graph.output[0].name
    users: dict[str, int] = {output: 1}
    for node in graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    found, borders, taken = list[Any](), set[str](), {output: 1}
    for node in reversed(graph.node):
        reached = [name for name in node.output if name in taken]
        if reached and node.op_type in PRODUCTS:
            borders.update(reached)
        elif reached and all(taken.get(name, 0) == users.get(name, 0) for name in node.output):
            found.insert(0, node)
            for name in node.input:
                taken[name] = taken.get(name, 0) + 1
    if len(borders) != 1:
        raise ExportError(f"expected one product before the normalisation, got {sorted(borders)}")
    return found, borders.pop()


def _to_int8(path: Path) -> None:
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ModuleNotFoundError as error:
        raise MissingExtraError("embed", "onnxruntime") from error
    narrow = path.with_name(f"{path.name}.int8")
    with _quiet():
        # One scale for a whole matrix loses far too much; embeddings stay as they are.
        quantize_dynamic(
            str(path),
            str(narrow),
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
        )
    narrow.replace(path)


def measure_loss(wanted: list[TokenVectors], got: list[TokenVectors], queries: int) -> Loss:
    """Return what the rows of texts lost.

    Args:
        wanted: Rows of each text in float32, (token, dim): queries first, then documents.
        got: The same from the narrower graph.
        queries: How many of the texts are queries.

    Raises:
        ExportError: If a value is not finite.
    """
    ours, theirs = np.concatenate(wanted), np.concatenate(got)
    if not np.isfinite(theirs).all():
        raise ExportError("the narrower graph gives NaN or infinity")
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / np.where(lengths == 0, 1, lengths)
    return Loss(
        worst=float(np.abs(ours - theirs).max()),
        cosine=float(cosines.mean()),
        sign_flips=float(((ours > 0) != (theirs > 0)).mean()),
        top_agreement=float(
            np.mean([
                a == b for a, b in zip(_best(wanted, queries), _best(got, queries), strict=True)
            ])
        ),
    )


def _best(rows: list[TokenVectors], queries: int) -> list[int]:
    """Return for each query the document with the largest MaxSim."""
    return [
        int(np.argmax([(query @ document.T).max(axis=1).sum() for document in rows[queries:]]))
        for query in rows[:queries]
    ]


def gate_faults(dtype: str, loss: Loss) -> list[str]:
    """Return what a graph lost beyond the gate of its dtype; empty where it passes."""
    gate = GATES[dtype]
    pairs = (
        ("largest difference", loss.worst, gate.worst, loss.worst <= gate.worst),
        ("mean cosine", loss.cosine, gate.cosine, loss.cosine >= gate.cosine),
        ("flipped signs", loss.sign_flips, gate.sign_flips, loss.sign_flips <= gate.sign_flips),
        (
            "same best document",
            loss.top_agreement,
            gate.top_agreement,
            loss.top_agreement >= gate.top_agreement,
        ),
    )
    return [
        f"{name} {got:.4g}, allowed {limit:.4g}" for name, got, limit, fits in pairs if not fits
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice that the converters log at warning level out of a user's sight."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
