"""Words, dense vectors, MaxSim and a cross-encoder in one package, asked here as in Vespa."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.app.indexed_documents import reranked
from tests.app.recipe_models import (
    CORPUS,
    DENSE,
    QUESTIONS,
    input_of_another_model,
    write_recipe_models,
)
from tests.app.recipe_texts import RECIPES
from tests.app.tiny_models import dense_vector
from vespa_colbert.app import render_app
from vespa_colbert.embedder import LocalDenseEmbedder
from vespa_colbert.errors import SchemaSyntaxError, SpecError
from vespa_colbert.evaluate import (
    EvaluationOptions,
    JudgedCollection,
    beir_files,
    read_judged,
)
from vespa_colbert.export import TOKENIZER_FILE, ModelFolder
from vespa_colbert.pipeline import (
    Contender,
    Searcher,
    embed_corpus,
    evaluate,
    evaluate_applications,
    only_schema,
)
from vespa_colbert.pipeline.candidates import Finding
from vespa_colbert.pipeline.packaged_models import DenseModel
from vespa_colbert.pipeline.query import other_inputs, package_queries
from vespa_colbert.pipeline.served import Served
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import read_recipe, recipe_application
from vespa_colbert.tensor import CellType, TensorType
from vespa_colbert.vespa_java import VespaJava

RECIPE = "dense, reciprocal rank, cross-encoder"
CONTEXTS = "contexts, cross-encoder of XLM-R"
TEXTS = tuple(each for each in CORPUS if f"{each.get('title', '')}{each['text']}".strip(" \t.!?"))
FLOAT_STEPS = 2e-6
"""Components of pooled rows, summed in float by the graph and in double or by Java elsewhere."""
SCORES = 1e-5
"""Of the graph's logits in the same release of ONNX Runtime, and of sums of float products."""


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_recipe_models(tmp_path_factory.mktemp("hybrid"))


def package(model: ModelFolder, name: str = RECIPE) -> Path:
    folder = model.path.parents[1]
    recipe = folder / f"{name}.toml"
    recipe.write_text(RECIPES[name], encoding="utf-8")
    spec = recipe_application(read_recipe(recipe))
    return render_app(spec, folder / name / "app", parse=parse_expression).path


def open_searcher(model: ModelFolder, name: str = RECIPE) -> Searcher:
    return searcher_of(model, package(model, name))


def corpus_of(model: ModelFolder) -> Path:
    return model.path.parents[1] / "corpus.jsonl"


def searcher_of(model: ModelFolder, app: Path) -> Searcher:
    index = app.parent / "index"
    embed_corpus(corpus_of(model), model, only_schema(app), index, threads=1)
    return Searcher(app, index, model, threads=1)


@pytest.fixture(scope="module", name="searcher")
def searcher_fixture(model: ModelFolder) -> Searcher:
    return open_searcher(model)


def filled(searcher: Searcher) -> Iterator[str]:
    """Yield the profiles that ask for other models."""
    for each in searcher.schema.rank_profiles:
        if other_inputs(searcher.schema.profile(each.name)):
            yield each.name


def test_dense_hits_are_the_nearest_by_the_models_definition(
    model: ModelFolder, searcher: Searcher
) -> None:
    spec, folder = DENSE["dense"], model.path.parents[1] / "dense"
    for text in QUESTIONS:
        asked = dense_vector(folder, spec, f"{spec.query_prepend}{text}")
        wanted = {}
        for document in searcher.index.documents:
            said = f"{document.text('title')} {document.text('text')}"
            if said.strip():
                found = dense_vector(folder, spec, f"{spec.document_prepend}{said}", 256)
                # Of prenormalized-angular: 1 / (1 + angle's distance, which is 1 - cosine).
                wanted[document.id] = 1 / (2 - float(asked @ found))

        hits = {hit.id: hit.relevance for hit in searcher.search(text, "dense", hits=100)}

        assert hits == pytest.approx(wanted, abs=FLOAT_STEPS)


