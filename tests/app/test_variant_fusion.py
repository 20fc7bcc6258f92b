"""Words, dense vectors and MaxSim brought together: what is printed, and what Vespa makes of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.indexed_documents import asked, indexed, ranker_of, reranked
from tests.app.judged_package import assert_vespa_takes
from tests.app.tiny_models import DENSE_DIM, write_colbert, write_dense
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    application_spec,
    folder_embedder,
    render_app,
)
from vespa_colbert.app.dense_embedder import read_dense_embedder
from vespa_colbert.app.options import DenseVectors, Fusion
from vespa_colbert.errors import SpecError
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType, Tensor
from vespa_colbert.vespa_java import VespaJava

SCORE = 1e-6
"""Relative: scores in double; MaxSim sums in float here."""

CHOICES = {
    "ranks": (True, Fusion()),
    "ranks_by_words": (True, Fusion(first_phase="words", k=7.5)),
    "normalized": (True, Fusion(fusing="normalized", rerank_count=5)),
    "weighted": (True, Fusion(fusing="weighted")),
    "ranks_without_dense": (False, Fusion()),
    "normalized_without_dense": (False, Fusion(fusing="normalized", words_weight=1.5)),
    "weighted_without_dense": (False, Fusion(fusing="weighted", max_sim_weight=0)),
}
BY_DEFAULT = {"ranks", "normalized", "weighted_without_dense"}
NAMES = [
    name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in CHOICES
]
PROFILES = ("hybrid_float", "hybrid_int8")
QUESTION = "What is a red rose, green vespa?"
WITH_A_WORD = {"0", "2", "4"}
"""Documents that have a word of the question: the others share none of the seven with it."""


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("colbert") / "model")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> DenseVectors:
    spec = DenseSpec(dim=DENSE_DIM, max_tokens=128, pooling="mean", normalize=True)
    folder = write_dense(tmp_path_factory.mktemp("dense") / "model", spec)
    return DenseVectors(embedder=read_dense_embedder(folder))


def spec_of(
    colbert: ModelFolder, vectors: DenseVectors, name: str, options: AppOptions | None = None
) -> ApplicationSpec:
    has_dense, fusion = CHOICES[name]
    chosen = replace(options or AppOptions(), fusion=fusion, dense=vectors if has_dense else None)
    return application_spec(folder_embedder(colbert), chosen)


@pytest.mark.java
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", ["passage", pytest.param("contexts", marks=pytest.mark.slow)])
def test_vespa_takes_it_and_derives_the_profiles_that_are_read(
    java: VespaJava,
    tmp_path: Path,
    colbert: ModelFolder,
    vectors: DenseVectors,
    name: str,
    layout: str,
) -> None:
    options = replace(AppOptions(), layout=layout)  # type: ignore[arg-type]
    spec = spec_of(colbert, vectors, name, options)
    assert_vespa_takes(java, spec, tmp_path / "app")


def test_what_any_of_them_finds_is_ranked_by_all(
    colbert: ModelFolder, vectors: DenseVectors
) -> None:
    spec = spec_of(colbert, vectors, "ranks")
    profile = spec.schemas[0].profile("hybrid_int8")

    assert profile.first_phase == "dense_closeness"
    assert profile.second_phase is not None
    assert profile.second_phase.expression == "max_sim"
    assert profile.global_phase is not None
    assert profile.global_phase.expression == (
        "reciprocal_rank(max_sim, 60.0) + reciprocal_rank(dense_closeness, 60.0) + "
        "reciprocal_rank(words, 60.0)"
    )
    functions = {each.name: each.expression for each in profile.functions}
    assert functions["dense_closeness"] == "closeness(field, dense)"
    assert functions["words"] == "bm25(title) + bm25(text)"
    assert "colbert_int8" in functions["max_sim"]
    assert set(profile.match_features) == {
        "max_sim",
        "dense_closeness",
        "words",
        "bm25(title)",
        "bm25(text)",
    }
    (query,) = [each for each in spec.queries if each.profile == "hybrid_int8"]
    assert query.where == ("userInput(@text) or ({targetHits:100}nearestNeighbor(dense, q_dense))")
    assert dict(query.inputs) == {
        "qt": "embed(colbert, @text)",
        "q_dense": "embed(dense, @text)",
    }


def test_weights_are_inputs_with_a_default(colbert: ModelFolder, vectors: DenseVectors) -> None:
    spec = spec_of(colbert, vectors, "weighted")
    profile = spec.schemas[0].profile("hybrid_float")

    assert {each.name: each.default for each in profile.inputs if each.default} == {
        "max_sim_weight": "0.4",
        "dense_closeness_weight": "0.4",
        "words_weight": "0.2",
    }
    assert profile.global_phase is None
    assert profile.second_phase is not None
    assert profile.second_phase.expression == (
        "query(max_sim_weight) * max_sim + query(dense_closeness_weight) * dense_closeness + "
        "query(words_weight) * words"
    )


def test_without_dense_vectors_words_and_max_sim_are_fused(
    colbert: ModelFolder, vectors: DenseVectors
) -> None:
    spec = spec_of(colbert, vectors, "normalized_without_dense")
    profile = spec.schemas[0].profile("hybrid_float")

    assert profile.first_phase == "words"
    assert profile.global_phase is not None
    assert profile.global_phase.expression == (
        "query(max_sim_weight) * normalize_linear(max_sim) + "
        "query(words_weight) * normalize_linear(words)"
    )
    (query,) = [each for each in spec.queries if each.profile == "hybrid_float"]
    assert query.where == "userInput(@text)"
    assert "dense" not in spec.schemas[0].profile_names


@pytest.mark.java
@pytest.mark.parametrize("name", NAMES)
def test_hits_are_ranked_as_vespa_ranks_them(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, vectors: DenseVectors, name: str
) -> None:
    has_dense, fusion = CHOICES[name]
    app = render_app(spec_of(colbert, vectors, name), tmp_path / "app", parse=parse_expression).path
    documents = indexed(java, app)

    for profile in PROFILES:
        query = asked(java, app, profile, QUESTION)
        assert len(query.nearest) == has_dense
        ranker = ranker_of(app, profile, documents)
        hits = ranker.rank(query, hits=len(documents))
        assert {hit.id for hit in hits} == (set(documents.ids) if has_dense else WITH_A_WORD)
        for hit in hits:
            said = {name: numbers(value) for name, value in hit.match_features.items()}
            features = {
                **{f"query({name})": tensor for name, tensor in query.tensors.items()},
                **{name: Tensor.number(value) for name, value in said.items()},
                f"attribute(colbert_{profile[7:]})": tensor_of(documents, profile, hit.position),
                "closeness(field,dense)": Tensor.number(said.get("dense_closeness", 0.0)),
            }
            for function in ("max_sim", "second-phase"):
                needed = java.function_arguments(app, "passage", profile, function)
                bindings = {name: features[name] for name in needed if name in features}
                theirs = java.evaluate(app, "passage", profile, function, bindings).as_number()
                is_relevance = function == "second-phase" and fusion.fusing == "weighted"
                value = hit.relevance if is_relevance else said["max_sim"]
                assert value == pytest.approx(theirs, rel=SCORE)
        if fusion.fusing == "weighted":
            continue
        theirs_all = reranked(java, app, ranker, query)
        assert [hit.id for hit in hits] == [hit.id for hit in theirs_all]
        for mine, other in zip(hits, theirs_all, strict=True):
            assert mine.relevance == pytest.approx(other.relevance, rel=SCORE)


def numbers(value: float | Tensor) -> float:
    assert isinstance(value, float)
    return value


def tensor_of(documents: object, profile: str, position: int) -> Tensor:
    found = documents.tensors[f"colbert_{profile[7:]}"].document(position)  # type: ignore[attr-defined]
    assert isinstance(found, Tensor)
    return found


@pytest.mark.java
def test_a_query_can_bring_other_weights(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, vectors: DenseVectors
) -> None:
    app = render_app(
        spec_of(colbert, vectors, "weighted"), tmp_path / "app", parse=parse_expression
    ).path
    query = asked(java, app, "hybrid_float", "What is a red rose?")
    weights = {
        name: Tensor.number(weight)
        for name, weight in (
            ("max_sim_weight", 0.0),
            ("dense_closeness_weight", 2.0),
            ("words_weight", 0.0),
        )
    }
    query = replace(query, tensors={**query.tensors, **weights})

    for hit in ranker_of(app, "hybrid_float", indexed(java, app)).rank(query):
        closeness = hit.match_features["dense_closeness"]
        assert isinstance(closeness, float)
        assert hit.relevance == pytest.approx(2 * closeness, rel=SCORE)


def test_numbers_that_cannot_be_are_refused(colbert: ModelFolder) -> None:
    fusion = Fusion(k=-1, max_sim_weight=math.nan, words_weight=math.inf, rerank_count=0)

    with pytest.raises(SpecError) as caught:
        application_spec(folder_embedder(colbert), AppOptions(fusion=fusion))

    assert len(caught.value.faults) == 4
    for name in ("k:", "max_sim_weight:", "words_weight:", "a rerank count of 1"):
        assert name in str(caught.value)


def test_each_kind_of_token_vectors_has_its_profile(
    colbert: ModelFolder, vectors: DenseVectors
) -> None:
    options = AppOptions(dims=(8, 16), cell_types=(CellType.INT8, CellType.BFLOAT16))
    names = spec_of(colbert, vectors, "ranks", options).schemas[0].profile_names

    assert {name for name in names if name.startswith("hybrid")} == {
        "hybrid_int8",
        "hybrid_int8_8",
        "hybrid_bfloat16",
        "hybrid_bfloat16_8",
    }
