"""Ways of holding documents and their token vectors: what is printed, and what Vespa takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.judged_package import judge_package
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    application_spec,
    folder_embedder,
    read_application,
    read_package,
    read_schema,
    render_app,
)
from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType
from vespa_colbert.vespa_java import VespaJava

ALL_CELLS = (CellType.FLOAT, CellType.BFLOAT16, CellType.INT8)

CHOICES = {
    "contexts": AppOptions(layout="contexts", cell_types=ALL_CELLS),
    "contexts_without_title": AppOptions(layout="contexts", embed_title=False),
    "chunks": AppOptions(layout="chunks", cell_types=ALL_CELLS, chunk_length=200),
    "sentences": AppOptions(layout="chunks", chunker="sentence", embed_title=False),
    "dims": AppOptions(dims=(16, 8), cell_types=ALL_CELLS),
    "dims_of_contexts": AppOptions(dims=(8, 16), layout="contexts"),
    "short_dims": AppOptions(dims=(8,)),
    "paged": AppOptions(storage="paged", cell_types=ALL_CELLS),
    "paged_contexts": AppOptions(storage="paged", layout="contexts"),
    "fast_rank": AppOptions(storage="fast-rank", dims=(16, 8)),
    "client": AppOptions(embeddings="client", cell_types=ALL_CELLS),
    "client_contexts": AppOptions(embeddings="client", layout="contexts", dims=(8, 16)),
    "streaming": AppOptions(mode="streaming"),
    "streaming_chunks": AppOptions(mode="streaming", layout="chunks"),
    "streaming_client": AppOptions(mode="streaming", embeddings="client"),
    "tokens": AppOptions(token_retrieval=TokenRetrieval(), cell_types=ALL_CELLS),
    "tokens_of_client": AppOptions(
        token_retrieval=TokenRetrieval(max_links=16, neighbors_to_explore=100, target_hits=7),
        embeddings="client",
        dims=(16, 8),
        storage="fast-rank",
    ),
}

BY_DEFAULT = {"contexts", "tokens", "streaming_chunks", "client_contexts"}


def spec_of(folder: ModelFolder, options: AppOptions) -> ApplicationSpec:
    return application_spec(folder_embedder(folder), options)


def printed(folder: ModelFolder, options: AppOptions, path: Path) -> str:
    render_app(spec_of(folder, options), path, parse=parse_expression)
    return (path / "schemas" / "passage.sd").read_text(encoding="utf-8")


@pytest.mark.java
@pytest.mark.parametrize(
    "name",
    [
        name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow)
        for name in CHOICES
    ],
)
def test_vespa_takes_it_and_derives_the_profiles_that_are_read(
    java: VespaJava, tmp_path: Path, model_folder: ModelFolder, name: str
) -> None:
    package = render_app(
        spec_of(model_folder, CHOICES[name]), tmp_path / "app", parse=parse_expression
    )

    report = java.validate_application(package.path)

    assert report.errors == ()
    judged = judge_package(java, read_application(package.path), report)
    assert {profile: faults for profile, faults in judged.items() if faults} == {}


@pytest.mark.parametrize("name", CHOICES)
def test_the_schema_is_read_back_as_it_was(
    tmp_path: Path, model_folder: ModelFolder, name: str
) -> None:
    spec = spec_of(model_folder, CHOICES[name])
    package = render_app(spec, tmp_path / "app", parse=parse_expression)

    assert read_schema(package.schemas[0]) == spec.schemas[0]
    assert read_package(package.path) == package


def test_contexts_are_embedded_one_by_one_with_the_title_before_each(
    tmp_path: Path, model_folder: ModelFolder
) -> None:
    schema = spec_of(model_folder, CHOICES["contexts"]).schemas[0]

    assert schema.field("contexts").type == "array<string>"
    assert schema.field("contexts").in_document
    assert "text" not in {field.name for field in schema.fields}
    bits = schema.field("colbert_int8")
    assert bits.type == "tensor<int8>(context{},token{},x[2])"
    titled = 'for_each { (input title || "") . " " . _ }'
    assert bits.indexing == (f"input contexts | {titled} | embed colbert context | attribute",)
    plain = spec_of(model_folder, CHOICES["contexts_without_title"]).schemas[0]
    assert plain.field("colbert_int8").indexing == (
        "input contexts | embed colbert context | attribute",
    )


def test_a_document_of_contexts_is_ranked_by_the_best_one_or_by_all(
    model_folder: ModelFolder,
) -> None:
    schema = spec_of(model_folder, CHOICES["contexts"]).schemas[0]

    best, cross = schema.profile("max_sim_int8"), schema.profile("max_sim_cross_int8")
    vectors = "unpack_bits(attribute(colbert_int8))"
    assert {each.name: each.expression for each in best.functions} == {
        "context_max_sim": f"sum(reduce(sum(query(qt) * {vectors}, x), max, token), qt)",
        "max_sim": "reduce(context_max_sim, max, context)",
    }
    assert best.match_features == ("max_sim", "context_max_sim")
    assert [each.expression for each in cross.functions] == [
        f"sum(reduce(sum(query(qt) * {vectors}, x), max, token, context), qt)"
    ]
    for name in ("rerank_int8", "rerank_cross_int8"):
        profile = schema.profile(name)
        assert profile.first_phase == "bm25(title) + bm25(contexts)"
        assert profile.second_phase is not None
        assert profile.second_phase.expression == "max_sim"


def test_chunks_are_cut_alike_for_hits_and_for_vectors(model_folder: ModelFolder) -> None:
    schema = spec_of(model_folder, CHOICES["chunks"]).schemas[0]

    assert schema.field("chunks").indexing == ("input text | chunk fixed-length 200 | summary",)
    assert not schema.field("chunks").in_document
    (statement,) = schema.field("colbert_float").indexing
    assert statement.startswith("input text | chunk fixed-length 200 | for_each {")
    assert schema.summaries[0].fields == ("id", "title", "text", "chunks")
    sentences = spec_of(model_folder, CHOICES["sentences"]).schemas[0]
    assert sentences.field("colbert_float").indexing == (
        "input text | chunk sentence | embed colbert context | attribute",
    )


@pytest.mark.parametrize(
    ("name", "version"),
    [("contexts", "8.638.30"), ("chunks", "8.638.30"), ("client_contexts", "8.338.38")],
)
def test_the_release_that_indexes_so_is_asked_for(
    model_folder: ModelFolder, name: str, version: str
) -> None:
    assert spec_of(model_folder, CHOICES[name]).required_vespa_version == version


def test_short_vectors_rank_first_and_long_ones_again(model_folder: ModelFolder) -> None:
    spec = spec_of(model_folder, CHOICES["dims"])
    profile = spec.schemas[0].profile("coarse_to_fine_int8")

    assert {each.name: str(each.type) for each in profile.inputs} == {
        "qt8": "tensor<float>(qt{},x[8])",
        "qt": "tensor<float>(qt{},x[16])",
    }
    assert profile.first_phase == "max_sim_coarse"
    first, second = profile.functions
    assert "query(qt8) * unpack_bits(attribute(colbert_int8_8))" in first.expression
    assert "query(qt) * unpack_bits(attribute(colbert_int8))" in second.expression
    (query,) = [each for each in spec.queries if each.profile == "coarse_to_fine_int8"]
    assert dict(query.inputs) == {
        "qt8": "embed(colbert, @text)",
        "qt": "embed(colbert, @text)",
    }


def test_one_width_alone_has_nothing_to_refine(model_folder: ModelFolder) -> None:
    names = spec_of(model_folder, CHOICES["short_dims"]).schemas[0].profile_names

    assert not [name for name in names if name.startswith("coarse")]


@pytest.mark.parametrize(("name", "word"), [("paged", "paged"), ("fast_rank", "fast-rank")])
def test_token_vectors_are_kept_where_it_is_said(
    tmp_path: Path, model_folder: ModelFolder, name: str, word: str
) -> None:
    schema = spec_of(model_folder, CHOICES[name]).schemas[0]

    stored = {field.name: field.attribute for field in schema.fields if field.tensor_type}
    assert set(stored.values()) == {(word,)}
    assert schema.field("title").attribute == ()


def test_a_client_that_embeds_feeds_the_vectors_and_sends_those_of_queries(
    tmp_path: Path, model_folder: ModelFolder
) -> None:
    spec = spec_of(model_folder, CHOICES["client"])
    package = render_app(spec, tmp_path / "app", parse=parse_expression)

    assert spec.components == ()
    assert spec.files == ()
    field = spec.schemas[0].field("colbert_int8")
    assert field.in_document
    assert field.indexing == ("attribute",)
    assert "colbert" not in (tmp_path / "app" / "services.xml").read_text(encoding="utf-8")
    assert {source for each in spec.queries for _, source in each.inputs} == {""}
    assert read_package(package.path).fed["colbert_int8"] == (
        '(input title || "") . " " . (input text || "") | embed colbert | attribute'
    )


def test_streaming_is_asked_for_one_group(tmp_path: Path, model_folder: ModelFolder) -> None:
    spec = spec_of(model_folder, CHOICES["streaming"])
    render_app(spec, tmp_path / "app", parse=parse_expression)

    services = (tmp_path / "app" / "services.xml").read_text(encoding="utf-8")
    assert 'mode="streaming"' in services
    assert {dict(each.parameters).get("streaming.groupname") for each in spec.queries} == {""}
    readme = (tmp_path / "app" / "README.md").read_text(encoding="utf-8")
    assert "'streaming.groupname=...'" in readme
    assert '"put": "id:passages:passage:g=...:1"' in readme


def test_a_token_of_the_query_finds_documents_by_a_graph(
    model_folder: ModelFolder, facts: EmbedderSpec
) -> None:
    spec = spec_of(model_folder, CHOICES["tokens"])
    schema = spec.schemas[0]

    field = schema.field("colbert_int8")
    assert field.attribute == ("distance-metric: hamming",)
    assert field.index == ("hnsw { max-links-per-node: 32 neighbors-to-explore-at-insert: 400 }",)
    assert schema.field("colbert_float").attribute == ("distance-metric: angular",)
    profile = schema.profile("token_retrieval_int8")
    assert [each.name for each in profile.inputs if each.name.startswith("rq")] == [
        f"rq{place}" for place in range(facts.max_query_tokens)
    ]
    assert str(profile.input_types["rq0"]) == "tensor<int8>(x[2])"
    assert str(profile.input_types["qtb"]) == "tensor<int8>(qt{},x[2])"
    assert str(profile.input_types["qt"]) == "tensor<float>(qt{},x[16])"
    by_name = {each.name: each.expression for each in profile.functions}
    assert by_name["bits_max_sim"] == (
        "sum(reduce(1 / (1 + sum(hamming(query(qtb), attribute(colbert_int8)), x)), max, dt), qt)"
    )
    assert profile.first_phase == "bits_max_sim"
    assert profile.second_phase is not None
    (query,) = [each for each in spec.queries if each.profile == "token_retrieval_float"]
    assert query.yql("passage", 2) == (
        "select * from passage where ({targetHits:100}nearestNeighbor(colbert_float, rq0)) or "
        "({targetHits:100}nearestNeighbor(colbert_float, rq1))"
    )


def test_what_vespa_cannot_have_together_is_said_at_once(model_folder: ModelFolder) -> None:
    options = AppOptions(
        token_retrieval=TokenRetrieval(max_links=0),
        layout="contexts",
        storage="paged",
        mode="streaming",
        chunk_length=0,
    )

    with pytest.raises(SpecError) as caught:
        spec_of(model_folder, options)

    text = str(caught.value)
    for part in (
        "numbers of 1 or more, got (0, 400, 100)",
        "one text a document, not contexts",
        "a graph cannot be paged",
        "streaming mode has no graphs",
        "paged means nothing there",
        "chunk length: expected 1 or more",
    ):
        assert part in text
