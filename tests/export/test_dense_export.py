from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.tiny_checkpoint import HIDDEN, edit_json
from tests.tiny_dense import DENSE_DIM, build_tiny_dense
from vespa_colbert.app.dense_embedder import read_dense_embedder
from vespa_colbert.checkpoint import DenseCheckpoint, read_dense_checkpoint
from vespa_colbert.checkpoint.dense_facts import POOLINGS
from vespa_colbert.errors import ExportError, SpecError
from vespa_colbert.export import (
    DenseFolder,
    ExportOptions,
    dense_spec,
    export_dense,
    read_dense_folder,
    read_model_folder,
)
from vespa_colbert.export.dense_vectors import cells_of_vectors, pool_rows, unit_vectors
from vespa_colbert.model import build_dense
from vespa_colbert.model.dense import PooledVectors
from vespa_colbert.pipeline import ExportRequest, export_any
from vespa_colbert.tensor import TensorType

ROUNDING = 1e-6
"""float32 sums of a few rows."""

ROWS = np.array([[1.0, -2.0], [3.0, 4.0], [5.0, 0.0]], np.float32)


@pytest.fixture(scope="module", name="checkpoint")
def checkpoint_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = {"prompts": {"query": "q: "}}
    return build_tiny_dense(tmp_path_factory.mktemp("dense") / "model", config=prompts)


@pytest.fixture(scope="module", name="read")
def read_fixture(checkpoint: Path) -> DenseCheckpoint:
    return read_dense_checkpoint(checkpoint)


@pytest.fixture(scope="module", name="folder")
def folder_fixture(read: DenseCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> DenseFolder:
    return export_dense(read, tmp_path_factory.mktemp("model") / "native")


class Given(torch.nn.Module):  # type: ignore[misc]
    """An encoder whose rows are given."""

    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any]:  # noqa: ARG002
        return (self.rows.expand(len(input_ids), -1, -1),)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("cls", [1.0, -2.0]),
        ("mean", [2.0, 1.0]),
        ("max", [3.0, 4.0]),
        ("mean_sqrt_len_tokens", [4.0 / 2**0.5, 2.0 / 2**0.5]),
        ("weightedmean", [7.0 / 3.0, 2.0]),
        ("lasttoken", [3.0, 4.0]),
    ],
)
def test_every_pooling_leaves_out_padding(mode: Any, wanted: list[float]) -> None:
    assert mode in POOLINGS
    module = PooledVectors(Given(ROWS), (mode,), (), normalize=False)
    attention = torch.tensor([[1, 1, 0]])
    got = module(torch.zeros_like(attention), attention).numpy()
    np.testing.assert_allclose(got, [wanted], rtol=ROUNDING)


def test_vespas_pooling_is_the_first_row_or_the_mean() -> None:
    assert pool_rows(ROWS, "cls").tolist() == [1.0, -2.0]
    np.testing.assert_allclose(pool_rows(ROWS, "mean"), [3.0, 2.0 / 3.0], rtol=ROUNDING)


def test_fewer_components_are_brought_to_length_1_and_bits_are_those_above_0() -> None:
    pooled = np.array([[3.0, 4.0, 12.0, 0.0, -1.0, 1.0, 0.5, -0.5]], np.float32)
    two = cells_of_vectors(pooled, TensorType.parse("tensor<float>(x[2])"), normalize=True)
    np.testing.assert_allclose(two, [[0.6, 0.8]], rtol=ROUNDING)
    as_is = cells_of_vectors(pooled, TensorType.parse("tensor<float>(x[2])"), normalize=False)
    assert as_is.tolist() == [[3.0, 4.0]]
    bits = cells_of_vectors(pooled, TensorType.parse("tensor<int8>(x[1])"), normalize=True)
    assert bits.tolist() == [[np.int8(0b11100110 - 256)]]


def test_a_native_folder_says_all_that_vespa_needs(folder: DenseFolder) -> None:
    spec = folder.facts
    assert (spec.pooling, spec.normalize, spec.dim, spec.max_tokens) == ("cls", True, HIDDEN, 48)
    assert (spec.query_prepend, spec.document_prepend) == ("q: ", "")
    assert folder.graph["outputs"] == {"last_hidden_state": ["batch", "sequence", HIDDEN]}
    assert folder.is_verified
    assert read_dense_embedder(folder.path).facts == spec
    tokenizer = json.loads(folder.tokenizer_path.read_text())
    assert tokenizer["truncation"] is None


