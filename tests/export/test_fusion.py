"""Attention as one operator where nothing is padded: which way is taken, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.export.export_matrix import FUSED_CELLS, measure_encoder
from tests.tiny_encoders import FAMILIES, build_family
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export import ExportOptions, export_checkpoint
from vespa_colbert.export import refine as refine_module
from vespa_colbert.export.compare import TOLERANCE
from vespa_colbert.export.fusion import fuse_attention
from vespa_colbert.export.options import Dtype, Packaging
from vespa_colbert.vespa_java import VespaJava

LAYERS = 2
"""Of the tiny encoder."""
IDS = np.random.default_rng(3).integers(0, 20, (3, 24)).astype(np.int64)


@pytest.fixture(scope="module")
def plain(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the graph of the exporter that is tried first."""
    output = tmp_path_factory.mktemp("plain") / "model"
    options = ExportOptions(verify=False)
    return export_checkpoint(read_checkpoint(tiny_checkpoint), output, options).model_path


@pytest.fixture
def copy(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(plain, tmp_path / "model.onnx"))


def run(path: Path, attention: NDArray[np.int64]) -> tuple[NDArray[np.float32], Counter[str]]:
    """Return the rows, and how often each operator ran."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(""))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {"input_ids": IDS[: len(attention)], "attention_mask": attention}
    (rows,) = session.run(["contextual"], given)
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = (each["args"]["op_name"] for each in events if each["name"].endswith("_kernel_time"))
    return rows, Counter(ran)


def padded(*kept: int) -> NDArray[np.int64]:
    return (np.arange(IDS.shape[1]) < np.array(kept)[:, None]).astype(np.int64)


@pytest.mark.parametrize("kept", [(24,), (24, 24, 24)])
def test_the_operator_runs_where_all_tokens_are_attended(
    plain: Path, copy: Path, kept: tuple[int, ...]
) -> None:
    wanted, _before = run(plain, padded(*kept))

    assert fuse_attention(copy) == {"MultiHeadAttention": LAYERS}

    rows, ran = run(copy, padded(*kept))
    assert ran["MultiHeadAttention"] == LAYERS
    assert ran["Softmax"] == 0
    assert np.abs(rows - wanted).max() <= TOLERANCE


@pytest.mark.parametrize("kept", [(23,), (1,), (24, 24, 7), (5, 24, 24)])
def test_padding_anywhere_goes_through_the_nodes_as_they_were(
    plain: Path, copy: Path, kept: tuple[int, ...]
) -> None:
    wanted, _before = run(plain, padded(*kept))

    fuse_attention(copy)

    rows, ran = run(copy, padded(*kept))
    assert ran["MultiHeadAttention"] == 0
    assert ran["Softmax"] == LAYERS
    assert np.array_equal(rows, wanted)


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_a_narrow_model_is_fused_too(tiny_checkpoint: Path, tmp_path: Path, dtype: Dtype) -> None:
    options = ExportOptions(dtype=dtype, optimize=True)

    folder = export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model", options)

    assert folder.graph["fused"] == {"MultiHeadAttention": LAYERS}
    assert not folder.has_drift
    assert run(folder.model_path, padded(24))[1]["MultiHeadAttention"] == LAYERS


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_a_fusion_that_changes_the_rows_is_refused_before_they_are_narrowed(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Dtype
) -> None:
    def fuse_wrongly(path: Path) -> dict[str, int]:
        fused = fuse_attention(path)
        model = onnx.load(path)
        for node in model.graph.node:
            for branch in (each.g for each in node.attribute if each.name == "then_branch"):
                (scale,) = (each for each in branch.node[0].attribute if each.name == "scale")
                scale.f *= 1.01
        onnx.save(model, path)
        return fused

    monkeypatch.setattr(refine_module, "fuse_attention", fuse_wrongly)
    options = ExportOptions(dtype=dtype, optimize=True)

    with pytest.raises(ExportError, match="differ") as caught:
        export_checkpoint(read_checkpoint(tiny_checkpoint), tmp_path / "model", options)

    assert any("optimize was asked for" in note for note in caught.value.__notes__)
    assert list(tmp_path.iterdir()) == []


def change_mask(path: Path, *nodes: Any, constants: dict[str, Any] | None = None) -> None:
    """Write nodes that make ``changed`` of ``mask`` between the mask and the layers."""
    model = onnx.load(path)
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    add = next(node for node in model.graph.node if node.output[0] == softmax.input[0])
    mask = add.input[1]
    place = next(at for at, node in enumerate(model.graph.node) if mask in node.output)
    for node in model.graph.node:
        node.input[:] = ["changed" if name == mask else name for name in node.input]
    for node in reversed(nodes):
        node.input[:] = [mask if name == "mask" else name for name in node.input]
        model.graph.node.insert(place + 1, node)
    for name, value in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, path)


def test_a_mask_that_hides_distant_tokens_is_refused(copy: Path) -> None:
    # Within 600 tokens nothing is hidden: only a long text tells.
    far = np.where(np.arange(2000) < 600, 0, -1e9).astype(np.float32)
    change_mask(
        copy,
        helper.make_node("Shape", ["input_ids"], ["far_length"], start=1, end=2),
        helper.make_node("Slice", ["far", "far_start", "far_length"], ["far_seen"]),
        helper.make_node("Add", ["mask", "far_seen"], ["changed"]),
        constants={"far": far, "far_start": np.zeros(1, np.int64)},
    )
    before = copy.read_bytes()

    with pytest.raises(ExportError, match="a mask of 0 over 1024 attended tokens"):
        fuse_attention(copy)

    assert copy.read_bytes() == before


def test_a_mask_that_depends_on_the_ids_is_refused(copy: Path) -> None:
    change_mask(
        copy,
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["ids"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mask", "mean"], ["changed"]),
    )

    with pytest.raises(ExportError, match="the mask to depend on attention_mask alone"):
        fuse_attention(copy)


def spoil(path: Path, operator: str, change: Any) -> None:
    """Change the last node of an operator."""
    model = onnx.load(path)
    change([node for node in model.graph.node if node.op_type == operator][-1], model.graph)
    onnx.save(model, path)


def turn(node: Any, _graph: Any) -> None:
    node.attribute[0].ints[:] = [0, 1, 2, 3]


def show(node: Any, graph: Any) -> None:
    graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))


def vary(softmax: Any, graph: Any) -> None:
    """Make the factor of a layer's products something that the graph computes."""
    makers = {name: node for node in graph.node for name in node.output}
    scaled = makers[makers[softmax.input[0]].input[0]]
    graph.node.insert(0, helper.make_node("Identity", [scaled.input[1]], ["varying"]))
    scaled.input[1] = "varying"