def test_every_profile_ranks_and_the_inputs_are_those_of_the_models(
    model: ModelFolder, searcher: Searcher
) -> None:
    names = list(filled(searcher))
    assert {"dense", "hybrid_float", "cross_encode_hybrid_int8"} <= set(names)
    models = {"q_dense": "dense", "q_tokens": "cross-encoder-xlm-r"}
    for name in names:
        for text in QUESTIONS:
            query = searcher.query(text, name)
            for other in other_inputs(searcher.schema.profile(name)):
                tensor = query.tensors[other]
                wanted = input_of_another_model(
                    model.path.parents[1] / models[other], tensor.type, text
                )
                np.testing.assert_allclose(tensor.values, wanted.values, atol=FLOAT_STEPS)
            assert searcher.search(text, name)


def test_vectors_of_documents_are_made_once_and_kept_beside_the_index(
    model: ModelFolder, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [hit.id for hit in searcher.search(QUESTIONS[0], "dense")]
    assert len(list((searcher.application.parent).glob("vectors-*.bin"))) == 1
    roles: list[str] = []
    pooled = LocalDenseEmbedder.pooled

    def heard(self: LocalDenseEmbedder, texts: list[str], role: str, **more: object) -> object:
        roles.extend([role] * (len(texts) > 1))
        return pooled(self, texts, role, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalDenseEmbedder, "pooled", heard)

    again = Searcher(searcher.application, searcher.application.parent / "index", model, threads=1)

    assert [hit.id for hit in again.search(QUESTIONS[0], "dense")] == first
    assert not roles


def test_documents_without_a_word_and_not_among_the_nearest_are_not_found(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = searcher.query("rose", "hybrid_float")
    asked = package_queries(searcher.application)["hybrid_float"]
    assert "targetHits:100" in asked.where
    counted = searcher.candidates(query, "hybrid_float", Finding(target_hits=1))
    few = replace(asked, where=asked.where.replace("targetHits:100", "targetHits:1"))
    monkeypatch.setitem(searcher._queries, "hybrid_float", few)

    found = searcher.candidates(query, "hybrid_float")

    assert found is not None
    with_word = [
        place
        for place, each in enumerate(searcher.index.documents)
        if "rose" in f"{each.text('title')} {each.text('text')}".lower()
    ]
    nearest = searcher.search("rose", "dense", hits=1)[0].position
    assert found.tolist() == sorted({*with_word, nearest})
    assert counted is not None
    assert counted.tolist() == found.tolist()


def test_what_no_model_of_the_package_fills_is_refused(model: ModelFolder, tmp_path: Path) -> None:
    searcher = open_searcher(model, "dense of a client")

    with pytest.raises(SpecError, match=r"query\(q_dense\).*not in the package"):
        searcher.query("rose", "dense")


def test_a_statement_that_is_not_understood_is_refused_where_it_is_needed_alone(
    model: ModelFolder, tmp_path: Path
) -> None:
    app = shutil.copytree(package(model), tmp_path / "app")
    (schema,) = (app / "schemas").glob("*.sd")
    text, statement = schema.read_text("utf-8"), "| embed cross_encoder_tokenizer"
    assert statement in text
    schema.write_text(text.replace(statement, f"| lowercase {statement}"), encoding="utf-8")
    searcher = searcher_of(model, app)

    assert searcher.search(QUESTIONS[0], "rerank_float")
    with pytest.raises(SchemaSyntaxError, match=r"cross_encoder_tokens.*not understood"):
        searcher.search(QUESTIONS[0], "cross_encode_float")


@pytest.mark.parametrize(
    "name", ["contexts, dense bits, reciprocal rank", "dense, short bits", "dense, streaming"]
)
def test_layouts_and_cells_are_filled_as_their_field_says(model: ModelFolder, name: str) -> None:
    searcher = open_searcher(model, name)

    for profile in filled(searcher):
        assert len(searcher.search(QUESTIONS[0], profile, hits=100)) == len(searcher.index)


def test_a_cross_encoder_reads_the_texts_of_a_list_as_one_text(model: ModelFolder) -> None:
    searcher = open_searcher(model, CONTEXTS)
    folder = model.path.parents[1] / "cross-encoder-xlm-r"
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))

    made = searcher.ranker("cross_encode_float").documents.tensors["cross_encoder_tokens"]

    rows = [json.loads(line) for line in corpus_of(model).read_text("utf-8").splitlines()]
    for position, row in enumerate(rows):
        text = " ".join([row.get("title", ""), *row["contexts"]])
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        got = made.document(position).values.ravel()
        count = min(len(ids), len(got))
        assert got.tolist() == ids[:count] + [0] * (len(got) - count)
    assert searcher.search(QUESTIONS[0], "cross_encode_float")


