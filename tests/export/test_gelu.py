"""The order of GELU's factors: ONNX Runtime makes one operation of it, and no bit changes."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import ExportOptions, export_checkpoint
from vespa_colbert.export.gelu import reorder_gelu

VALUES = np.concatenate([
    np.random.default_rng(2).normal(0, 3, 4000),
    (0.0, -0.0, math.inf, 1e-38, -1e-38, 1e38, -1e38),
]).astype(np.float32)


def write_gelu(path: Path, *, half: float = 0.5, divided: str = "x", shown: bool = False) -> Path:
    """Write a graph of one GELU as torch's exporter does."""
    nodes = [
        helper.make_node("Neg", ["x"], ["other"]),
        helper.make_node("Div", [divided, "root"], ["scaled"]),
        helper.make_node("Erf", ["scaled"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["sum"]),
        helper.make_node("Mul", ["half", "sum"], ["halved"]),
        helper.make_node("Mul", ["x", "halved"], ["gelu"]),
    ]
    if shown:
        nodes.append(helper.make_node("Neg", ["halved"], ["again"]))
    constants = {"root": math.sqrt(2), "one": 1.0, "half": half}
    graph = helper.make_graph(
        nodes,
        "gelu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("gelu", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def computed(path: Path, level: onnxruntime.GraphOptimizationLevel) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"x": VALUES})[0]
    return found


def run_operators(path: Path, scratch: Path) -> Counter[str]:
    """Return what ONNX Runtime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(scratch / "optimized.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_no_bit_changes_and_it_becomes_one_operation(tmp_path: Path) -> None:
    path = write_gelu(tmp_path / "gelu.onnx")
    plain = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    before = computed(path, plain)
    assert run_operators(path, tmp_path)["Gelu"] == 0

    assert reorder_gelu(path) == 1

    assert np.array_equal(computed(path, plain), before, equal_nan=True)
    assert run_operators(path, tmp_path)["Gelu"] == 1
    assert reorder_gelu(path) == 0


@pytest.mark.parametrize("other", [{"half": 0.25}, {"divided": "other"}, {"shown": True}])
def test_what_is_no_gelu_of_its_own_stays_as_it_is(tmp_path: Path, other: dict[str, Any]) -> None:
    path = write_gelu(tmp_path / "gelu.onnx", **other)
    before = path.read_bytes()

    assert reorder_gelu(path) == 0

    assert path.read_bytes() == before


def test_an_exported_encoder_has_one_operation_for_each_gelu(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    options = ExportOptions(verify=False)
    folder = export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model", options)

    operators = run_operators(folder.model_path, tmp_path)

    # Two layers; none is left in single steps.
    assert operators["BiasGelu"] + operators["Gelu"] == 2
    assert operators["Erf"] == 0
