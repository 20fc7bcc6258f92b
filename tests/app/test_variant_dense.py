"""Vectors of whole texts: what is printed, what Vespa's embedder fills it with, how it ranks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import etree

from tests.app.indexed_documents import TEXTS, asked, indexed, ranker_of
from tests.app.judged_package import assert_vespa_takes
from tests.app.tiny_models import DENSE_DIM, dense_vector, write_colbert, write_dense
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    RemoteFile,
    application_spec,
    folder_embedder,
    render_app,
)
from vespa_colbert.app.dense_embedder import read_dense_embedder
from vespa_colbert.app.options import DenseVectors
from vespa_colbert.errors import SpecError
from vespa_colbert.export.dense_spec import DenseSpec, read_dense_spec
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType, Tensor
from vespa_colbert.vespa_java import VespaJava

FLOAT_STEPS = 2e-6
"""The graph and the pooled sums are in float, of up to 90 tokens of size 1."""

SPECS = {
    "cosine": DenseSpec(
        dim=DENSE_DIM,
        max_tokens=128,
        pooling="mean",
        normalize=True,
        query_prepend="query: ",
        document_prepend="passage: ",
    ),
    "dot": DenseSpec(
        dim=DENSE_DIM, max_tokens=128, pooling="cls", normalize=False, similarity="dot"
    ),
    "typed": DenseSpec(
        dim=DENSE_DIM,
        max_tokens=128,
        pooling="cls",
        normalize=False,
        token_type_ids="types",  # noqa: S106 - a name
        input_ids="ids",
        attention_mask="mask",
        output="hidden",
    ),
    "pooled": DenseSpec(
        dim=DENSE_DIM,
        max_tokens=128,
        pooling="none",
        normalize=True,
        attention_mask="",
        query_prepend="Instruct: find\nQuery: ",
    ),
}
CHOICES = {
    "cosine": AppOptions(),
    "dot": AppOptions(layout="contexts"),
    "typed": AppOptions(mode="streaming"),
    "pooled": AppOptions(layout="chunks", chunk_length=40, embed_title=False),
}


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("colbert") / "model")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dense")
    return {name: write_dense(folder / name, spec) for name, spec in SPECS.items()}


def vectors_of(folder: Path, **choices: object) -> DenseVectors:
    return replace(DenseVectors(embedder=read_dense_embedder(folder)), **choices)  # type: ignore[arg-type]


def spec_of(colbert: ModelFolder, vectors: DenseVectors, options: AppOptions) -> ApplicationSpec:
    return application_spec(folder_embedder(colbert), replace(options, dense=vectors))


@pytest.mark.java
@pytest.mark.parametrize("name", CHOICES)
def test_vespa_takes_it_and_derives_the_profiles_that_are_read(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, models: dict[str, Path], name: str
) -> None:
    spec = spec_of(colbert, vectors_of(models[name]), CHOICES[name])
    assert_vespa_takes(java, spec, tmp_path / "app")


@pytest.mark.parametrize(
    ("name", "cell_type", "metric"),
    [
        ("cosine", CellType.FLOAT, "prenormalized-angular"),
        ("cosine", CellType.BFLOAT16, "prenormalized-angular"),
        ("typed", CellType.FLOAT, "angular"),
        ("dot", CellType.FLOAT, "dotproduct"),
        ("dot", CellType.INT8, "hamming"),
    ],
)
def test_vectors_are_compared_as_the_model_was_trained(
    colbert: ModelFolder, models: dict[str, Path], name: str, cell_type: CellType, metric: str
) -> None:
    spec = spec_of(colbert, vectors_of(models[name], cell_type=cell_type), AppOptions())

    field = spec.schemas[0].field("dense")
    assert field.attribute == (f"distance-metric: {metric}",)
    width = DENSE_DIM // (8 if cell_type is CellType.INT8 else 1)
    assert field.type == f"tensor<{cell_type.value}>(x[{width}])"
    assert field.index == ("hnsw { max-links-per-node: 16 neighbors-to-explore-at-insert: 200 }",)
    (given,) = spec.schemas[0].profile("dense").inputs
    assert (given.name, str(given.type)) == ("q_dense", field.type)


def test_the_component_states_the_facts_of_its_model(
    tmp_path: Path, colbert: ModelFolder, models: dict[str, Path]
) -> None:
    render_app(
        spec_of(colbert, vectors_of(models["cosine"]), AppOptions()),
        tmp_path / "app",
        parse=parse_expression,
    )
    root = etree.parse(tmp_path / "app" / "services.xml")
    component = root.find(".//component[@id='dense']")

    assert component is not None
    assert component.get("type") == "hugging-face-embedder"
    assert component.find("transformer-model").get("path") == "files/dense.onnx"
    assert {each.tag: each.text for each in component if len(each) == 0 and not each.attrib} == {
        "max-tokens": "128",
        "transformer-input-ids": "input_ids",
        "transformer-attention-mask": "attention_mask",
        "transformer-token-type-ids": None,
        "transformer-output": "last_hidden_state",
        "normalize": "true",
        "pooling-strategy": "mean",
    }
    assert {each.tag: each.text for each in component.find("prepend")} == {
        "query": "query: ",
        "document": "passage: ",
    }


def test_a_published_model_leaves_its_facts_in_the_folder(models: dict[str, Path]) -> None:
    files = {"transformer": RemoteFile(model_id="e5"), "tokenizer": RemoteFile(model_id="e5-vocab")}
    embedder = read_dense_embedder(models["cosine"], **files)

    assert [dict(file.attributes) for _, file in embedder.models] == [
        {"model-id": "e5"},
        {"model-id": "e5-vocab"},
    ]
    assert embedder.facts == SPECS["cosine"]


def test_a_later_release_is_asked_for_where_an_older_one_cannot_run_the_graph(
    colbert: ModelFolder, models: dict[str, Path]
) -> None:
    for name, version in (("cosine", "8.338.38"), ("pooled", "8.573.19")):
        spec = spec_of(colbert, vectors_of(models[name]), AppOptions())
        assert spec.required_vespa_version == version


@pytest.mark.java
@pytest.mark.parametrize("name", CHOICES)
def test_vespas_embedder_fills_documents_and_queries_with_the_vectors_of_the_model(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, models: dict[str, Path], name: str
) -> None:
    spec, options = SPECS[name], CHOICES[name]
    app = render_app(
        spec_of(colbert, vectors_of(models[name]), options),
        tmp_path / "app",
        parse=parse_expression,
    ).path
    text = "What is a rose? " * 5
    body = {"contexts": [text, "", "Paris"]} if options.layout == "contexts" else {"text": text}

    (made,) = java.index_documents(
        app, [{"put": "id:passages:passage::1", "fields": {"title": "Rose", **body}}]
    )
    query = java.read_query(app, {"queryProfile": "dense", "text": "what is a rose"})

    def expected(prepended: str) -> np.ndarray:
        return dense_vector(models[name], spec, prepended)

    chunks = made.get("chunks", [text])
    texts = {"contexts": {"0": text, "1": "", "2": "Paris"}, "passage": {"": text}}.get(
        options.layout, {str(place): each for place, each in enumerate(chunks)}
    )
    field, title = made["dense"], "Rose " if options.embed_title else ""
    rows = dict(zip(labels_of(field), field.values, strict=True))
    assert rows.keys() == texts.keys()
    for label, each in texts.items():
        wanted = expected(f"{spec.document_prepend}{title}{each}")
        np.testing.assert_allclose(rows[label], wanted, rtol=FLOAT_STEPS, atol=FLOAT_STEPS)
    (vector,) = query.inputs.values()
    wanted = expected(f"{spec.query_prepend}what is a rose")
    np.testing.assert_allclose(vector.values[0], wanted, rtol=FLOAT_STEPS, atol=FLOAT_STEPS)


def labels_of(tensor: Tensor) -> list[str]:
    if not tensor.type.mapped:
        return [""]
    return [tensor.labels[0][code] for code in tensor.codes[:, 0].tolist()]


@pytest.mark.java
def test_a_short_vector_is_of_length_1_and_bits_are_its_signs(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, models: dict[str, Path]
) -> None:
    whole = dense_vector(models["cosine"], SPECS["cosine"], "passage: Rose a rose")
    put = {"put": "id:passages:passage::1", "fields": {"title": "Rose", "text": "a rose"}}
    made = {}
    for name, cell_type in (("short", CellType.FLOAT), ("bits", CellType.INT8)):
        vectors = vectors_of(models["cosine"], dim=8, cell_type=cell_type)
        app = render_app(
            spec_of(colbert, vectors, AppOptions()), tmp_path / name, parse=parse_expression
        ).path
        made[name] = java.index_documents(app, [put])[0]["dense"].values[0]

    short = whole[:8] / np.linalg.norm(whole[:8])
    np.testing.assert_allclose(made["short"], short, rtol=FLOAT_STEPS, atol=FLOAT_STEPS)
    np.testing.assert_array_equal(np.unpackbits(made["bits"].view(np.uint8)), whole[:8] > 0)


@pytest.mark.java
@pytest.mark.parametrize("truncation", [None, 6, 24])
def test_texts_are_cut_by_the_tokenizer_file_or_else_to_the_most_tokens(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, truncation: int | None
) -> None:
    spec = replace(SPECS["cosine"], max_tokens=12, document_prepend="", query_prepend="")
    folder = write_dense(tmp_path / "model", spec)
    if truncation is not None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        tokenizer["truncation"] = {
            "direction": "Right",
            "max_length": truncation,
            "strategy": "LongestFirst",
            "stride": 0,
        }
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    app = render_app(
        spec_of(colbert, vectors_of(folder), AppOptions()), tmp_path / "app", parse=parse_expression
    ).path
    text = "The quick brown fox jumps over the lazy dog. " * 4

    query = java.read_query(app, {"queryProfile": "dense", "text": text})

    wanted = dense_vector(folder, spec, text, truncation or spec.max_tokens)
    (vector,) = query.inputs.values()
    np.testing.assert_allclose(vector.values[0], wanted, rtol=FLOAT_STEPS, atol=FLOAT_STEPS)


@pytest.mark.java
def test_documents_are_ranked_by_the_angle_to_the_query(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, models: dict[str, Path]
) -> None:
    spec = spec_of(colbert, vectors_of(models["cosine"], target_hits=7), AppOptions())
    app = render_app(spec, tmp_path / "app", parse=parse_expression).path
    documents = indexed(java, app)

    query = asked(java, app, "dense", "what is a rose")
    hits = ranker_of(app, "dense", documents).rank(query)

    (said,) = [each for each in spec.queries if each.profile == "dense"]
    assert said.where == "({targetHits:7}nearestNeighbor(dense, q_dense))"
    vector = query.tensors["q_dense"].values[0].astype(np.float64)
    for hit in hits:
        fields = TEXTS[int(hit.id)]
        if not fields:
            assert hit.relevance == 0.0
            continue
        title, text = fields.get("title", ""), fields.get("text", "")
        row = dense_vector(models["cosine"], SPECS["cosine"], f"passage: {title} {text}")
        assert hit.relevance == pytest.approx(1 / (2 - vector @ row), rel=FLOAT_STEPS)
    assert sorted(hit.id for hit in hits) == sorted(documents.ids)
    assert [hit.relevance for hit in hits] == sorted((h.relevance for h in hits), reverse=True)


def test_all_that_does_not_fit_is_said_at_once(
    colbert: ModelFolder, models: dict[str, Path]
) -> None:
    wrong: dict[str, Any] = {"pooling": "max", "max_tokens": 0, "input_ids": "", "normalize": 1}
    facts = replace(SPECS["dot"], query_prepend=" ", **wrong)
    embedder = replace(read_dense_embedder(models["dot"]), facts=facts)
    vectors = DenseVectors(embedder=embedder, dim=17, cell_type=CellType.DOUBLE, target_hits=0)

    with pytest.raises(SpecError) as caught:
        spec_of(colbert, vectors, AppOptions())

    text = str(caught.value)
    for part in (
        "max_tokens: expected a whole number of 1 or more, got 0",
        "pooling: expected one of cls, mean, none, got 'max'",
        "normalize: expected true or false, got 1",
        "input_ids: expected a text",
        "query_prepend: Vespa leaves out what is only space",
        "expected numbers of 1 or more, got (16, 200, 0)",
        "a dim from 1 to the model's 16, or 0 for all, got 17",
        "cell type: expected float, bfloat16 or int8, got double",
    ):
        assert part in text


def test_facts_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "embedder.json"
    stated = asdict(SPECS["typed"])
    path.write_text(json.dumps({"dense": stated}), encoding="utf-8")
    assert read_dense_spec(tmp_path) == SPECS["typed"]

    del stated["pooling"]
    path.write_text(json.dumps({"dense": {**stated, "colour": 1}}), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read_dense_spec(tmp_path)
    assert caught.value.faults == ("pooling: missing", "colour: unknown")
