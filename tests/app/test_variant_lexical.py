"""Lexical weights and dense vectors that a client sends: printed, fed, asked, ranked as Vespa."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.indexed_documents import indexed, ranker_of
from tests.app.judged_package import assert_vespa_takes
from tests.app.tiny_models import write_colbert
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    application_spec,
    folder_embedder,
    read_application,
    render_app,
)
from vespa_colbert.app.options import DenseVectors, Fusion, LexicalWeights
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import CollectionError, IndexFolderError, SpecError
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.index import write_feed
from vespa_colbert.pipeline import (
    FeedOptions,
    QueryOptions,
    Searcher,
    embed_corpus,
    feed_corpus,
    only_schema,
    open_feed,
    query_body,
    sent_fields,
)
from vespa_colbert.rank import RankQuery, parse_expression
from vespa_colbert.tensor import CellType, Tensor, TensorType, cells_of
from vespa_colbert.tensor.document_json import tensor_from_json
from vespa_colbert.tensor.literal import parse_literal
from vespa_colbert.vespa_java import VespaJava

SCORE = 1e-6
"""Relative: scores in double; MaxSim sums in float here."""

DENSE = DenseVectors(embedder=None, dim=4, cell_type=CellType.BFLOAT16)
IN_ONE_PHASE = Fusion(
    fusing="weighted",
    first_phase="fused",
    words="none",
    max_sim="mean",
    dense_score="cosine",
)
M3 = AppOptions(
    cell_types=(CellType.BFLOAT16,),
    embeddings="client",
    dense=DENSE,
    lexical=LexicalWeights(),
    fusion=IN_ONE_PHASE,
)
CHOICES = {
    "one phase": M3,
    "contexts": replace(M3, layout="contexts"),
    "streaming": replace(M3, mode="streaming"),
    "ranks": replace(M3, fusion=Fusion(), embeddings="vespa"),
    "dense alone": AppOptions(dense=DENSE),
    "lexical alone": AppOptions(lexical=LexicalWeights(cell_type=CellType.FLOAT)),
}
BY_DEFAULT = {"one phase", "contexts", "ranks"}
NAMES = [
    name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in CHOICES
]
QUESTION = "What is a red rose?"
SENT = {"q_dense": "[0.5, -0.25, 1.0, 0.125]", "q_lexical": "{17: 0.25, 9: 0.5, rose: 2.0}"}
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {
        "text": "A rose is a rose.",
        "dense": {"values": [0.5, 0.25, 1.0, 0.0]},
        "lexical": {"cells": {"9": 0.375, "rose": 1.5, "other": 7.0}},
    },
    {
        "text": "Movable type",
        "dense": {"values": [-1.0, 0.25, 0.75, 2.0]},
        "lexical": {"cells": {"17": 0.1}},
    },
    {"text": "Neither of them"},
)


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("colbert") / "model")


def spec_of(colbert: ModelFolder, options: AppOptions) -> ApplicationSpec:
    return application_spec(folder_embedder(colbert), options)


def package(colbert: ModelFolder, options: AppOptions, path: Path) -> Path:
    return render_app(spec_of(colbert, options), path / "app", parse=parse_expression).path


@pytest.mark.java
@pytest.mark.parametrize("name", NAMES)
def test_vespa_takes_it_and_derives_the_profiles_that_are_read(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, name: str
) -> None:
    spec = spec_of(colbert, CHOICES[name])
    assert_vespa_takes(java, spec, tmp_path / "app")


def test_what_is_sent_is_in_the_document_and_no_component_makes_it(colbert: ModelFolder) -> None:
    spec = spec_of(colbert, M3)
    schema = spec.schemas[0]

    assert [str(schema.field(name).type) for name in ("dense", "lexical")] == [
        "tensor<bfloat16>(x[4])",
        "tensor<bfloat16>(t{})",
    ]
    assert all(schema.field(name).in_document for name in ("dense", "lexical"))
    assert schema.field("dense").indexing == ("attribute | index",)
    assert schema.field("dense").attribute == ("distance-metric: angular",)
    assert spec.components == ()
    queries = {each.profile: dict(each.inputs) for each in spec.queries}
    assert queries["lexical"] == {"q_lexical": ""}
    assert queries["dense"] == {"q_dense": ""}
    assert queries["hybrid_bfloat16"] == {"qt": "", "q_dense": "", "q_lexical": ""}
    dot = replace(DENSE, similarity="dot")
    field = spec_of(colbert, AppOptions(dense=dot)).schemas[0].field("dense")
    assert field.attribute == ("distance-metric: dotproduct",)


def test_weights_are_inputs_with_a_default(colbert: ModelFolder) -> None:
    profile = spec_of(colbert, M3).schemas[0].profile("hybrid_bfloat16")

    assert {each.name: each.default for each in profile.inputs if each.default} == {
        "max_sim_weight": "0.4",
        "dense_cosine_weight": "0.4",
        "lexical_weight": "0.2",
    }
    assert profile.second_phase is None
    assert profile.global_phase is None


def notebook_score(
    query: RankQuery, document: Mapping[str, Tensor], weights: tuple[float, ...]
) -> float:
    """Return what the notebook's profile defines, in double, from the cells that are stored."""
    by_label = {
        name: {label: float(cells) for (label,), cells in tensor.subspaces().items()}
        for name, tensor in (
            ("query", query.tensors["q_lexical"]),
            ("document", document["lexical"]),
        )
    }
    shared = by_label["query"].keys() & by_label["document"].keys()
    lexical = sum(by_label["query"][each] * by_label["document"][each] for each in shared)
    asked, said = (
        each.values.astype(np.float64).ravel()
        for each in (query.tensors["q_dense"], document["dense"])
    )
    lengths = math.sqrt(asked @ asked) * math.sqrt(said @ said)
    cosine = float(asked @ said) / lengths if lengths else 0.0
    rows, tokens = (
        each.values.astype(np.float64) for each in (query.tensors["qt"], document["colbert"])
    )
    best = (rows @ tokens.T).max(axis=1) if len(tokens) else np.zeros(len(rows))
    return weights[0] * float(best.mean()) + weights[1] * cosine + weights[2] * lexical


