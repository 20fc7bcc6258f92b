from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vespa_colbert.errors import ExportError
from vespa_colbert.export.dtype import (
    GATES,
    Loss,
    convert_dtype,
    gate_faults,
    measure_loss,
)

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


def test_losses_are_worked_out_by_hand() -> None:
    wanted = [
        np.eye(2, dtype=np.float32)[:1],
        np.eye(2, dtype=np.float32)[:1],
        -np.eye(2, dtype=np.float32)[:1],
    ]
    got = [wanted[0], -wanted[1], -wanted[2]]

    loss = measure_loss(wanted, got, queries=1)

    # Rows (1 0), (1 0), (-1 0) against (1 0), (-1 0), (1 0): cosines 1, -1, -1.
    assert loss.cosine == pytest.approx(-1 / 3, rel=1e-6)
    assert (loss.worst, loss.sign_flips, loss.top_agreement) == (2.0, 2 / 6, 0.0)


def test_what_is_not_finite_is_refused() -> None:
    good = [np.ones((1, 2), np.float32)] * 2
    with pytest.raises(ExportError, match="NaN"):
        measure_loss(good, [good[0], good[1] * np.float32(np.nan)], queries=1)


@pytest.mark.parametrize(
    ("loss", "fault"),
    [
        (Loss(worst=1e-3, cosine=0.99999, sign_flips=0.0, top_agreement=1.0), None),
        (Loss(worst=3e-3, cosine=0.99999, sign_flips=0.0, top_agreement=1.0), "largest"),
        (Loss(worst=1e-3, cosine=0.99, sign_flips=0.0, top_agreement=1.0), "cosine"),
        (Loss(worst=1e-3, cosine=0.99999, sign_flips=0.1, top_agreement=1.0), "signs"),
        (Loss(worst=1e-3, cosine=0.99999, sign_flips=0.0, top_agreement=0.5), "best document"),
    ],
)
def test_the_gate_names_what_was_lost(loss: Loss, fault: str | None) -> None:
    faults = gate_faults("fp16", loss)

    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]
