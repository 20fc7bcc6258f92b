"""A cross-encoder in the global phase: the sequences that it reads, and how it ranks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.app.indexed_documents import TEXTS, asked, indexed, ranker_of, reranked
from tests.app.judged_package import assert_vespa_takes
from tests.app.tiny_models import cross_logit, write_colbert, write_cross_encoder
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    application_spec,
    folder_embedder,
    render_app,
)
from vespa_colbert.app.cross_encoder import read_cross_encoder
from vespa_colbert.app.nodes import Nodes
from vespa_colbert.app.options import CrossEncoding, Fusion
from vespa_colbert.checkpoint.pair_form import PairForm, read_pair_form
from vespa_colbert.errors import CheckpointError, SpecError
from vespa_colbert.export.cross_encoder_spec import CrossEncoderSpec, read_cross_encoder_spec
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.rank import Documents, parse_expression
from vespa_colbert.tensor import Tensor
from vespa_colbert.vespa_java import VespaJava

FLOAT_STEPS = 2e-6
"""The graph sums 32 weighted tokens in float and takes their tanh."""

SCORE = 1e-6
"""Relative: the same graph in the same release of ONNX Runtime, run by Java and by Python."""

LENGTH = 32
QUERY_TOKENS = 24
SPECS = {
    "bert": CrossEncoderSpec(max_tokens=LENGTH, token_type_ids="token_type_ids"),  # noqa: S106
    "xlm-roberta": CrossEncoderSpec(max_tokens=LENGTH, input_ids="ids", output="score.0"),
    "typed-xlm-roberta": CrossEncoderSpec(max_tokens=LENGTH, token_type_ids="types"),  # noqa: S106
}
FAMILY = {"typed-xlm-roberta": "xlm-roberta"}
QUESTIONS = ("what is a red rose?", "fox", "The quick brown fox jumps")
"""Of up to 24 tokens in either tokenizer."""


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_colbert(tmp_path_factory.mktemp("colbert") / "model")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("cross")
    return {
        name: write_cross_encoder(folder / name, spec, FAMILY.get(name, name))
        for name, spec in SPECS.items()
    }


def encoding_of(folder: Path, **choices: Any) -> CrossEncoding:
    return replace(
        CrossEncoding(encoder=read_cross_encoder(folder), query_tokens=QUERY_TOKENS), **choices
    )


def spec_of(
    colbert: ModelFolder, encoding: CrossEncoding, options: AppOptions | None = None
) -> ApplicationSpec:
    chosen = replace(options or AppOptions(), cross_encoding=encoding)
    return application_spec(folder_embedder(colbert), chosen)


def whole_text(fields: dict[str, Any]) -> str:
    """Return what indexing puts together; nothing but space is not embedded at all."""
    said = f"{fields.get('title', '')} {fields.get('text', '')}"
    return said if said.strip() else ""


@pytest.mark.java
@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("bert", "passage"),
        ("xlm-roberta", "contexts"),
        pytest.param("typed-xlm-roberta", "passage", marks=pytest.mark.slow),
        pytest.param("xlm-roberta", "chunks", marks=pytest.mark.slow),
    ],
)
def test_vespa_takes_it_and_derives_the_profiles_that_are_read(
    java: VespaJava,
    tmp_path: Path,
    colbert: ModelFolder,
    models: dict[str, Path],
    name: str,
    layout: str,
) -> None:
    options = AppOptions(layout=layout, fusion=Fusion(), nodes=Nodes(gpu=True))  # type: ignore[arg-type]
    spec = spec_of(colbert, encoding_of(models[name], score="sigmoid"), options)
    assert_vespa_takes(java, spec, tmp_path / "app")
    assert {"cross_encode_int8", "cross_encode_hybrid_int8"} <= set(spec.schemas[0].profile_names)


@pytest.mark.parametrize(
    ("name", "start", "separator", "separators"),
    [("bert", "[CLS]", "[SEP]", 1), ("xlm-roberta", "<s>", "</s>", 2)],
)
def test_ids_and_separators_are_those_of_the_tokenizer(
    models: dict[str, Path], name: str, start: str, separator: str, separators: int
) -> None:
    document = json.loads((models[name] / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {each["content"]: each["id"] for each in document["added_tokens"]}

    assert read_pair_form(models[name]) == PairForm(
        start_id=ids[start],
        separator_id=ids[separator],
        separators=separators,
        second_type=1 if separators == 1 else 0,
    )


@pytest.mark.parametrize(
    ("processor", "separators", "second_type"),
    [
        ({"type": "BertProcessing", "cls": ["[CLS]", 101], "sep": ["[SEP]", 102]}, 1, 1),
        ({"type": "RobertaProcessing", "cls": ["<s>", 101], "sep": ["</s>", 102]}, 2, 0),
    ],
)
def test_processors_of_bert_and_roberta_are_known(
    tmp_path: Path, processor: dict[str, Any], separators: int, second_type: int
) -> None:
    parts = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, processor]}
    text = json.dumps({"post_processor": parts})
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")

    assert read_pair_form(tmp_path) == PairForm(
        start_id=101, separator_id=102, separators=separators, second_type=second_type
    )


@pytest.mark.parametrize(
    "pair",
    [
        "$A $B",
        "[CLS] $A $B [SEP]",
        "[CLS] $B [SEP] $A:1 [SEP]:1",
        "[CLS] $A [SEP] $B:1 [SEP]",
        "[CLS] $A [SEP] [SEP] $B:1 [SEP]:1",
        "[CLS] $A [SEP] [SEP] [SEP] $B [SEP]",
        "[CLS] $A [CLS] $B:1 [SEP]:1",
        "[CLS]:1 $A:1 [SEP]:1 $B [SEP]",
    ],
)
def test_pairs_of_another_form_are_refused(tmp_path: Path, pair: str) -> None:
    from tokenizers import Tokenizer, models, processors

    tokenizer = Tokenizer(models.WordPiece({"[CLS]": 0, "[SEP]": 1}, unk_token="[CLS]"))  # noqa: S106
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    with pytest.raises(CheckpointError, match="expected one that puts pairs together as"):
        read_pair_form(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"post_processor": null}', '{"post_processor": {}}'])
def test_a_tokenizer_that_puts_no_pairs_together_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")

    with pytest.raises(CheckpointError, match="expected one that puts pairs together as"):
        read_pair_form(tmp_path)


@pytest.mark.java
@pytest.mark.parametrize(
    "name",
    ["bert", "xlm-roberta", pytest.param("typed-xlm-roberta", marks=pytest.mark.slow)],
)
def test_sequences_are_those_of_the_tokenizer_whatever_their_length(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, models: dict[str, Path], name: str
) -> None:
    from tokenizers import Tokenizer

    spec = spec_of(colbert, encoding_of(models[name]))
    app = render_app(spec, tmp_path / "app", parse=parse_expression).path
    documents = indexed(java, app)
    tokenizer = Tokenizer.from_file(str(models[name] / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH, strategy="only_second")
    cut = 0

    for text in QUESTIONS:
        assert len(tokenizer.encode(text, add_special_tokens=False).ids) <= QUERY_TOKENS
        query = asked(java, app, "cross_encode_float", text)
        ranker = ranker_of(app, "cross_encode_float", documents)
        for position, fields in enumerate(TEXTS):
            pair = tokenizer.encode(text, whole_text(fields))
            cut += bool(pair.overflowing)
            wanted = {"input_ids": pair.ids, "attention_mask": [1] * len(pair.ids)}
            if SPECS[name].token_type_ids:
                wanted["token_type_ids"] = pair.type_ids
            bindings = {
                "query(q_tokens)": query.tensors["q_tokens"],
                "attribute(cross_encoder_tokens)": tokens_of(documents, position),
            }
            for function, ids in wanted.items():
                needed = bindings if any(ids) else {}
                theirs = java.evaluate(app, "passage", "cross_encode_float", function, needed)
                assert theirs.values[0].ravel().tolist() == ids + [0] * (LENGTH - len(ids))
                assert ranker.feature(query, function, position) == theirs
    assert cut >= len(QUESTIONS)


@pytest.mark.java
def test_a_longer_query_is_cut_and_both_texts_keep_their_separator(
    java: VespaJava, tmp_path: Path, colbert: ModelFolder, models: dict[str, Path]
) -> None:
    encoding = encoding_of(models["xlm-roberta"], query_tokens=5)
    app = render_app(spec_of(colbert, encoding), tmp_path / "app", parse=parse_expression).path
    documents = indexed(java, app)
    query = asked(java, app, "cross_encode_float", QUESTIONS[0])

    ids = ranker_of(app, "cross_encode_float", documents).feature(query, "input_ids", 1)

    assert isinstance(ids, Tensor)
    row = ids.values[0].ravel().astype(int).tolist()
    asked_ids = query.tensors["q_tokens"].values[0].astype(int).tolist()
    document = tokens_of(documents, 1).values[0].astype(int).tolist()
    assert len(asked_ids) == 5
    assert row == [0, *asked_ids, 2, 2, *document[:23], 2]


def tokens_of(documents: Documents, position: int) -> Tensor:
    rows = documents.tensors["cross_encoder_tokens"]
    return rows.document(position)


@pytest.mark.java
@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("score", ["logit", pytest.param("sigmoid", marks=pytest.mark.slow)])
def test_hits_are_ranked_as_vespa_ranks_them(
    java: VespaJava,
    tmp_path: Path,
    colbert: ModelFolder,
    models: dict[str, Path],
    name: str,
    score: str,
) -> None:
    encoding = encoding_of(models[name], score=score, rerank_count=3)
    app = render_app(spec_of(colbert, encoding), tmp_path / "app", parse=parse_expression).path
    documents = indexed(java, app)

    for text in QUESTIONS:
        for profile in ("cross_encode_float", "cross_encode_int8"):
            query = asked(java, app, profile, text)
            ranker = ranker_of(app, profile, documents)
            hits = ranker.rank(query)
            theirs = reranked(java, app, ranker, query)
            assert hits
            assert [hit.id for hit in hits] == [hit.id for hit in theirs]
            for mine, other in zip(hits, theirs, strict=True):
                assert mine.relevance == pytest.approx(other.relevance, rel=SCORE)
            for mine in hits[:3]:
                said = whole_text(TEXTS[mine.position])
                logit = cross_logit(models[name], SPECS[name], text, said)
                wanted = 1 / (1 + math.exp(-logit)) if score == "sigmoid" else logit
                assert mine.relevance == pytest.approx(wanted, abs=FLOAT_STEPS)
                assert {"max_sim", "bm25(text)"} <= mine.match_features.keys()


def test_the_model_is_run_on_the_gpu_where_there_is_one(
    colbert: ModelFolder, models: dict[str, Path]
) -> None:
    for gpu, settings in ((False, ()), (True, ("gpu-device: 0",))):
        options = AppOptions(nodes=Nodes(gpu=gpu))
        (model,) = spec_of(colbert, encoding_of(models["bert"]), options).schemas[0].onnx_models
        assert model.settings == settings
        assert model.file == "files/cross-encoder.onnx"
        assert dict(model.inputs) == {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "token_type_ids": "token_type_ids",
        }


def test_the_document_is_cut_to_the_room_that_the_query_leaves(
    colbert: ModelFolder, models: dict[str, Path]
) -> None:
    spec = spec_of(colbert, encoding_of(models["xlm-roberta"]))
    schema = spec.schemas[0]
    profile = schema.profile("cross_encode_float")

    functions = {each.name: each.expression for each in profile.functions}
    assert functions["document_tokens"] == (
        "attribute(cross_encoder_tokens) * tensor<float>(d0[28])(d0 < 28 - query_length)"
    )
    assert functions["input_ids"] == (
        "customTokenInputIds(0, 2, 32, query(q_tokens), no_tokens, document_tokens)"
    )
    assert functions["no_tokens"] == "tensor<float>(d0[1])(0)"
    assert schema.field("cross_encoder_tokens").type == "tensor<float>(d0[28])"
    assert profile.global_phase is not None
    assert profile.global_phase.expression == "onnx(cross_encoder).logits{d0:0, d1:0}"
    (query,) = [each for each in spec.queries if each.profile == "cross_encode_float"]
    assert dict(query.inputs) == {
        "qt": "embed(colbert, @text)",
        "q_tokens": "embed(cross_encoder_tokenizer, @text)",
    }


def test_what_leaves_a_text_no_room_is_refused(
    colbert: ModelFolder, models: dict[str, Path], tmp_path: Path
) -> None:
    encoding = encoding_of(models["bert"], query_tokens=29, rerank_count=0)
    with pytest.raises(SpecError) as caught:
        spec_of(colbert, encoding)
    assert caught.value.faults == (
        "cross-encoder: expected query tokens from 1 to 28, so that a document has room, got 29",
        "cross-encoder: expected a rerank count of 1 or more, got 0",
    )
    short = replace(encoding.encoder, facts=replace(SPECS["bert"], max_tokens=4, output=""))
    with pytest.raises(SpecError) as caught:
        spec_of(colbert, replace(encoding, encoder=short))
    assert "expected room for both texts, got 4" in str(caught.value)
    assert len(caught.value.faults) == 2


def test_facts_are_read_strictly(models: dict[str, Path], tmp_path: Path) -> None:
    assert read_cross_encoder_spec(models["xlm-roberta"]) == SPECS["xlm-roberta"]
    (tmp_path / "embedder.json").write_text('{"cross_encoder": {"start_id": 0}}', encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read_cross_encoder_spec(tmp_path)
    assert caught.value.faults == ("max_tokens: missing", "start_id: unknown")