@pytest.mark.java
@pytest.mark.parametrize("others", [{}, {"lexical_weight": 3.0, "max_sim_weight": 0.0}])
def test_hits_score_as_the_notebook_defines_and_as_vespa_computes(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, others: dict[str, float]
) -> None:
    app = package(colbert, replace(M3, embeddings="vespa"), tmp_path)
    documents = indexed(java, app, DOCUMENTS)
    schema = read_application(app).schema()
    profile = "hybrid_bfloat16"
    types = schema.profile(profile).input_types
    rows = LocalEmbedder(colbert, threads=1).embed(QUESTION, "query")
    tensors = {name: parse_literal(text, types[name]) for name, text in SENT.items()}
    tensors["qt"] = Tensor.rows(types["qt"], cells_of(rows, types["qt"]))
    tensors |= {name: Tensor.number(value) for name, value in others.items()}
    query = RankQuery(text=QUESTION, tensors=tensors)
    weights = tuple(
        others.get(name, default)
        for name, default in (
            ("max_sim_weight", 0.4),
            ("dense_cosine_weight", 0.4),
            ("lexical_weight", 0.2),
        )
    )
    inputs = {each.name: each.default for each in schema.profile(profile).inputs if each.default}
    defaults = {f"query({name})": Tensor.number(float(text)) for name, text in inputs.items()}
    sent = {f"query({name})": tensor for name, tensor in tensors.items()}

    hits = ranker_of(app, profile, documents).rank(
        query, hits=len(documents), candidates=np.arange(len(documents))
    )

    assert len(hits) == len(DOCUMENTS)
    for hit in hits:
        fields = {
            name: documents.tensors[name].document(hit.position)
            for name in ("dense", "lexical", "colbert_bfloat16")
        }
        bindings = {f"attribute({name})": tensor for name, tensor in fields.items()}
        theirs = java.evaluate(
            app, "passage", profile, "first-phase", {**defaults, **sent, **bindings}
        )
        assert hit.relevance == pytest.approx(theirs.as_number(), rel=SCORE)
        said = {**fields, "colbert": fields["colbert_bfloat16"]}
        assert hit.relevance == pytest.approx(notebook_score(query, said, weights), rel=SCORE)


