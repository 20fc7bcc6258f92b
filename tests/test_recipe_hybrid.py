from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from vespa_colbert.app import AppOptions, RemoteFile
from vespa_colbert.app.cross_encoder import read_cross_encoder
from vespa_colbert.app.dense_embedder import read_dense_embedder
from vespa_colbert.app.options import CrossEncoding, DenseVectors, Fusion, LexicalWeights
from vespa_colbert.errors import CheckpointError, SpecError
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.recipe import read_recipe
from vespa_colbert.tensor import CellType

DENSE = DenseSpec(dim=16, max_tokens=512, pooling="cls", normalize=True)
CROSS = CrossEncoderSpec(max_tokens=512)
PROCESSOR = {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with a dense embedder and a cross-encoder in it, weights left out."""
    for name, facts in (
        ("dense", {"dense": asdict(DENSE)}),
        ("cross", {"cross_encoder": asdict(CROSS)}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "embedder.json").write_text(json.dumps(facts), encoding="utf-8")
        tokenizer = json.dumps({"post_processor": PROCESSOR})
        (tmp_path / name / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    return tmp_path


def options(folder: Path, text: str) -> AppOptions:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path).app_options


def test_nothing_of_it_is_there_by_default(folder: Path) -> None:
    text = "[dense]\ndim = 8\n[fusion]\nk = 10\n[cross-encoder]\nrerank-count = 7\n"
    assert options(folder, text) == AppOptions()


def test_dense_vectors_are_those_of_a_model_folder(folder: Path) -> None:
    text = """
    [dense]
    model = "dense"
    cell-type = "int8"
    dim = 8
    max-links = 32
    neighbors-to-explore = 400
    target-hits = 7
    """
    assert options(folder, text).dense == DenseVectors(
        embedder=read_dense_embedder(folder / "dense"),
        cell_type=CellType.INT8,
        dim=8,
        max_links=32,
        neighbors_to_explore=400,
        target_hits=7,
    )


def test_their_model_can_be_published_elsewhere(folder: Path) -> None:
    text = """
    [dense]
    model = "dense"
    transformer-url = "https://models.example/e5.onnx"
    tokenizer-id = "e5-vocab"
    secret-ref = "token"
    """
    vectors = options(folder, text).dense
    assert vectors is not None and vectors.embedder is not None  # noqa: PT018
    transformer = RemoteFile(url="https://models.example/e5.onnx", secret_ref="token")  # noqa: S106
    assert vectors.embedder.transformer == transformer
    assert vectors.embedder.tokenizer == RemoteFile(model_id="e5-vocab", secret_ref="token")  # noqa: S106
    assert vectors.embedder.facts == DENSE


def test_scores_are_fused_as_it_is_said(folder: Path) -> None:
    text = """
    [fusion]
    fusing = "normalized"
    first-phase = "words"
    k = 10
    max-sim-weight = 1
    dense-weight = 0.5
    words-weight = 0
    rerank-count = 50
    """
    assert options(folder, text).fusion == Fusion(
        fusing="normalized",
        first_phase="words",
        k=10.0,
        max_sim_weight=1.0,
        dense_weight=0.5,
        words_weight=0.0,
        rerank_count=50,
    )


def test_a_client_may_send_dense_vectors_and_lexical_weights(folder: Path) -> None:
    text = """
    [dense]
    embeddings = "client"
    similarity = "dot"
    dim = 1024
    [lexical]
    weights = "client"
    """
    chosen = options(folder, text)

    assert chosen.dense == DenseVectors(embedder=None, similarity="dot", dim=1024)
    assert chosen.lexical == LexicalWeights(cell_type=CellType.BFLOAT16)
    assert options(folder, "").lexical is None


def test_a_cross_encoder_is_that_of_a_model_folder(folder: Path) -> None:
    text = """
    [cross-encoder]
    model = "cross"
    query-tokens = 32
    rerank-count = 10
    score = "sigmoid"
    """
    assert options(folder, text).cross_encoding == CrossEncoding(
        encoder=read_cross_encoder(folder / "cross"),
        query_tokens=32,
        rerank_count=10,
        score="sigmoid",
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[fusion]\nfusing = 'sum'\n", "fusing: expected 'off', 'reciprocal-rank'"),
        ("[fusion]\nk = -1\n", "k: expected 0"),
        ("[dense]\ncell-type = 'double'\n", "cell-type: expected"),
        ("[dense]\ntransformer-url = 'ftp://x'\n", "expected an http or https URL"),
        ("[dense]\nembeddings = 'client'\n", "expected the dim of the vectors"),
        ("[dense]\nembeddings = 'client'\ndim = 8\nmodel = 'dense'\n", "not both"),
        ("[dense]\nsimilarity = 'dot'\n", "similarity only with embeddings"),
        ("[lexical]\nweights = 'vespa'\n", "weights: expected 'none' or 'client'"),
        ("[cross-encoder]\nquery-token = 3\n", "did you mean 'query-tokens'"),
        ("[cross_encoder]\nquery-tokens = 3\n", "did you mean 'cross-encoder'"),
    ],
)
def test_a_fault_is_named(folder: Path, text: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        options(folder, text)


def test_a_folder_without_facts_is_named(folder: Path) -> None:
    with pytest.raises(SpecError, match="expected JSON with the facts under 'dense'"):
        options(folder, "[dense]\nmodel = 'cross'\n")
    (folder / "cross" / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="expected one that puts pairs together"):
        options(folder, "[cross-encoder]\nmodel = 'cross'\n")
