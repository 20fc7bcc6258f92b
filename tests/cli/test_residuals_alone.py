"""Packages whose documents hold residuals and no other tensor, from the recipe to the proof."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, write_corpus
from tests.cli.test_feed import write_model_folder
from vespa_colbert.codec import ResidualCodes, read_codec
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.document_json import tensor_from_json
from vespa_colbert.tensor.literal import parse_literal

FIELD = "colbert_residual"
DIM = 16
SCORE = 1e-5
"""Absolute: sums of float products of vectors of length 1, in another order."""

EMBEDDINGS = ("vespa", "client")


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of five documents, a model and a recipe for each way of embedding."""
    folder = tmp_path_factory.mktemp("alone")
    write_corpus(folder / "corpus.jsonl")
    write_model_folder(folder / "output" / "model")
    (folder / "plain.toml").write_text('[corpus]\npath = "corpus.jsonl"\n')
    for embeddings in EMBEDDINGS:
        write_recipe(folder, embeddings, "cell-types = []")
    return folder


def write_recipe(folder: Path, embeddings: str, app: str, name: str = "") -> Path:
    path = folder / f"{name or embeddings}.toml"
    path.write_text(
        f'[app]\noutput = "output/app-{path.stem}"\n{app}\n'
        f'[tokens]\nembeddings = "{embeddings}"\nresidual = "output/codec"\n'
        f'[corpus]\npath = "corpus.jsonl"\n[index]\noutput = "output/index-{path.stem}"\n'
        f"[verify]\nqueries = 1\npairs = 2\n"
    )
    return path


@pytest.fixture(name="codec", scope="module")
def codec_fixture(folder: Path) -> Path:
    """Trained on the vectors of a package that embeds the same texts."""
    from vespa_colbert.app import render_app
    from vespa_colbert.codec import CodecOptions
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline import embed_corpus, only_schema
    from vespa_colbert.pipeline.residuals import make_codec
    from vespa_colbert.rank.language.parser import parse_expression
    from vespa_colbert.recipe import read_recipe, recipe_application

    spec = recipe_application(read_recipe(folder / "plain.toml"))
    app = render_app(spec, folder / "output" / "app", parse=parse_expression).path
    model, corpus = read_model_folder(folder / "output" / "model"), folder / "corpus.jsonl"
    embed_corpus(corpus, model, only_schema(app), folder / "output" / "index")
    path = folder / "output" / "codec"
    make_codec(folder / "output" / "index", path, CodecOptions(bits=2, centroids=4))
    return path


def fed(path: Path) -> dict[str, Tensor]:
    """Return the residuals of a feed, the one tensor of each document."""
    kind = TensorType.parse(f"tensor<int8>(c{{}},dt{{}},x[{DIM * 2 // 8}])")
    puts = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(each["fields"].keys() == {"id", "title", "text", FIELD} for each in puts)
    return {each["fields"]["id"]: tensor_from_json(each["fields"][FIELD], kind) for each in puts}


def codes(tensor: Tensor) -> ResidualCodes:
    rows = {
        int(place): (int(number), cells) for (number, place), cells in tensor.subspaces().items()
    }
    residuals = np.array([rows[place][1] for place in sorted(rows)], np.int8)
    return ResidualCodes(
        centroids=np.array([rows[place][0] for place in sorted(rows)], np.int32),
        residuals=residuals.view(np.uint8),
    )


@pytest.mark.parametrize("embeddings", EMBEDDINGS)
def test_texts_become_residuals_that_are_searched_and_fed(
    run: Run, folder: Path, codec: Path, tmp_path: Path, embeddings: str
) -> None:
    recipe, model = ("-r", folder / f"{embeddings}.toml"), ("-m", folder / "output" / "model")
    assert run("generate", *recipe, *model).code == 0
    coded = ("embed", *recipe, *model, "--index-only", "-o", tmp_path / "coded")
    ran = run(*coded)
    assert (ran.code, "residuals alone; name their codec with --codec" in ran.err) == (1, True)
    ran = run(*coded, "--codec", codec)
    assert ran.code == 0, ran.err
    for source, verb in ((folder / "output" / "index", "compress"), (tmp_path / "coded", "feed")):
        ran = run(verb, source, *recipe, "-o", tmp_path / f"{verb}.jsonl")
        assert ran.code == 0, ran.err
    feed = tmp_path / "feed.jsonl"
    assert feed.read_bytes() == (tmp_path / "compress.jsonl").read_bytes()

    ran = run("search", "a thorn", *recipe, *model, "-i", tmp_path / "coded", "--json")
    assert ran.code == 0, ran.err
    hits = {hit["id"]: hit["relevance"] for hit in json.loads(ran.out)}
    body = json.loads(run("query", "a thorn", *recipe, *model).out)
    assert body["ranking.profile"] == "max_sim_residual"
    if embeddings == "vespa":
        assert body["input.query(qt)"] == "embed(colbert, @text)"
        return
    kind = TensorType.parse(f"tensor<float>(qt{{}},x[{DIM}])")
    asked = parse_literal(body["input.query(qt)"], kind).values.astype(np.float64)
    for name, tensor in fed(feed).items():
        wanted = (asked @ read_codec(codec).decode(codes(tensor)).T).max(axis=1).sum()
        assert hits[name] == pytest.approx(float(wanted), abs=SCORE)