@pytest.mark.java
@pytest.mark.parametrize("layout", ["passage", "contexts"])
def test_lexical_weights_alone_rank_as_vespa_computes(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, layout: str
) -> None:
    several = {"cells": [cell("0", "9", 4.0), cell("0", "17", 1.0), cell("1", "rose", 2.0)]}
    is_list = layout == "contexts"
    documents = tuple(
        {name: value for name, value in each.items() if name != "dense"} for each in DOCUMENTS
    )
    if is_list:
        documents = ({"contexts": ["A rose", "is red"], "lexical": several}, {"contexts": ["no"]})
    app = package(colbert, replace(M3, layout=layout, dense=None), tmp_path)  # type: ignore[arg-type]
    made = indexed(java, app, documents)
    given = parse_literal(SENT["q_lexical"], TensorType.parse("tensor<bfloat16>(t{})"))
    query = RankQuery(text=QUESTION, tensors={"q_lexical": given})

    hits = ranker_of(app, "lexical", made).rank(
        query, hits=len(made), candidates=np.arange(len(made))
    )

    found = {hit.position: hit.relevance for hit in hits}
    if is_list:
        # The best of two texts: 0.5 * 4 + 0.25 * 1 for the first, 2 * 2 for the second.
        assert found[0] == 4.0
    for position, relevance in found.items():
        bindings = {
            "query(q_lexical)": given,
            "attribute(lexical)": made.tensors["lexical"].document(position),
        }
        theirs = java.evaluate(app, "passage", "lexical", "first-phase", bindings).as_number()
        assert relevance == pytest.approx(theirs, rel=SCORE)


def cell(context: str, token: str, value: float) -> dict[str, Any]:
    return {"address": {"context": context, "t": token}, "value": value}


def write_lines(path: Path, tensors: Mapping[str, Any] | None) -> Path:
    row: dict[str, Any] = {"_id": "1", "text": "A rose"}
    if tensors is not None:
        row["_tensors"] = tensors
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return path


def test_the_feed_has_what_the_corpus_brings_beside_what_is_embedded(
    tmp_path: Path, colbert: ModelFolder
) -> None:
    app = package(colbert, M3, tmp_path)
    tensors = {name: DOCUMENTS[0][name] for name in ("dense", "lexical")}
    corpus = write_lines(tmp_path / "corpus.jsonl", tensors)
    options = FeedOptions(namespace="passages", given=sent_fields(app), threads=1)

    feed = open_feed(corpus, only_schema(app), options, colbert)
    write_feed(feed, tmp_path / "feed.jsonl")

    fields = json.loads((tmp_path / "feed.jsonl").read_text(encoding="utf-8"))["fields"]
    schema = read_application(app).schema()
    assert fields.keys() == {"id", "title", "text", "colbert_bfloat16", "dense", "lexical"}
    for name, given in tensors.items():
        kind = TensorType.parse(schema.field(name).type)
        assert tensor_from_json(fields[name], kind) == tensor_from_json(given, kind)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (None, "expected a tensor<bfloat16>(x[4]) dense under _tensors"),
        ({"dense": [1, 2, 3, 4]}, "expected a tensor<bfloat16>(t{}) lexical under _tensors"),
        ({"dense": [1, 2], "lexical": {"cells": {}}}, "_tensors: dense"),
        ("text", 'expected an object "_tensors"'),
    ],
)
def test_a_corpus_that_brings_too_little_is_refused(
    tmp_path: Path, colbert: ModelFolder, tensors: Any, said: str
) -> None:
    app = package(colbert, M3, tmp_path)
    corpus = write_lines(tmp_path / "corpus.jsonl", tensors)
    options = FeedOptions(namespace="passages", given=sent_fields(app), threads=1)

    with pytest.raises(CollectionError) as caught:
        write_feed(open_feed(corpus, only_schema(app), options, colbert), tmp_path / "feed.jsonl")

    assert said in str(caught.value)
    assert not (tmp_path / "feed.jsonl").exists()


