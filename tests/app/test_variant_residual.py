"""Token vectors kept as residuals: printed, read back, and ranked as Vespa's Java and numpy do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.judged_package import assert_vespa_takes
from tests.codec.codec_cases import trained, unit_vectors
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    application_spec,
    published_embedder,
    read_schema,
    render_app,
)
from vespa_colbert.app.component import RemoteFile
from vespa_colbert.app.options import Fusion, TokenRetrieval
from vespa_colbert.app.residual_vectors import read_residual_vectors
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.codec import ResidualCodec, ResidualCodes, write_codec
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.plan import Lengths, choices, plan_application
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.rank.documents import Documents, field_tensors
from vespa_colbert.rank.kernels import queries
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.validate import Severity, validate_application
from vespa_colbert.vespa_java import VespaJava

SCORE = 1e-5
"""Absolute: sums of float products of vectors of length 1, in double in Java."""

PAIRS = 200
FIELD = "colbert_residual"
PROFILES = {
    "max_sim_residual": "max_sim",
    "max_sim_residual_unscaled": "max_sim_unscaled",
    "coarse_to_fine_residual": "max_sim_centroids",
}
RESIDUAL_PROFILES = (
    "max_sim_residual",
    "rerank_residual",
    "max_sim_residual_unscaled",
    "coarse_to_fine_residual",
)
SIZES = [(2, 128), (2, 64), (1, 128), (1, 64), (4, 128), (4, 64)]


ALONE: dict[str, Any] = {"cell_types": ()}
"""No token vectors beside the residuals."""


def package(
    tmp_path: Path, facts: EmbedderSpec, bits: int, dim: int, **choices: Any
) -> ApplicationSpec:
    write_codec(trained(bits, dim), tmp_path / "codec")
    files = (RemoteFile(url=f"https://m.example/{name}") for name in ("m.onnx", "t.json"))
    embedder = published_embedder(
        replace(facts, dim=dim), transformer=next(files), tokenizer=next(files)
    )
    vectors = read_residual_vectors(tmp_path / "codec")
    return application_spec(embedder, AppOptions(residual=vectors, **choices))


def documents(codec: ResidualCodec, count: int) -> list[ResidualCodes]:
    lengths = np.random.default_rng(4).integers(1, 9, count).tolist()
    return [
        codec.encode(unit_vectors(length, codec.dim, seed=100 + place, topics=6))
        for place, length in enumerate(lengths)
    ]


def tensor(codes: ResidualCodes) -> Tensor:
    kind = TensorType.parse(f"tensor<int8>(c{{}},dt{{}},x[{codes.residuals.shape[1]}])")
    rows = zip(codes.centroids.tolist(), codes.residuals.view(np.int8), strict=True)
    return Tensor.from_subspaces(
        kind, {(str(number), str(place)): row for place, (number, row) in enumerate(rows)}
    )


def query(dim: int, tokens: int = 5, seed: int = 8) -> Tensor:
    kind = TensorType.parse(f"tensor<float>(qt{{}},x[{dim}])")
    return Tensor.rows(kind, unit_vectors(tokens, dim, seed=seed, topics=6))


def by_numpy(
    profile: str, asked: TokenVectors, codec: ResidualCodec, codes: ResidualCodes
) -> float:
    vectors = {
        "max_sim_residual": codec.decode(codes),
        "max_sim_residual_unscaled": codec.rebuilt(codes),
        "coarse_to_fine_residual": codec.centroids[codes.centroids],
    }[profile]
    products = asked.astype(np.float64) @ vectors.astype(np.float64).T
    return float(products.max(axis=1).sum())


@pytest.mark.parametrize(("bits", "dim"), [(1, 16), (2, 16), (4, 32)])
def test_a_schema_with_residuals_is_read_as_it_was_printed(
    tmp_path: Path, facts: EmbedderSpec, bits: int, dim: int
) -> None:
    spec = package(tmp_path, facts, bits, dim)
    printed = render_app(spec, tmp_path / "app", parse=parse_expression)
    assert read_schema(printed.schemas[0]) == spec.schemas[0]
    copied = tmp_path / "app" / "files" / "centroids.tbf"
    assert copied.read_bytes() == (tmp_path / "codec" / "centroids.tbf").read_bytes()
    types = {each.name: each.type for each in spec.schemas[0].document_fields}
    assert types[FIELD] == f"tensor<int8>(c{{}},dt{{}},x[{dim * bits // 8}])"


@pytest.mark.parametrize("size", [(1, 16), (2, 16), (4, 32)], ids=str)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("with_numba", [True, False], ids=["numba", "numpy"])
def test_kernels_algebra_and_numpy_agree(
    tmp_path: Path,
    facts: EmbedderSpec,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    profile: str,
    with_numba: bool,
) -> None:
    bits, dim = size
    monkeypatch.setattr(queries, "WORTH_COMPILING", 0 if with_numba else 2**60)
    spec = package(tmp_path, facts, bits, dim)
    render_app(spec, tmp_path / "app", parse=parse_expression)
    codec = trained(bits, dim)
    stored = documents(codec, 30)
    kind = TensorType.parse(f"tensor<int8>(c{{}},dt{{}},x[{codec.width}])")
    held = Documents(
        ids=[str(each) for each in range(30)],
        tensors={FIELD: field_tensors(kind, [tensor(each) for each in stored])},
        values={},
        where="test",
    )
    ranker = Ranker.from_application(tmp_path / "app", profile, held)
    for tokens in (1, 5, 40):
        asked = query(dim, tokens, seed=tokens)
        run = ranker.run(RankQuery(text="", tensors={"qt": asked}), held.everything)
        node = ranker.compiled.first
        scores = run.numbers_of(node)
        run.evaluation.forget()
        run.evaluation.uses_kernels = False
        np.testing.assert_allclose(scores, run.numbers_of(node), rtol=0, atol=SCORE * tokens)
        wanted = [by_numpy(profile, asked.values, codec, each) for each in stored]
        np.testing.assert_allclose(scores, wanted, rtol=0, atol=SCORE * tokens)


@pytest.mark.parametrize("embeddings", ["vespa", "client"])
@pytest.mark.parametrize("embed_title", [True, False])
def test_documents_may_hold_residuals_and_no_other_tensor(
    tmp_path: Path, facts: EmbedderSpec, embeddings: str, embed_title: bool
) -> None:
    choices = {**ALONE, "embeddings": embeddings, "embed_title": embed_title}
    spec = package(tmp_path, facts, 2, 16, **choices)
    printed = render_app(spec, tmp_path / "app", parse=parse_expression)
    schema = read_schema(printed.schemas[0])
    assert schema == spec.schemas[0]
    assert [each.name for each in schema.fields if each.tensor_type is not None] == [FIELD]
    assert [each.name for each in schema.rank_profiles] == ["bm25", *RESIDUAL_PROFILES]
    text = '(input title || "") . " " . (input text || "")' if embed_title else "input text"
    assert printed.fed == {FIELD: f"{text} | attribute"}
    asked = {each.profile: dict(each.inputs) for each in printed.queries}
    embed = "embed(colbert, @text)" if embeddings == "vespa" else ""
    assert asked == {"bm25": {}, **{name: {"qt": embed} for name in RESIDUAL_PROFILES}}
    assert [each.name for each in spec.components] == (["colbert"] if embed else [])


@pytest.mark.parametrize(
    ("choices", "what"),
    [
        ({"dims": (8,)}, "dims"),
        ({"token_retrieval": TokenRetrieval()}, "token retrieval"),
        ({"fusion": Fusion()}, "fusion"),
    ],
)
def test_what_needs_whole_vectors_is_refused_beside_residuals_alone(
    tmp_path: Path, facts: EmbedderSpec, choices: dict[str, Any], what: str
) -> None:
    with pytest.raises(SpecError, match=f"{what}: expected token vectors of some cell type"):
        package(tmp_path, facts, 2, 16, **ALONE, **choices)


@pytest.mark.java
@pytest.mark.parametrize(
    ("choices", "size", "pairs"),
    [
        ({}, (2, 128), 12),
        (ALONE, (2, 128), 12),
        *(
            pytest.param(choices, size, PAIRS, marks=pytest.mark.slow)
            for choices in ({}, ALONE)
            for size in SIZES
        ),
    ],
)
def test_vespa_s_java_rebuilds_the_vectors_and_scores_as_numpy(
    tmp_path: Path,
    facts: EmbedderSpec,
    java: VespaJava,
    choices: dict[str, Any],
    size: tuple[int, int],
    pairs: int,
) -> None:
    bits, dim = size
    spec = package(tmp_path, facts, bits, dim, **choices)
    assert_vespa_takes(java, spec, tmp_path / "app")
    codec = trained(bits, dim)
    stored = documents(codec, pairs)
    queries = [query(dim, seed=20 + place) for place in range(pairs)]
    for profile, function in PROFILES.items():
        cases = [
            {"query(qt)": asked, f"attribute({FIELD})": tensor(codes)}
            for asked, codes in zip(queries, stored, strict=True)
        ]
        found = java.evaluate_many(tmp_path / "app", "passage", profile, function, cases)
        wanted = [
            by_numpy(profile, asked.values, codec, codes)
            for asked, codes in zip(queries, stored, strict=True)
        ]
        np.testing.assert_allclose(
            [each.as_number() for each in found], wanted, rtol=0, atol=SCORE, err_msg=profile
        )


@pytest.mark.java
@pytest.mark.parametrize("choices", [{}, ALONE], ids=["beside others", "alone"])
def test_our_own_checks_find_no_error_in_the_package(
    tmp_path: Path, facts: EmbedderSpec, java: VespaJava, choices: dict[str, Any]
) -> None:
    spec = package(tmp_path, facts, 2, 16, **choices)
    render_app(spec, tmp_path / "app", parse=parse_expression)
    assert validate_application(tmp_path / "app", java).of(Severity.ERROR) == ()


def test_what_no_package_can_hold_is_refused(tmp_path: Path, facts: EmbedderSpec) -> None:
    spec = package(tmp_path, facts, 2, 32)
    vectors = read_residual_vectors(tmp_path / "codec")
    embedder = replace(spec.embedders[0], facts=replace(facts, dim=16))
    with pytest.raises(SpecError, match="at most the model's 16 components, got 32"):
        application_spec(embedder, AppOptions(residual=vectors))
    whole = replace(spec.embedders[0], facts=replace(facts, dim=32))
    with pytest.raises(SpecError, match="expected one text a document, got the layout chunks"):
        application_spec(whole, AppOptions(residual=vectors, layout="chunks"))
    gone = replace(vectors, file=tmp_path / "nothing.tbf")
    with pytest.raises(SpecError, match="there is none at"):
        application_spec(whole, AppOptions(residual=gone))


@pytest.mark.parametrize(("bits", "dim"), SIZES)
@pytest.mark.parametrize("chosen", [{}, ALONE], ids=["beside others", "alone"])
def test_plan_counts_residuals_beside_other_cells_as_those_of_a_package(
    tmp_path: Path, facts: EmbedderSpec, chosen: dict[str, Any], bits: int, dim: int
) -> None:
    spec = package(tmp_path, facts, bits, dim, **chosen)
    folder = render_app(spec, tmp_path / "app", parse=parse_expression).path
    lengths = Lengths(document=9, query=32)
    plan = plan_application(folder, 1000, lengths)
    (field,) = (each for each in plan.schemas[0].fields if each.name == FIELD)
    profiles = {each.name: each for each in plan.schemas[0].profiles}
    (found,) = (each for each in choices(128, lengths) if (each.bits, each.dims) == (bits, dim))
    assert (found.type, found.vector_bytes) == (field.type, dim * bits // 8)
    assert found.document_bytes == field.bytes_a_document
    real = profiles["max_sim_residual"].phases[0].max_sims[0]
    assert (found.work.operations, found.work.verdict) == (real.operations, real.verdict)
    assert found.work.rebuilt > 0
