"""The body of a request: what Vespa fills, what is sent, and that Vespa reads it so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.app.tiny_models import write_colbert
from tests.vespa_java.tiny_package import SPEC
from vespa_colbert.app import AppOptions, application_spec, folder_embedder, render_app
from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.cli.main import app as command_line
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import MODEL_FILE, ModelFolder
from vespa_colbert.files import digest_file
from vespa_colbert.pipeline import QueryOptions, only_schema, query_body
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import Tensor, TensorType, cells_of
from vespa_colbert.tensor.literal import parse_literal
from vespa_colbert.vespa_java import VespaJava

QUESTION = 'green "greens" 🦊'


@pytest.fixture(scope="module")
def java() -> Iterator[VespaJava]:
    with VespaJava() as judge:
        yield judge


def model_in(path: Path, *, expansion_emitted: bool = True) -> ModelFolder:
    spec = dataclasses.replace(SPEC, expansion_emitted=expansion_emitted)
    folder = write_colbert(path, spec)
    (path / "embedder.json").write_text(folder.manifest(), encoding="utf-8")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return model_in(tmp_path / "model")


def package(model: ModelFolder, path: Path, options: AppOptions) -> Path:
    return render_app(
        application_spec(folder_embedder(model), options), path / "app", parse=parse_expression
    ).path


def body_of(
    app: Path, profile: str, model: ModelFolder | None = None, options: QueryOptions | None = None
) -> dict[str, object]:
    chosen = options or QueryOptions()
    return query_body(app, only_schema(app), QUESTION, profile, model=model, options=chosen)


def test_what_vespa_can_fill_is_left_to_it(tmp_path: Path, model: ModelFolder) -> None:
    app = package(model, tmp_path, AppOptions(dims=(8, 16)))

    assert body_of(app, "coarse_to_fine_int8", options=QueryOptions(hits=3)) == {
        "yql": "select * from passage where userInput(@text)",
        "text": QUESTION,
        "ranking.profile": "coarse_to_fine_int8",
        "hits": 3,
        "input.query(qt8)": "embed(colbert, @text)",
        "input.query(qt)": "embed(colbert, @text)",
        "presentation.summary": "texts",
    }


@pytest.mark.parametrize("expansion_emitted", [True, False])
def test_each_token_of_the_query_asks_for_its_neighbours(
    tmp_path: Path, *, expansion_emitted: bool
) -> None:
    model = model_in(tmp_path / "model", expansion_emitted=expansion_emitted)
    app = package(model, tmp_path, AppOptions(token_retrieval=TokenRetrieval(target_hits=7)))

    body = body_of(app, "token_retrieval_int8", model)

    # [CLS] [Q] green green ##s [UNK] stands for the quotes: cut to 7 tokens, [SEP] the last.
    count = 7
    items = [f"({{targetHits:7}}nearestNeighbor(colbert_int8, rq{i}))" for i in range(count)]
    assert str(body["yql"]).removeprefix("select * from passage where ") == " or ".join(items)
    assert body["input.query(qt)"] == "embed(colbert, @text)"
    bits = parse_literal(str(body["input.query(qtb)"]), TensorType.parse("tensor<int8>(qt{},x[2])"))
    vectors = LocalEmbedder(model, threads=1).embed(QUESTION, "query")
    assert bits == Tensor.rows(bits.type, cells_of(vectors, bits.type))
    one = TensorType.parse("tensor<int8>(x[2])")
    for place in range(count):
        sent = parse_literal(str(body[f"input.query(rq{place})"]), one)
        assert sent == Tensor.dense(one, bits.values[place])
    assert f"input.query(rq{count})" not in body


def test_a_short_query_asks_for_no_more_than_its_tokens(tmp_path: Path) -> None:
    model = model_in(tmp_path / "model", expansion_emitted=False)
    app = package(model, tmp_path, AppOptions(token_retrieval=TokenRetrieval()))

    body = query_body(app, only_schema(app), "red", "token_retrieval_float", model=model)

    assert str(body["yql"]).count("nearestNeighbor") == 4  # [CLS] [Q] red [SEP]
    assert sorted(name for name in body if name.startswith("input")) == [
        "input.query(qt)",
        *(f"input.query(rq{place})" for place in range(4)),
    ]


def test_a_client_sends_its_vectors_and_says_with_which_model(
    tmp_path: Path, model: ModelFolder
) -> None:
    app = package(model, tmp_path, AppOptions(embeddings="client", layout="contexts"))

    body = body_of(app, "rerank_cross_float", model)

    kind = TensorType.parse("tensor<float>(qt{},x[16])")
    vectors = LocalEmbedder(model, threads=1).embed(QUESTION, "query")
    assert parse_literal(str(body["input.query(qt)"]), kind) == Tensor.rows(kind, vectors)
    with pytest.raises(SpecError, match="name the model that makes them with --model"):
        body_of(app, "rerank_cross_float")


def test_vectors_of_another_model_are_not_sent(tmp_path: Path, model: ModelFolder) -> None:
    app = package(model, tmp_path, AppOptions(token_retrieval=TokenRetrieval()))
    (model.path / MODEL_FILE).unlink()
    (model.path / MODEL_FILE).write_bytes(b"another")
    files = {**model.files, MODEL_FILE: digest_file(model.path / MODEL_FILE)}
    other = dataclasses.replace(model, files=files)

    with pytest.raises(SpecError, match=r"expected the model that .*app holds, got another"):
        body_of(app, "token_retrieval_int8", other)


def test_streaming_asks_for_a_group(tmp_path: Path, model: ModelFolder) -> None:
    app = package(model, tmp_path, AppOptions(mode="streaming"))

    body = body_of(app, "max_sim_int8", options=QueryOptions(group="ada"))

    assert body["streaming.groupname"] == "ada"
    with pytest.raises(SpecError, match=r"value of streaming\.groupname: name the group"):
        body_of(app, "max_sim_int8")


def test_a_statement_of_ones_own_is_sent_as_it_is(tmp_path: Path, model: ModelFolder) -> None:
    app = package(model, tmp_path, AppOptions())

    options = QueryOptions(yql="select id from passage where true")

    assert body_of(app, "bm25", options=options)["yql"] == options.yql


def test_a_profile_of_a_package_by_hand_is_asked_by_its_inputs(
    tmp_path: Path, model: ModelFolder
) -> None:
    app = package(model, tmp_path, AppOptions())
    (app / ".vespa-colbert.json").unlink()

    body = body_of(app, "max_sim_float", model)

    assert str(body["input.query(qt)"]).startswith("{0:[")
    schema = app / "schemas" / "passage.sd"
    text = schema.read_text(encoding="utf-8")
    schema.write_text(text.replace("float>(qt{},x", "float>(a{},qt{},x"), encoding="utf-8")
    with pytest.raises(SpecError, match=r"not known what fills query\(qt\)"):
        body_of(app, "max_sim_float", model)


@pytest.mark.java
def test_vespa_reads_the_tensors_that_were_made(
    java: VespaJava, tmp_path: Path, model: ModelFolder
) -> None:
    options = AppOptions(token_retrieval=TokenRetrieval(), embeddings="client", dims=(8,))
    app = package(model, tmp_path, options)
    vectors = LocalEmbedder(model, threads=1).embed(QUESTION, "query")

    for profile in ("token_retrieval_int8_8", "token_retrieval_float_8"):
        body = body_of(app, profile, model)
        types = only_schema(app).profile(profile).input_types
        sent = [(name, str(body[f"input.query({name})"])) for name in types]
        read = java.read_literals([(text, str(types[name])) for name, text in sent])
        for (name, _), tensor in zip(sent, read, strict=True):
            assert isinstance(tensor, Tensor)
            rows = TensorType.parse(str(types[name]).replace("(x", "(qt{},x"))
            every = cells_of(vectors, types[name] if name.startswith("qt") else rows)
            wanted = every if name.startswith("qt") else every[int(name[2:])][None]
            assert (tensor.values == wanted).all(), name


def test_the_command_prints_the_body(tmp_path: Path, model: ModelFolder) -> None:
    app = package(model, tmp_path, AppOptions(token_retrieval=TokenRetrieval()))
    asked = ["query", QUESTION, "-a", str(app), "-m", str(model.path)]

    result = CliRunner().invoke(command_line, [*asked, "-p", "token_retrieval_int8", "-n", "4"])

    assert result.exit_code == 0, result.output
    expected = body_of(app, "token_retrieval_int8", model, QueryOptions(hits=4))
    assert json.loads(result.stdout) == expected
    line = CliRunner().invoke(command_line, [*asked, "-p", "bm25", "--json"]).stdout
    assert line.count("\n") == 1
    assert json.loads(line)["ranking.profile"] == "bm25"
