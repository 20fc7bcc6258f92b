from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    Embedder,
    PackagedFile,
    RemoteFile,
    application_spec,
    field_name,
    folder_embedder,
    published_embedder,
    read_embedder_facts,
)
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder
from vespa_colbert.tensor import CellType, TensorType

URL = "https://example.org/model.onnx"


def published(facts: EmbedderSpec) -> Embedder:
    return published_embedder(facts, transformer=RemoteFile(url=URL), tokenizer=RemoteFile(url=URL))


@pytest.mark.parametrize(
    ("cell_type", "stored", "vectors"),
    [
        (CellType.FLOAT, "tensor<float>(dt{},x[16])", "attribute(colbert_float)"),
        (CellType.BFLOAT16, "tensor<bfloat16>(dt{},x[16])", "attribute(colbert_bfloat16)"),
        (CellType.INT8, "tensor<int8>(dt{},x[2])", "unpack_bits(attribute(colbert_int8))"),
    ],
)
def test_each_cell_type_has_a_field_and_is_ranked_by_max_sim(
    facts: EmbedderSpec, cell_type: CellType, stored: str, vectors: str
) -> None:
    spec = application_spec(published(facts), AppOptions(cell_types=(cell_type,)))
    schema = spec.schemas[0]
    field = schema.field(field_name(cell_type))
    assert not field.in_document
    assert field.tensor_type == TensorType.parse(stored)
    every = schema.profile(f"max_sim_{cell_type.value}")
    max_sim = f"sum(reduce(sum(query(qt) * {vectors}, x), max, dt), qt)"
    assert [(each.name, each.expression) for each in every.functions] == [("max_sim", max_sim)]
    assert every.input_types == {"qt": TensorType.parse("tensor<float>(qt{},x[16])")}
    assert every.first_phase == "max_sim"
    assert every.match_features == ("max_sim",)


def test_the_best_hits_by_bm25_are_ranked_again(facts: EmbedderSpec) -> None:
    schema = application_spec(published(facts), AppOptions(rerank_count=7)).schemas[0]
    again = schema.profile("rerank_int8")
    assert again.first_phase == "bm25(title) + bm25(text)"
    assert again.second_phase is not None
    assert (again.second_phase.expression, again.second_phase.rerank_count) == ("max_sim", 7)
    assert again.match_features == ("bm25(title)", "bm25(text)", "max_sim")
    assert schema.profile("bm25").first_phase == "bm25(title) + bm25(text)"
    assert all(schema.field(name).index == ("enable-bm25",) for name in ("title", "text"))


def test_the_title_stands_before_the_text_unless_it_is_left_out(facts: EmbedderSpec) -> None:
    with_title, without = (
        application_spec(published(facts), AppOptions(embed_title=wanted)).schemas[0]
        for wanted in (True, False)
    )
    assert with_title.field("colbert_int8").indexing == (
        '(input title || "") . " " . (input text || "") | embed colbert | attribute',
    )
    assert without.field("colbert_int8").indexing == ("input text | embed colbert | attribute",)


def test_a_hit_does_not_carry_its_tensors(facts: EmbedderSpec) -> None:
    schema = application_spec(published(facts), AppOptions()).schemas[0]
    assert all("summary" not in field.indexing[0] for field in schema.derived_fields)
    assert [summary.fields for summary in schema.summaries] == [("id", "title", "text")]


def test_the_files_of_a_model_folder_travel_in_the_package(model_folder: ModelFolder) -> None:
    embedder = folder_embedder(model_folder)
    assert [file.place for _, file in embedder.models] == [
        "files/model.onnx",
        "files/tokenizer.json",
    ]
    assert embedder.facts == model_folder.embedder


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (AppOptions(cell_types=()), "expected at least one, each at most once, or residuals"),
        (AppOptions(cell_types=(CellType.INT8, CellType.INT8)), "at most once"),
        (AppOptions(cell_types=(CellType.DOUBLE,)), "expected float, bfloat16 or int8"),
        (AppOptions(minimum_vespa_version="8.1"), "8.338.38, got '8.1'"),
        (AppOptions(rerank_count=-1), "expected 0 or more, got -1"),
    ],
)
def test_choices_that_do_not_fit_are_refused(
    facts: EmbedderSpec, options: AppOptions, why: str
) -> None:
    with pytest.raises(SpecError, match=why):
        application_spec(published(facts), options)


