"""Profiles that ask for other models: proved through Vespa's own embedders, or said not to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.tiny_models import DENSE_DIM, write_colbert, write_dense
from vespa_colbert.app import (
    AppOptions,
    RemoteFile,
    application_spec,
    folder_embedder,
    published_embedder,
    render_app,
)
from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.dense_embedder import read_dense_embedder
from vespa_colbert.app.options import DenseVectors, Fusion
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.pipeline import ProofOptions, Searcher, embed_corpus, only_schema, prove
from vespa_colbert.pipeline.served import local_copies
from vespa_colbert.rank import parse_expression
from vespa_colbert.verify import Verdict
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

CORPUS = (
    {"_id": "one", "title": "red", "text": "green greens red"},
    {"_id": "two", "text": "greens"},
    {"_id": "three", "title": "🦊", "text": "red green 🦊"},
)
REMOTE = {
    "transformer": RemoteFile(url="https://models.example/m.onnx"),
    "tokenizer": RemoteFile(url="https://models.example/t.json"),
}


@pytest.fixture(scope="module")
def java() -> Iterator[VespaJava]:
    with VespaJava() as judge:
        yield judge


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return write_colbert(tmp_path / "model")


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    spec = DenseSpec(dim=DENSE_DIM, max_tokens=64, pooling="mean", normalize=True)
    return write_dense(tmp_path / "dense", spec)


def searcher_of(
    folder: Path, model: ModelFolder, embedder: Embedder, options: AppOptions
) -> Searcher:
    app = render_app(
        application_spec(embedder, options), folder / "app", parse=parse_expression
    ).path
    corpus = folder / "corpus.jsonl"
    lines = (json.dumps(each, ensure_ascii=False) for each in CORPUS)
    corpus.write_text("\n".join(lines), encoding="utf-8")
    index = embed_corpus(corpus, model, only_schema(app), folder / "index").value
    return Searcher(app, index, model, threads=1)


def verdicts_of(searcher: Searcher, java: VespaJava) -> dict[str, tuple[Verdict, str]]:
    report = prove(searcher, java, {"q": "greens red", "f": "🦊"}, ProofOptions(pairs=6))
    return {rung.name: (rung.verdict, rung.note) for rung in report.rungs}


def test_what_another_model_fills_is_filled_by_vespa_and_proved(
    java: VespaJava, tmp_path: Path, model: ModelFolder, dense: Path
) -> None:
    vectors = DenseVectors(embedder=read_dense_embedder(dense))
    options = AppOptions(dense=vectors, fusion=Fusion())

    found = verdicts_of(searcher_of(tmp_path, model, folder_embedder(model), options), java)

    for phase in ("second-phase", "global-phase"):
        assert found[f"score, hybrid_int8 {phase}"][0] is Verdict.PASSED
    assert found["score, dense first-phase"] == (
        Verdict.NOT_CHECKED,
        "closeness(field,dense): computed by a content node, not by Java",
    )


def test_a_model_that_is_not_at_hand_is_not_checked(
    java: VespaJava, tmp_path: Path, model: ModelFolder, dense: Path
) -> None:
    options = AppOptions(dense=DenseVectors(embedder=read_dense_embedder(dense, **REMOTE)))

    found = verdicts_of(searcher_of(tmp_path, model, folder_embedder(model), options), java)

    assert found["score, max_sim_float first-phase"][0] is Verdict.PASSED
    assert found["score, dense first-phase"] == (
        Verdict.NOT_CHECKED,
        "query(q_dense): made by a model that Vespa downloads, which is not at hand",
    )


def test_the_model_of_the_index_stands_for_the_one_that_vespa_downloads(
    java: VespaJava, tmp_path: Path, model: ModelFolder
) -> None:
    embedder = published_embedder(model.embedder, **REMOTE)

    searcher = searcher_of(tmp_path, model, embedder, AppOptions())

    assert local_copies(searcher.application, model) == {
        "https://models.example/m.onnx": model.model_path,
        "https://models.example/t.json": model.tokenizer_path,
    }
    found = verdicts_of(searcher, java)
    assert found["rows, packed bits"][0] is Verdict.PASSED
    assert found["score, max_sim_int8 first-phase"][0] is Verdict.PASSED