def test_each_phase_is_a_row_of_an_evaluation(model: ModelFolder, tmp_path: Path) -> None:
    app = package(model)
    judged = collection(model, tmp_path)
    phases = ("bm25", "dense", "max_sim_float", "hybrid_float", "cross_encode_hybrid_float")
    contender = Contender(application=app, model=model, profiles=phases, threads=1)

    found = evaluate_applications(
        judged, [contender], tmp_path / "work", EvaluationOptions(measures=("nDCG@10",))
    )

    assert sorted(row.system.name for row in found.rows) == sorted(phases)
    assert not found.skipped
    searcher = open_searcher(model)
    for row in found.rows:
        hits = searcher.search(QUESTIONS[0], str(row.system.profile), hits=100)
        assert row.system.run["q"] == [hit.id for hit in hits]


def test_the_time_of_a_query_is_that_of_ranking_it(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, embed = list[str](), DenseModel.query

    def heard(self: DenseModel, text: str, kind: TensorType) -> object:
        embedded.append(text)
        return embed(self, text, kind)

    monkeypatch.setattr(DenseModel, "query", heard)
    # A clock that goes on when a question is embedded.
    clock = SimpleNamespace(perf_counter=lambda: float(len(embedded)))
    monkeypatch.setattr(evaluate, "time", clock)
    contender = Contender(
        application=package(model), model=model, profiles=("dense", "hybrid_float"), threads=1
    )

    found = evaluate_applications(
        collection(model, tmp_path),
        [contender],
        tmp_path / "work",
        EvaluationOptions(measures=("nDCG@10",)),
    )

    assert embedded
    assert [row.system.facts["seconds-a-query"] for row in found.rows] == [0.0, 0.0]


def collection(model: ModelFolder, folder: Path) -> JudgedCollection:
    source = folder / "collection"
    (source / "qrels").mkdir(parents=True)
    corpus = corpus_of(model).read_text("utf-8")
    (source / "corpus.jsonl").write_text(corpus, encoding="utf-8")
    (source / "queries.jsonl").write_text(f'{{"_id": "q", "text": "{QUESTIONS[0]}"}}\n')
    (source / "qrels" / "test.tsv").write_text("q\t0 d\t1\n")
    return read_judged(beir_files(source))


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields", "least"),
    [(RECIPE, ("dense", "cross_encoder_tokens"), 100), (CONTEXTS, ("cross_encoder_tokens",), 10)],
)
def test_documents_questions_and_the_global_phase_are_those_of_vespa(
    model: ModelFolder, name: str, fields: tuple[str, ...], least: int
) -> None:
    searcher = open_searcher(model, name)
    app, checked = searcher.application, 0
    documents = searcher.ranker(next(filled(searcher))).documents
    with VespaJava() as java:
        theirs = Served(searcher, java, range(len(searcher.index)))
        for field in fields:
            for position in range(len(searcher.index)):
                wanted = theirs.documents.tensors[field].document(position)
                got = documents.tensors[field].document(position)
                assert got.type == wanted.type
                exact = field != "dense"
                allowed = 0 if exact else FLOAT_STEPS
                np.testing.assert_allclose(got.values, wanted.values, atol=allowed, rtol=0)
        for profile in filled(searcher):
            ranker = searcher.ranker(profile)
            for text in QUESTIONS:
                query, asked = searcher.query(text, profile), theirs.query(text, profile)
                assert query.tensors.keys() == asked.tensors.keys()
                for each, tensor in asked.tensors.items():
                    got = query.tensors[each]
                    assert got.type == tensor.type
                    if tensor.type.cell_type is not CellType.INT8:
                        np.testing.assert_allclose(got.values, tensor.values, atol=FLOAT_STEPS)
                if "global-phase" not in ranker.phases:
                    continue
                hits = {hit.id: hit.relevance for hit in reranked(java, app, ranker, asked)}
                for hit in searcher.search(text, profile, hits=100):
                    assert hit.relevance == pytest.approx(hits[hit.id], rel=SCORES, abs=SCORES)
                    checked += 1
    assert checked > least