def test_bits_need_a_dim_divisible_by_eight(facts: EmbedderSpec) -> None:
    with pytest.raises(SpecError, match="divisible by 8, got 12"):
        application_spec(published(replace(facts, dim=12)), AppOptions())
    application_spec(published(replace(facts, dim=12)), AppOptions(cell_types=(CellType.FLOAT,)))


def test_a_release_is_required_that_knows_every_element(facts: EmbedderSpec) -> None:
    quiet = published(replace(facts, expansion_emitted=False))
    assert application_spec(published(facts), AppOptions()).required_vespa_version == "8.338.38"
    assert application_spec(quiet, AppOptions()).required_vespa_version == "8.691.19"
    later = AppOptions(minimum_vespa_version="8.1000.1")
    assert application_spec(quiet, later).required_vespa_version == "8.1000.1"


@pytest.mark.parametrize(
    ("facts_changed", "why"),
    [
        ({"start_id": -1}, "start_id: expected a whole number of 0 or more, got -1"),
        ({"mask_id": "</x>"}, "mask_id"),
        ({"dim": 0}, "dim"),
        ({"pad_id": True}, "pad_id"),
        ({"expansion_emitted": 1}, "expansion_emitted: expected true or false"),
        ({"max_query_tokens": 3}, "room for start, marker, end"),
    ],
)
def test_facts_that_no_embedder_can_use_are_refused(
    facts: EmbedderSpec, facts_changed: dict[str, object], why: str
) -> None:
    wrong = EmbedderSpec(**{**asdict(facts), **facts_changed})
    with pytest.raises(SpecError, match=why):
        application_spec(published(wrong), AppOptions(cell_types=(CellType.FLOAT,)))


def test_all_faults_are_reported_together(facts: EmbedderSpec, tmp_path: Path) -> None:
    embedder = Embedder(
        name="a b",
        facts=replace(facts, start_id=-1),
        transformer=PackagedFile(path="../model.onnx", source=tmp_path / "model.onnx"),
        tokenizer=RemoteFile(url='https://example.org/" x="'),
    )
    with pytest.raises(SpecError) as caught:
        ApplicationSpec(name="../x", schemas=(), components=(embedder, embedder))
    text = "\n".join(caught.value.faults)
    for part in ("'../x'", "one schema", "'a b': there are 2", "files/model.onnx", "URL", "-1"):
        assert part in text


def test_a_file_that_is_not_there_is_refused(facts: EmbedderSpec, tmp_path: Path) -> None:
    missing = PackagedFile(path="files/model.onnx", source=tmp_path / "none")
    embedder = replace(published(facts), transformer=missing)
    with pytest.raises(SpecError, match="expected a model file, there is none at"):
        application_spec(embedder, AppOptions())


def test_facts_are_read_from_a_manifest_and_from_a_file_of_facts_alone(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    assert read_embedder_facts(model_folder.path / "embedder.json") == model_folder.embedder
    alone = tmp_path / "facts.json"
    alone.write_text(json.dumps({"embedder": asdict(model_folder.embedder)}), encoding="utf-8")
    assert read_embedder_facts(alone) == model_folder.embedder


def test_missing_and_unknown_facts_are_all_named(facts: EmbedderSpec, tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    stated = asdict(facts) | {"colour": 1}
    del stated["dim"], stated["pad_id"]
    path.write_text(json.dumps({"embedder": stated}), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read_embedder_facts(path)
    assert caught.value.faults == ("dim: missing", "pad_id: missing", "colour: unknown")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"embedder": 3}', '{"embedder": null}'])
def test_a_file_without_facts_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "facts.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match="expected JSON with the facts"):
        read_embedder_facts(path)
    with pytest.raises(SpecError, match="cannot be read"):
        read_embedder_facts(tmp_path / "none.json")
