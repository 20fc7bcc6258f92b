from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vespa_colbert.errors import ExportError
from vespa_colbert.export.dtype import convert_dtype
from vespa_colbert.export.loss import GATES

WORDS, WIDTH, DIM = 50, 64, 16


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Embedding → product → relu → product → rows of unit length."""
    random = np.random.default_rng(3)
    weights = {
        "table": random.standard_normal((WORDS, WIDTH)),
        "first": random.standard_normal((WIDTH, WIDTH)) / 8,
        "second": random.standard_normal((WIDTH, DIM)) / 8,
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"], name="gather"),
        helper.make_node("MatMul", ["words", "first"], ["hidden"], name="m1"),
        helper.make_node("Relu", ["hidden"], ["active"], name="relu"),
        helper.make_node("MatMul", ["active", "second"], ["rows"], name="m2"),
        helper.make_node("LpNormalization", ["rows"], ["contextual"], name="l2", axis=-1, p=2),
    ]
    axes = ["batch", "sequence"]
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, axes)],
            [helper.make_tensor_value_info("contextual", TensorProto.FLOAT, [*axes, DIM])],
            [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.save(made, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def rows(path: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ids = np.arange(WORDS, dtype=np.int64)[np.newaxis]
    (found,) = session.run(["contextual"], {"input_ids": ids})
    return found[0]


def test_half_precision_stays_close_and_of_unit_length_in_float32(graph: Path) -> None:
    before, size = rows(graph), graph.stat().st_size

    convert_dtype(graph, "fp16")

    after = rows(graph)
    assert after.dtype == np.float32
    assert 0 < np.abs(after - before).max() < GATES["fp16"].worst
    assert np.abs(np.linalg.norm(after, axis=1) - 1).max() < 1e-6
    assert graph.stat().st_size < 0.7 * size


def test_int8_weights_are_per_channel_and_quiet(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = rows(graph)

    with caplog.at_level(logging.WARNING):
        convert_dtype(graph, "int8")

    model = onnx.load(graph)
    scales = [t for t in model.graph.initializer if t.name.endswith("_scale")]
    assert any(numpy_helper.to_array(scale).size == WIDTH for scale in scales)
    assert (rows(graph) * before).sum(axis=1).mean() > 0.99
    assert caplog.records == []
    assert [path.name for path in graph.parent.iterdir()] == ["model.onnx"]


def test_fp32_is_left_as_it_is(graph: Path) -> None:
    before = graph.read_bytes()
    convert_dtype(graph, "fp32")
    assert graph.read_bytes() == before


def shared(graph: Path) -> Path:
    """Let the body use what the end of the graph uses: a constant node and an initializer."""
    model = onnx.load(graph)
    scale = numpy_helper.from_array(np.array(0.001, np.float32), "scale")
    model.graph.initializer.append(scale)
    model.graph.node.insert(
        0, helper.make_node("Constant", [], ["tiny"], value=numpy_helper.from_array(TINY))
    )
    model.graph.node[2].input[1] = "scaled"
    model.graph.node.insert(2, helper.make_node("Mul", ["first", "scale"], ["small"]))
    model.graph.node.insert(3, helper.make_node("Add", ["small", "tiny"], ["scaled"]))
    del model.graph.node[-1]
    model.graph.node.extend([
        helper.make_node("Mul", ["rows", "scale"], ["scaled_rows"]),
        helper.make_node("ReduceL2", ["scaled_rows", "axis"], ["length"], keepdims=1),
        helper.make_node("Add", ["length", "tiny"], ["safe"]),
        helper.make_node("Div", ["scaled_rows", "safe"], ["contextual"]),
    ])
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1]), "axis"))
    onnx.checker.check_model(model)
    onnx.save(model, graph)
    return graph


TINY = np.array(1e-12, np.float32)
"""Zero in half precision."""


def test_what_body_and_end_share_stays_float32_at_the_end(graph: Path) -> None:
    before = rows(shared(graph))

    convert_dtype(graph, "fp16")

    after = rows(graph)
    assert 0 < np.abs(after - before).max() < GATES["fp16"].worst
    assert np.abs(np.linalg.norm(after, axis=1) - 1).max() < 1e-6
    weights = {t.name: t.data_type for t in onnx.load(graph).graph.initializer}
    assert {weights["scale"], weights["float32_scale"]} == {TensorProto.FLOAT16, TensorProto.FLOAT}


def test_a_residual_around_the_projection_is_finished_in_float32(graph: Path) -> None:
    model = onnx.load(graph)
    last = model.graph.node[-1]
    last.input[0] = "sum"
    random = np.random.default_rng(4).standard_normal((WIDTH, DIM)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(random / 8, "beside"))
    model.graph.node.insert(4, helper.make_node("MatMul", ["words", "beside"], ["skipped"]))
    model.graph.node.insert(5, helper.make_node("Add", ["rows", "skipped"], ["sum"]))
    onnx.save(model, graph)
    before = rows(graph)

    convert_dtype(graph, "fp16")

    after = rows(graph)
    assert 0 < np.abs(after - before).max() < GATES["fp16"].worst
    assert np.abs(np.linalg.norm(after, axis=1) - 1).max() < 1e-6


def test_a_graph_without_a_product_is_refused(graph: Path) -> None:
    model = onnx.load(graph)
    del model.graph.node[1:]
    model.graph.node[0].output[0] = "contextual"
    onnx.save(model, graph)

    with pytest.raises(ExportError, match="matrix product"):
        convert_dtype(graph, "fp16")


def test_what_a_converter_does_not_take_is_one_error(graph: Path) -> None:
    graph.write_bytes(b"no graph")

    with pytest.raises(ExportError, match=r"int8: ONNX Runtime's converter fails"):
        convert_dtype(graph, "int8")