def test_exact_packaging_puts_the_whole_model_into_the_graph(
    read: DenseCheckpoint, tmp_path: Path
) -> None:
    made = export_dense(read, tmp_path / "exact", ExportOptions(packaging="exact", dims=8))
    assert (made.facts.pooling, made.facts.dim) == ("none", 8)
    session = onnxruntime.InferenceSession(str(made.model_path))
    ids = np.array([[2, 9, 11, 3, 0], [2, 7, 12, 14, 3]], np.int64)
    attention = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], np.int64)
    (got,) = session.run(None, {"input_ids": ids, "attention_mask": attention})
    rows = build_dense(read, pooled=False)(torch.tensor(ids), torch.tensor(attention)).numpy()
    np.testing.assert_allclose(got, unit_vectors(rows[:, 0, :8]), atol=ROUNDING * 10)
    assert "normalize_embeddings" in made.differences[0]


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"pooling": ("lasttoken",)}, "pooling lasttoken"),
        ({"pooling": ("cls", "mean")}, r"pooling cls \+ mean"),
    ],
)
def test_what_vespa_cannot_do_goes_into_the_graph_or_is_refused(
    read: DenseCheckpoint, change: dict[str, Any], obstacle: str
) -> None:
    other = replace(read, **change)
    assert dense_spec(other).pooling == "none"
    with pytest.raises(ExportError, match=obstacle):
        dense_spec(other, ExportOptions(packaging="native"))


def test_an_instruction_that_vespa_would_leave_out_is_refused(read: DenseCheckpoint) -> None:
    with pytest.raises(ExportError, match="which Vespa leaves out"):
        dense_spec(replace(read, query_prepend=" \n"))


def test_more_components_than_there_are_are_refused(read: DenseCheckpoint) -> None:
    assert dense_spec(read, ExportOptions(dims=4)).dim == 4
    with pytest.raises(ExportError, match=f"expected 1 to {HIDDEN}"):
        dense_spec(read, ExportOptions(dims=HIDDEN + 1))


def test_a_dense_folder_is_no_folder_of_token_vectors(folder: DenseFolder, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected the facts of token vectors"):
        read_model_folder(folder.path)
    with pytest.raises(ExportError, match="this folder has none"):
        read_dense_folder(tmp_path)


def test_a_changed_fact_is_found(folder: DenseFolder, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(folder.path, tmp_path / "copy"))
    manifest = copy / "embedder.json"
    manifest.write_text(manifest.read_text().replace('"cls"', '"mean"', 1))
    with pytest.raises(ExportError, match="changed after it was written"):
        read_dense_folder(copy)


def test_auto_says_which_kind_it_takes_and_reuses_what_stands(
    checkpoint: Path, folder: DenseFolder
) -> None:
    class Heard:
        def __init__(self) -> None:
            self.said = list[str]()

        def say(self, text: str) -> None:
            self.said.append(text)

        def track(self, label: str, total: int) -> Any:
            raise AssertionError(label, total)

    heard = Heard()
    request = ExportRequest(checkpoint=checkpoint, output=folder.path)
    assert export_any(request, reporter=heard).reused
    assert heard.said == ["kind: dense, for modules.json lists Pooling"]
    with pytest.raises(SpecError, match="kind: expected one of auto, "):
        export_any(request, kind="sparse")
    stated = replace(request, stated={"pooling": "cls"})
    assert export_any(stated, kind="dense").reused
    with pytest.raises(SpecError, match="expected facts of a late-interaction model"):
        export_any(stated, kind="late-interaction")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_a_narrow_dtype_loses_no_more_than_its_gate(
    read: DenseCheckpoint, tmp_path: Path, dtype: Any
) -> None:
    made = export_dense(read, tmp_path / dtype, ExportOptions(dtype=dtype))
    loss = made.verification["loss"]
    assert not loss["faults"]
    assert loss["cosine"] >= loss["gate"]["cosine"]
    assert made.model_path.stat().st_size > 0


@pytest.mark.slow
def test_dense_layers_and_several_poolings_export(tmp_path: Path) -> None:
    folder = build_tiny_dense(tmp_path / "model", pooling=("max", "mean"), heads=1)
    made = export_dense(read_dense_checkpoint(folder), tmp_path / "out")
    assert made.graph["outputs"] == {"sentence_embedding": ["batch", DENSE_DIM]}
    assert "pooling max + mean; 1 Dense layers" in made.graph["reason"]


@pytest.mark.slow
def test_another_prompt_makes_a_folder_that_is_not_reused(tmp_path: Path) -> None:
    folder = build_tiny_dense(tmp_path / "model")
    request = ExportRequest(checkpoint=folder, output=tmp_path / "out")
    assert not export_any(request).reused
    assert export_any(request).reused
    edit_json(folder / "config_sentence_transformers.json", prompts={"query": "q: "})
    assert not export_any(request).reused
