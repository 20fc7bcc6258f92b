"""Packages of every layout, from a corpus to scores: what is indexed and ranked is Vespa's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.app.tiny_models import write_colbert
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.errors import IndexFolderError
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.index import LocalIndex
from vespa_colbert.pipeline import (
    ProofOptions,
    Searcher,
    embed_corpus,
    feed_corpus,
    only_schema,
    prove,
)
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType, Tensor
from vespa_colbert.verify.report import Verdict
from vespa_colbert.vespa_java import VespaJava

ALL_CELLS = (CellType.FLOAT, CellType.BFLOAT16, CellType.INT8)
CORPUS = [
    {
        "_id": "one",
        "_group": "ada",
        "title": "red",
        "text": "green greens. Red! red red green? Greens green red",
        "contexts": ["green", "", "red greens", " \t", "green red red"],
    },
    {
        "_id": "two",
        "_group": "ada",
        "text": "greens",
        "contexts": ["greens red", "🦊 red"],
    },
    {
        "_id": "three",
        "_group": "bob",
        "title": "🦊",
        "text": "red green red. 🦊 green. greens red green greens red 🦊",
        "contexts": ["greens"],
    },
]
FLOAT_SUM = 1e-6
"""Sums of a few float32 products, added in another order."""

CHOICES = {
    "contexts": AppOptions(layout="contexts", cell_types=ALL_CELLS, dims=(16, 8)),
    "contexts_without_title": AppOptions(layout="contexts", embed_title=False),
    "chunks": AppOptions(layout="chunks", chunk_length=12),
    "sentences": AppOptions(layout="chunks", chunker="sentence", mode="streaming"),
    "dims": AppOptions(dims=(8, 16), cell_types=ALL_CELLS, storage="fast-rank"),
    "client": AppOptions(embeddings="client", cell_types=ALL_CELLS),
    "client_contexts": AppOptions(embeddings="client", layout="contexts", dims=(8, 16)),
    "tokens": AppOptions(token_retrieval=TokenRetrieval(target_hits=1), cell_types=ALL_CELLS),
}
BY_DEFAULT = {"contexts", "chunks", "tokens"}


def parametrized(names: Iterable[str]) -> list[Any]:
    slow = pytest.mark.slow
    return [name if name in BY_DEFAULT else pytest.param(name, marks=slow) for name in names]


NAMES = parametrized(CHOICES)
NOT_CLIENT = parametrized(name for name in CHOICES if CHOICES[name].embeddings == "vespa")

pytestmark = pytest.mark.java


@pytest.fixture(scope="module")
def java() -> Iterator[VespaJava]:
    with VespaJava() as judge:
        yield judge


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("model"))


def build(model: ModelFolder, options: AppOptions, path: Path) -> tuple[Path, LocalIndex]:
    """Return the folder of a package, and the index of the corpus beside it."""
    app = render_app(
        application_spec(folder_embedder(model), options), path / "app", parse=parse_expression
    ).path
    corpus = path / "corpus.jsonl"
    lines = (json.dumps(each, ensure_ascii=False) for each in CORPUS)
    corpus.write_text("\n".join(lines), encoding="utf-8")
    return app, embed_corpus(corpus, model, only_schema(app), path / "index").value


def operation(row: Mapping[str, object], fields: set[str]) -> dict[str, object]:
    kept = {name: value for name, value in row.items() if name in fields}
    return {"put": f"id:passages:passage::{row['_id']}", "fields": kept}


@pytest.mark.parametrize("name", NOT_CLIENT)
def test_documents_are_indexed_as_vespa_indexes_them(
    java: VespaJava, tmp_path: Path, model: ModelFolder, name: str
) -> None:
    app, index = build(model, CHOICES[name], tmp_path)
    fed = {field.name for field in only_schema(app).document_fields}

    judged = java.index_documents(app, [operation(row, fed) for row in CORPUS])

    assert index.tensors
    for field, rows in index.tensors.items():
        for position, theirs in enumerate(judged):
            assert isinstance(theirs[field], Tensor)
            assert rows.document(position) == theirs[field], (field, position)
    if CHOICES[name].layout == "chunks":
        chunks = [each["chunks"] for each in index.derived]
        assert chunks == [each["chunks"] for each in judged]
        assert len(chunks[0]) > 1


@pytest.mark.parametrize("name", ["client", "client_contexts", "sentences"])
def test_vespa_takes_what_is_fed(
    java: VespaJava, tmp_path: Path, model: ModelFolder, name: str
) -> None:
    app, index = build(model, CHOICES[name], tmp_path)
    feed = tmp_path / "feed.jsonl"

    count = feed_corpus(index, feed, namespace="passages", schema=only_schema(app))

    lines = feed.read_text(encoding="utf-8").splitlines()
    operations = [json.loads(line) for line in lines]
    assert count == len(CORPUS)
    group = ":g=ada:one" if CHOICES[name].mode == "streaming" else "one"
    assert operations[0]["put"].endswith(group)
    judged = java.index_documents(app, operations)
    for field, rows in index.tensors.items():
        for position, theirs in enumerate(judged):
            assert rows.document(position) == theirs[field], (field, position)


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_scores_as_vespa_does(
    java: VespaJava, tmp_path: Path, model: ModelFolder, name: str
) -> None:
    app, index = build(model, CHOICES[name], tmp_path)
    searcher = Searcher(app, index.path, model, threads=1)

    report = prove(searcher, java, {"q": "greens red", "r": "🦊"}, ProofOptions(pairs=6))

    assert [rung for rung in report.rungs if rung.verdict is Verdict.FAILED] == []
    scored = {rung.name for rung in report.rungs if rung.verdict is Verdict.PASSED}
    for profile in searcher.schema.rank_profiles:
        phase = "second" if profile.name == "token_retrieval_int8" else "first"
        if not profile.name.startswith(("bm25", "rerank")):
            assert f"score, {profile.name} {phase}-phase" in scored
        hits = searcher.search("greens red", profile.name, hits=3)
        assert hits, profile.name


def test_hamming_distances_are_ranked_as_vespa_ranks_them(
    java: VespaJava, tmp_path: Path, model: ModelFolder
) -> None:
    app, index = build(model, CHOICES["tokens"], tmp_path)
    searcher = Searcher(app, index.path, model, threads=1)
    ranker = searcher.ranker("token_retrieval_int8")
    query = searcher.query("greens red", "token_retrieval_int8")

    ours = ranker.scores(query, ranker.phases["first-phase"], ranker.documents.everything)

    # Vespa's Java divides no number by a tensor, but joins them by the same function.
    inverse = "join(1, 1 + sum(hamming(qtb, attribute), x), f(a,b)(a / b))"
    for position, score in enumerate(ours.tolist()):
        theirs = java.evaluate_expression(
            f"sum(reduce({inverse}, max, dt), qt)",
            {
                "qtb": query.tensors["qtb"],
                "attribute": index.tensors["colbert_int8"].document(position),
            },
        )
        assert score == pytest.approx(theirs.as_number(), rel=FLOAT_SUM)


def test_a_query_token_finds_its_nearest_documents_alone(
    tmp_path: Path, model: ModelFolder
) -> None:
    app, index = build(model, CHOICES["tokens"], tmp_path)
    searcher = Searcher(app, index.path, model, threads=1)

    query = searcher.query("greens", "token_retrieval_float")
    found = searcher.candidates(query, "token_retrieval_float")

    # [CLS] and [SEP] of the query point where those of documents do, [Q] where no token does: each
    # finds one document, the first of equals. "🦊" is in the last one alone.
    assert found is not None
    assert "three" not in {index.documents[place].id for place in found.tolist()}
    fox = searcher.candidates(
        searcher.query("🦊", "token_retrieval_float"), "token_retrieval_float"
    )
    assert fox is not None
    assert "three" in {index.documents[place].id for place in fox.tolist()}


def test_the_text_that_answers_best_is_shown(tmp_path: Path, model: ModelFolder) -> None:
    app, index = build(model, CHOICES["contexts"], tmp_path)
    searcher = Searcher(app, index.path, model, threads=1)

    (hit,) = [hit for hit in searcher.search("🦊", "max_sim_float") if hit.id == "two"]
    matched = searcher.matched_tokens("🦊", "max_sim_float", hit)
    by_token = {each.query_token: each for each in matched}
    assert by_token["🦊"].document_token == "🦊"
    assert sum(each.value for each in matched) == pytest.approx(hit.relevance, rel=FLOAT_SUM)
    (short,) = [hit for hit in searcher.search("red", "max_sim_float_8") if hit.id == "one"]
    matched = searcher.matched_tokens("red", "max_sim_float_8", short)
    assert sum(each.value for each in matched) == pytest.approx(short.relevance, rel=FLOAT_SUM)


def test_documents_without_what_is_embedded_make_no_index(
    tmp_path: Path, model: ModelFolder
) -> None:
    spec = application_spec(folder_embedder(model), CHOICES["contexts"])
    app = render_app(spec, tmp_path / "app", parse=parse_expression).path
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "a", "title": "t", "text": "red"}\n', encoding="utf-8")

    with pytest.raises(IndexFolderError, match="expected documents with what it embeds, got none"):
        embed_corpus(corpus, model, only_schema(app), tmp_path / "index")

    assert not (tmp_path / "index").exists()
