"""Dtypes, fusion, target release and no verification: each on a whole export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.tiny_checkpoint import IDS
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export import ExportOptions, ModelFolder, export_checkpoint
from vespa_colbert.export import refine as refine_module
from vespa_colbert.export.compare import TOLERANCE
from vespa_colbert.export.loss import GATES, Loss

QUICK = 17
"""The opset that only the quicker exporter writes."""

OUT_OF_REACH = Loss(worst=0.0, cosine=1.0, sign_flips=0.0, top_agreement=1.0, rank_agreement=1.0)


def rows(folder: ModelFolder, marker: int) -> Any:
    ids = np.array([[IDS["[CLS]"], marker, IDS["rose"], IDS["is"], IDS["[SEP]"], IDS["[MASK]"]]])
    session = onnxruntime.InferenceSession(
        str(folder.model_path), providers=["CPUExecutionProvider"]
    )
    given = {"input_ids": ids, "attention_mask": np.array([[1, 1, 1, 1, 1, 0]])}
    return session.run(["contextual"], given)[0][0]


@pytest.fixture(scope="module", name="checkpoint")
def checkpoint_fixture(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def plain(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    output = tmp_path_factory.mktemp("plain") / "model"
    return export_checkpoint(checkpoint, output, ExportOptions(opset=QUICK))


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_a_narrow_model_says_what_it_lost(
    checkpoint: Checkpoint, plain: ModelFolder, tmp_path: Path, dtype: Any
) -> None:
    options = ExportOptions(opset=QUICK, dtype=dtype)

    folder = export_checkpoint(checkpoint, tmp_path / "model", options)

    assert folder.graph["dtype"] == dtype
    assert not folder.has_drift
    loss = folder.verification["loss"]
    assert (loss["dtype"], loss["queries"], loss["documents"]) == (dtype, 12, 24)
    assert loss["gate"] == asdict(GATES[dtype])
    assert loss["faults"] == []
    worst = np.abs(rows(folder, IDS["[unused0]"]) - rows(plain, IDS["[unused0]"])).max()
    assert worst > 0
    assert loss["worst"] > 0
    assert all(case["worst"] <= TOLERANCE for case in folder.verification["cases"])
    narrow = [case["worst"] for case in loss.get("cases", [])]
    assert bool(narrow) == (dtype == "fp16")
    assert all(0 < each <= GATES["fp16"].worst for each in narrow)


def test_an_exact_model_of_half_precision_keeps_its_silent_rows(
    m3: Checkpoint, tmp_path: Path
) -> None:
    options = ExportOptions(opset=QUICK, dtype="fp16", packaging="exact")

    folder = export_checkpoint(m3, tmp_path / "model", options)

    ids = np.array([[0, folder.embedder.query_marker_id, 5, 6, 2]])
    session = onnxruntime.InferenceSession(str(folder.model_path))
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    lengths = np.linalg.norm(session.run(["contextual"], given)[0][0], axis=1)
    # Start and marker give no row; the other three score a third each.
    assert np.abs(lengths - np.array([0, 0, 1, 1, 1]) / 3).max() < 1e-6
    assert max(each["worst"] for each in folder.verification["loss"]["cases"]) > TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "int8"])
@pytest.mark.parametrize("packaging", ["native", "exact"])
def test_every_dtype_of_the_dynamo_graph(
    checkpoint: Checkpoint, tmp_path: Path, packaging: Any, dtype: Any
) -> None:
    options = ExportOptions(packaging=packaging, dtype=dtype)
    folder = export_checkpoint(checkpoint, tmp_path / "model", options)
    assert folder.verification["exporter"] == "dynamo"
    assert not folder.has_drift


def test_what_loses_too_much_is_refused_with_every_figure(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GATES, "int8", OUT_OF_REACH)
    options = ExportOptions(opset=QUICK, dtype="int8")

    with pytest.raises(ExportError, match="int8 loses more than is allowed") as caught:
        export_checkpoint(checkpoint, tmp_path / "model", options)

    figures = ("largest difference", "mean cosine", "flipped signs", "best document", "order of")
    assert all(each in str(caught.value) for each in figures)
    assert list(tmp_path.iterdir()) == []


def test_an_accepted_loss_is_written_down(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GATES, "fp16", OUT_OF_REACH)
    options = ExportOptions(opset=QUICK, dtype="fp16", accept_drift=True)

    folder = export_checkpoint(checkpoint, tmp_path / "model", options)

    assert folder.has_drift
    assert any("largest difference" in each for each in folder.verification["loss"]["faults"])


def test_half_precision_that_is_not_torch_is_refused_in_any_case(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halve(path: Path, _dtype: str) -> None:
        model = onnx.load(path)
        model.graph.node[-1].output[0] = "before"
        model.graph.node.append(onnx.helper.make_node("Add", ["before", "before"], ["contextual"]))
        onnx.save(model, path)

    monkeypatch.setattr(refine_module, "convert_dtype", halve)
    options = ExportOptions(opset=QUICK, dtype="fp16", accept_drift=True)

    with pytest.raises(ExportError, match="rows of length 1"):
        export_checkpoint(checkpoint, tmp_path / "model", options)

    assert list(tmp_path.iterdir()) == []


def test_fused_attention_is_compared_with_torch_again(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    told: list[str] = []

    folder = export_checkpoint(
        checkpoint, tmp_path / "model", ExportOptions(optimize=True), progress=told.append
    )

    assert folder.graph["optimized"]
    # The tiny encoder has two layers.
    assert folder.graph["fused"] == {"MultiHeadAttention": 2}
    assert folder.graph["domains"] == ["com.microsoft"]
    assert told.index("fusing the attention") < len(told) - 1 - told[::-1].index(
        "comparing ONNX Runtime with torch"
    )
    assert all(case["worst"] <= TOLERANCE for case in folder.verification["cases"])


def test_attention_that_the_fusion_does_not_know_is_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    options = ExportOptions(opset=QUICK, optimize=True)

    with pytest.raises(ExportError, match="fusion does not know this encoder"):
        export_checkpoint(checkpoint, tmp_path / "model", options)

    assert list(tmp_path.iterdir()) == []


def test_operators_of_onnx_runtime_are_taken_only_where_asked_for(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fuse(path: Path, _dtype: str) -> None:
        model = onnx.load(path)
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        onnx.save(model, path)

    monkeypatch.setattr(refine_module, "convert_dtype", fuse)
    options = ExportOptions(opset=QUICK, dtype="int8")

    with pytest.raises(ExportError, match=r"operators of ONNX alone, got those of com\.microsoft"):
        export_checkpoint(checkpoint, tmp_path / "model", options)


def test_the_oldest_release_that_must_load_it_is_recorded(plain: ModelFolder) -> None:
    target = plain.graph["target"]
    assert (target["vespa"], target["onnxruntime"]) == ("8.338.38", "1.17.3")
    assert plain.graph["opset"] <= target["opset"]
    assert plain.graph["ir_version"] <= target["ir_version"]


def test_an_opset_that_the_release_does_not_load_is_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"17 to 20, which Vespa 8.338.38 .*1\.17\.3.* got 21"):
        export_checkpoint(checkpoint, tmp_path / "model", ExportOptions(opset=21))


def test_an_export_that_was_not_compared_says_so(checkpoint: Checkpoint, tmp_path: Path) -> None:
    told: list[str] = []

    folder = export_checkpoint(
        checkpoint,
        tmp_path / "model",
        ExportOptions(opset=QUICK, verify=False),
        progress=told.append,
    )

    assert folder.verification["verified"] is False
    assert folder.verification["cases"] == []
    assert not folder.is_verified
    assert folder.comparison == "not checked against torch"
    assert told[-1] == "checking the graph"
    assert all(each["effect"] is None for each in folder.differences)
