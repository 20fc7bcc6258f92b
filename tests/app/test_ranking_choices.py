"""How words take part, what MaxSim ranks alone, and the cross-encoder among what is fused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.app.tiny_models import DENSE_DIM, write_colbert, write_cross_encoder, write_dense
from vespa_colbert.app import AppOptions, RankProfile, application_spec, folder_embedder
from vespa_colbert.app.cross_encoder import read_cross_encoder
from vespa_colbert.app.dense_embedder import read_dense_embedder
from vespa_colbert.app.options import CrossEncoding, DenseVectors, Fusion
from vespa_colbert.errors import SpecError
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec
from vespa_colbert.export.dense_spec import DenseSpec
from vespa_colbert.export.model_folder import ModelFolder


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("colbert") / "model")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> DenseVectors:
    spec = DenseSpec(dim=DENSE_DIM, max_tokens=128, pooling="mean", normalize=True)
    folder = write_dense(tmp_path_factory.mktemp("dense") / "model", spec)
    return DenseVectors(embedder=read_dense_embedder(folder))


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoding:
    folder = tmp_path_factory.mktemp("cross") / "model"
    encoder = read_cross_encoder(
        write_cross_encoder(folder, CrossEncoderSpec(max_tokens=32), "bert")
    )
    return CrossEncoding(encoder=encoder, query_tokens=8)


def profile_of(colbert: ModelFolder, options: AppOptions, name: str) -> RankProfile:
    schema = application_spec(folder_embedder(colbert), options).schemas[0]
    return next(each for each in schema.rank_profiles if each.name == name)


def expression_of(profile: RankProfile, phase: str) -> str:
    found = {"second": profile.second_phase, "global": profile.global_phase}[phase]
    return "" if found is None else found.expression


def test_maxsim_alone_ranks_what_dense_vectors_find(
    colbert: ModelFolder, vectors: DenseVectors
) -> None:
    options = AppOptions(dense=vectors, fusion=Fusion(fusing="max-sim", words="none"))

    profile = profile_of(colbert, options, "hybrid_int8")

    assert profile.first_phase == "dense_closeness"
    assert expression_of(profile, "second") == "max_sim"
    assert profile.global_phase is None
    assert [each.name for each in profile.inputs] == ["q_dense"]
    assert [each.name for each in profile.functions] == ["dense_closeness"]


def test_words_by_field_share_one_weight(colbert: ModelFolder) -> None:
    fusion = Fusion(fusing="weighted", words="apart", words_weight=0.25)

    profile = profile_of(colbert, AppOptions(layout="contexts", fusion=fusion), "hybrid_int8")

    assert expression_of(profile, "second") == (
        "query(max_sim_weight) * max_sim + query(words_weight) * bm25(title)"
        " + query(words_weight) * bm25(contexts)"
    )
    assert {each.name: each.default for each in profile.inputs} == {
        "max_sim_weight": "0.4",
        "words_weight": "0.25",
    }
    assert profile.match_features == ("max_sim", "bm25(title)", "bm25(contexts)")


def test_the_cross_encoder_is_one_of_what_is_fused(
    colbert: ModelFolder, vectors: DenseVectors, encoding: CrossEncoding
) -> None:
    options = AppOptions(
        dense=vectors,
        fusion=Fusion(words="none", k=10),
        cross_encoding=replace(encoding, fused=True, score="sigmoid"),
    )

    profile = profile_of(colbert, options, "cross_encode_hybrid_int8")
    alone = profile_of(colbert, options, "cross_encode_int8")

    assert expression_of(profile, "global") == (
        "reciprocal_rank(max_sim, 10.0) + reciprocal_rank(dense_closeness, 10.0)"
        " + reciprocal_rank(cross_encoder_score, 10.0)"
    )
    (score,) = [each for each in profile.functions if each.name == "cross_encoder_score"]
    assert score.expression == expression_of(alone, "global")
    assert score.expression.startswith("sigmoid(onnx(cross_encoder)")


def test_bm25_counts_as_it_is_told_wherever_it_ranks(colbert: ModelFolder) -> None:
    options = AppOptions(bm25_k1=0.9, bm25_b=0, fusion=Fusion())
    wanted = tuple(
        (f"bm25({field}).{name}", value)
        for field in ("title", "text")
        for name, value in (("k1", "0.9"), ("b", "0.0"))
    )

    for name in ("bm25", "rerank_int8", "hybrid_float"):
        assert profile_of(colbert, options, name).properties == wanted
    assert profile_of(colbert, options, "max_sim_int8").properties == ()
    assert profile_of(colbert, AppOptions(), "bm25").properties == ()


def test_what_could_not_rank_is_refused(colbert: ModelFolder, encoding: CrossEncoding) -> None:
    options = AppOptions(
        bm25_k1=math.inf,
        bm25_b=1.5,
        fusion=Fusion(fusing="weighted", words="none"),
        cross_encoding=replace(encoding, fused=True),
    )

    with pytest.raises(SpecError) as caught:
        application_spec(folder_embedder(colbert), options)

    assert caught.value.faults == (
        "bm25: k1: expected a number of 0 or more, got inf",
        "bm25: b: expected a number from 0 to 1, got 1.5",
        "fusion: without words and without dense vectors there is nothing to fuse with MaxSim",
        "cross-encoder: its rank is fused where scores are, by reciprocal-rank",
    )