def test_a_package_that_embeds_other_texts_takes_no_more_of_an_index(
    run: Run, folder: Path, codec: Path, tmp_path: Path
) -> None:
    model = ("-m", folder / "output" / "model")
    titled = ("-r", folder / "vespa.toml")
    untitled = ("-r", write_recipe(folder, "vespa", "cell-types = []\nembed-title = false", "un"))
    for recipe in (titled, untitled):
        assert run("generate", *recipe, *model).code == 0
        made = ("--codec", codec, "--index-only", "-o", tmp_path / recipe[1].stem)
        assert run("embed", *recipe, *model, *made).code == 0
        path = tmp_path / f"{recipe[1].stem}.jsonl"
        assert run("feed", tmp_path / recipe[1].stem, *recipe, "-o", path).code == 0
    with_title, without = fed(tmp_path / "vespa.jsonl"), fed(tmp_path / "un.jsonl")
    moss = len(codes(with_title["d3"])), len(codes(without["d3"]))
    assert moss[0] > moss[1] > 0

    corpus = ("--corpus", folder / "corpus.jsonl")
    ran = run("index", "append", tmp_path / "vespa", *corpus, *untitled, *model)
    assert (ran.code, "made with fields" in ran.err) == (1, True), ran.err


def test_a_client_that_would_have_to_feed_other_fields_too_is_refused(
    run: Run, folder: Path, codec: Path, tmp_path: Path
) -> None:
    recipe = ("-r", write_recipe(folder, "client", 'cell-types = ["int8"]', "both"))
    assert run("generate", *recipe, "-m", folder / "output" / "model").code == 0
    index, model = folder / "output" / "index", folder / "output" / "model"
    made = ("--codec", codec, "--index-only", "-o", tmp_path / "coded")
    for asked in (
        ("compress", index, *recipe, "-o", tmp_path / "feed.jsonl"),
        ("embed", *recipe, "-m", model, *made),
    ):
        ran = run(*asked)
        assert ran.code == 1
        assert f"expected {FIELD} as the one tensor field that is fed, got colbert_int8" in ran.err
        assert "cell-types = [] under [app]" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.java
@pytest.mark.parametrize("embeddings", EMBEDDINGS)
def test_residuals_alone_are_proved_by_vespa_s_java(
    run: Run, folder: Path, codec: Path, tmp_path: Path, embeddings: str
) -> None:
    recipe, model = ("-r", folder / f"{embeddings}.toml"), ("-m", folder / "output" / "model")
    assert run("generate", *recipe, *model).code == 0
    index = ("--codec", codec, "--index-only", "-o", tmp_path / "coded")
    assert run("embed", *recipe, *model, *index).code == 0
    proof = ("-i", tmp_path / "coded", *model, "-o", tmp_path / "parity.json")
    ran = run("verify", *recipe, *proof)
    assert ran.code == 0, ran.err
    rungs = json.loads((tmp_path / "parity.json").read_text(encoding="utf-8"))["rungs"]
    found = {each["name"]: (each["verdict"], each["cases"]) for each in rungs}
    assert found["rows, float"] == ("passed", 1)
    for phase in (
        "max_sim_residual first-phase",
        "rerank_residual second-phase",
        "max_sim_residual_unscaled first-phase",
        "coarse_to_fine_residual first-phase",
        "coarse_to_fine_residual second-phase",
    ):
        assert found[f"score, {phase}"] == ("passed", 2)