def test_an_index_has_no_tensors_of_a_client(tmp_path: Path, colbert: ModelFolder) -> None:
    app = package(colbert, M3, tmp_path)
    corpus, schema = write_lines(tmp_path / "corpus.jsonl", None), only_schema(app)
    index = embed_corpus(corpus, colbert, schema, tmp_path / "index", threads=1).value

    with pytest.raises(IndexFolderError, match="dense is made by no model here"):
        feed_corpus(index, tmp_path / "f", namespace="passages", schema=schema)
    with pytest.raises(SpecError, match="takes it with --query-tensor"):
        Searcher(app, index, colbert, threads=1).query(QUESTION, "lexical")


def body_of(app: Path, profile: str, model: ModelFolder, sent: Mapping[str, str]) -> dict[str, Any]:
    options = QueryOptions(tensors=sent)
    return query_body(app, only_schema(app), QUESTION, profile, model=model, options=options)


def test_a_query_carries_what_is_given_beside_its_token_vectors(
    tmp_path: Path, colbert: ModelFolder
) -> None:
    app = package(colbert, M3, tmp_path)

    body = body_of(app, "hybrid_bfloat16", colbert, SENT)

    types = only_schema(app).profile("hybrid_bfloat16").input_types
    for name, text in SENT.items():
        sent = parse_literal(body[f"input.query({name})"], types[name])
        assert sent == parse_literal(text, types[name])
    assert "input.query(qt)" in body
    alone = body_of(app, "lexical", colbert, {"q_lexical": SENT["q_lexical"]})
    assert [name for name in alone if name.startswith("input")] == ["input.query(q_lexical)"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "give it with --query-tensor 'q_dense=…', a tensor<bfloat16>(x[4])"),
        ({"q_dense": SENT["q_dense"]}, "give it with --query-tensor 'q_lexical=…'"),
        ({"q_dense": "[1, 2]"}, "query(q_dense): expected a tensor<bfloat16>(x[4])"),
        ({"q_sparse": "{}"}, "got 'q_sparse'"),
    ],
)
def test_a_query_without_them_is_refused(
    tmp_path: Path, colbert: ModelFolder, sent: dict[str, str], said: str
) -> None:
    app = package(colbert, M3, tmp_path)

    with pytest.raises(SpecError) as caught:
        body_of(app, "hybrid_bfloat16", colbert, sent)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (AppOptions(dense=replace(DENSE, dim=0)), "expected the dim of the vectors that are sent"),
        (AppOptions(lexical=LexicalWeights(cell_type=CellType.INT8)), "expected float or bfloat16"),
        (AppOptions(fusion=Fusion(first_phase="fused")), "reciprocal-rank needs all hits"),
        (
            replace(M3, dense=replace(DENSE, dim=8, cell_type=CellType.INT8)),
            "bits have no cosine",
        ),
        (replace(M3, fusion=replace(IN_ONE_PHASE, lexical_weight=-1.0)), "lexical_weight:"),
    ],
)
def test_what_cannot_be_is_refused(colbert: ModelFolder, options: AppOptions, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(colbert, options)

    assert said in str(caught.value)