@pytest.mark.parametrize(
    ("operator", "change", "said"),
    [
        ("Transpose", turn, "heads put side by side"),
        ("Softmax", show, "to be used in its layer alone"),
        ("Softmax", vary, "products scaled by a constant"),
    ],
)
def test_other_attention_is_refused(copy: Path, operator: str, change: Any, said: str) -> None:
    spoil(copy, operator, change)

    with pytest.raises(ExportError, match=said) as caught:
        fuse_attention(copy)

    assert "the fusion does not know this encoder; export without optimize" in str(caught.value)


@pytest.mark.java
@pytest.mark.parametrize(
    ("family", "packaging"),
    [
        pytest.param(*cell, marks=[] if cell[0] == "bert" else pytest.mark.slow, id="-".join(cell))
        for cell in FUSED_CELLS
    ],
)
def test_vespas_embedder_gives_the_rows_of_torch(
    java: VespaJava, tmp_path: Path, family: str, packaging: Packaging
) -> None:
    figures = measure_encoder(family, packaging, java, tmp_path / family, optimize=True)
    assert figures.faults() == []


@pytest.mark.parametrize("family", ["modernbert", "mpnet", "qwen3"])
def test_encoders_with_other_attention_are_refused(tmp_path: Path, family: str) -> None:
    checkpoint = read_checkpoint(build_family(FAMILIES[family], tmp_path / "checkpoint"))
    options = ExportOptions(optimize=True, verify=False, accept_drift=True)

    with pytest.raises(ExportError, match="the fusion does not know this encoder"):
        export_checkpoint(checkpoint, tmp_path / "model", options)

    assert not (tmp_path / "model").exists()
