"""Decoders through Vespa's embedder, judged by sentence-transformers' own MultiVectorEncoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.required import import_or_skip
from tests.tiny_encoders import FAMILIES, build_family
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import export_checkpoint
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import EmbedderFiles, VespaJava

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.filterwarnings("default")]

SCORE_ROUNDING = 2e-5
"""float32 rounding of rows, 2e-6 each, over the twelve rows of a query."""

TEXTS = (
    *("", "rose", "What is a rose?", "the lazy dog's café; (jump)!", "x y z " * 12, "ranks it"),
    *("富士山は高い。", "🦊 is?", "?!", "A rose is a rose. Is it a rose? It is!", "C++ (42), 7"),
    *("The quick brown fox jumps over the lazy dog, and the dog does not care. " * 3, "e\u0301 ﬁ"),
    "... --- ;;; ,,, :::",
)


@pytest.fixture(scope="module")
def library() -> Any:
    return import_or_skip("sentence_transformers.multi_vector_encoder")


@pytest.mark.parametrize("settings", [{}, {"do_query_expansion": False}], ids=["expanded", "plain"])
@pytest.mark.parametrize("family", ["qwen3", "qwen3-eos", "lfm2"])
def test_scores_are_those_of_the_multi_vector_encoder(
    library: Any, java: VespaJava, tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    build_family(FAMILIES[family], tmp_path / "pylate", **settings)
    model = library.MultiVectorEncoder(str(tmp_path / "pylate"), device="cpu")
    model.save(str(tmp_path / "saved"))
    checkpoint = read_checkpoint(tmp_path / "saved")
    assert checkpoint.layout == "multi-vector"
    folder = export_checkpoint(checkpoint, tmp_path / "model")
    assert folder.packaging == "exact"
    # One at a time: the padding of a batch is no part of a model.
    queries = [model.encode_query([text])[0] for text in TEXTS]
    documents = [model.encode_document([text])[0] for text in TEXTS]
    wanted = [[_max_sim(query, document) for document in documents] for query in queries]
    left, right = (
        _rows(java, EmbedderFiles.of(folder), destination, f"tensor<float>({name}{{}},x[8])")
        for destination, name in (("query(qt)", "qt"), ("doc.colbert", "dt"))
    )
    got = [[_max_sim(query, document) for document in right] for query in left]
    np.testing.assert_allclose(got, wanted, atol=SCORE_ROUNDING, rtol=0)


def _rows(java: VespaJava, files: EmbedderFiles, destination: str, target: str) -> list[Any]:
    found = java.embed_many(files, TEXTS, destination, TensorType.parse(target))
    return [each.tensor.values for each in found]


def _max_sim(query: Any, document: Any) -> float:
    products = np.asarray(query, np.float64) @ np.asarray(document, np.float64).T
    return float(products.max(axis=1).sum())
