"""``train-codec`` and ``compress``: an index in, residuals that Vespa is fed out."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, write_corpus
from tests.cli.test_feed import write_model_folder
from tests.codec.codec_cases import trained, unit_vectors
from vespa_colbert.codec import (
    PlaidChunk,
    ResidualCodec,
    read_codec,
    read_plaid,
    write_codec,
    write_plaid,
)
from vespa_colbert.index import open_index
from vespa_colbert.index.join import write_manifest
from vespa_colbert.index.manifest import read_manifest
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.document_json import tensor_from_json

FIELD = "colbert_residual"
DIM = 16
SCORE = 1e-5
"""Absolute: sums of float products of vectors of length 1, in another order."""


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of five documents and a model of three weights."""
    folder = tmp_path_factory.mktemp("made")
    write_corpus(folder / "corpus.jsonl")
    write_model_folder(folder / "output" / "model")
    recipe = '[corpus]\npath = "corpus.jsonl"\n'
    (folder / "recipe.toml").write_text(recipe)
    more = '[app]\noutput = "output/packed"\n[tokens]\nresidual = "output/codec"\n'
    (folder / "packed.toml").write_text(recipe + more)
    return folder


@pytest.fixture(name="index", scope="module")
def index_fixture(made: Path) -> Path:
    from vespa_colbert.app import render_app
    from vespa_colbert.export import read_model_folder
    from vespa_colbert.pipeline import embed_corpus, only_schema
    from vespa_colbert.rank.language.parser import parse_expression
    from vespa_colbert.recipe import read_recipe, recipe_application

    spec = recipe_application(read_recipe(made / "recipe.toml"))
    app = render_app(spec, made / "output" / "app", parse=parse_expression).path
    model = read_model_folder(made / "output" / "model")
    corpus, path = made / "corpus.jsonl", made / "output" / "index"
    return embed_corpus(corpus, model, only_schema(app), path).value.path


def fed(path: Path, width: int) -> list[Tensor]:
    kind = TensorType.parse(f"tensor<int8>(c{{}},dt{{}},x[{width}])")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [tensor_from_json(json.loads(line)["fields"][FIELD], kind) for line in lines]


def test_an_index_is_trained_on_compressed_and_ranked_from_its_feed(
    run: Run, made: Path, index: Path
) -> None:
    codec, feed = made / "output" / "codec", made / "packed.jsonl"
    ran = run("train-codec", index, "-o", codec, "--bits", "2", "--centroids", "4", "--json")
    assert ran.code == 0, ran.err
    dim = read_codec(codec).dim
    assert json.loads(ran.out)["bytes-a-token"] == dim * 2 // 8
    assert run("generate", "-r", made / "packed.toml").code == 0
    packed = made / "output" / "packed"
    ran = run("compress", index, "-r", made / "packed.toml", "-o", feed)
    assert ran.code == 0, ran.err
    assert "5 put operations" in ran.out
    found, stored = read_codec(codec), open_index(index).tensors["colbert_float"]
    asked = unit_vectors(3, dim, seed=2)
    query = Tensor.rows(TensorType.parse(f"tensor<float>(qt{{}},x[{dim}])"), asked)
    ranker = Ranker.from_application(packed, "max_sim_residual", feed)
    hits = ranker.rank(RankQuery(text="", tensors={"qt": query}))
    assert len(hits) == 5
    for hit in hits:
        codes = found.encode(stored.document(hit.position).values)
        wanted = (asked @ found.decode(codes).T).max(axis=1).sum()
        assert hit.relevance == pytest.approx(float(wanted), abs=SCORE)


def test_residuals_are_kept_in_an_index_that_is_searched_fed_and_changed(
    run: Run, made: Path, index: Path, tmp_path: Path
) -> None:
    codec, coded = made / "output" / "codec", tmp_path / "coded"
    assert run("train-codec", index, "-o", codec, "--centroids", "4").code == 0
    assert run("generate", "-r", made / "packed.toml").code == 0
    recipe = ("-r", made / "packed.toml")
    ran = run("compress", index, *recipe, "--index", coded)
    assert ran.code == 0, ran.err
    assert f"{coded}: 5 documents, 4 bytes a token" in ran.out
    for arguments in (("compress", index), ("feed", coded)):
        assert run(*arguments, *recipe, "-o", tmp_path / f"{arguments[0]}.jsonl").code == 0
    fed = [(tmp_path / f"{verb}.jsonl").read_bytes() for verb in ("compress", "feed")]
    assert fed[0] == fed[1]
    searched = ("-m", made / "output" / "model", "-i", coded, "-p", "max_sim_residual", "--json")
    ran = run("search", "a thorn", *recipe, *searched)
    assert ran.code == 0, ran.err
    hits = {hit["id"]: hit["relevance"] for hit in json.loads(ran.out)}
    assert list(hits) == sorted(hits, key=lambda each: -hits[each])
    assert set(hits) == {f"d{place}" for place in range(5)}
    assert run("search", "a thorn", *recipe, *searched[:4], "--json").out == ran.out
    embedded = ("-m", made / "output" / "model", "--codec", codec)
    direct = ("embed", made / "corpus.jsonl", *recipe, *embedded, "-o", tmp_path / "at-once")
    ran = run(*direct)
    assert (ran.code, "embed with --index-only, then feed the index" in ran.err) == (1, True)
    ran = run(*direct, "--index-only")
    assert ran.code == 0, ran.err
    assert run("feed", tmp_path / "at-once", *recipe, "-o", tmp_path / "at-once.jsonl").code == 0
    assert (tmp_path / "at-once.jsonl").read_bytes() == fed[0]
    corpus = ("--corpus", made / "corpus.jsonl")
    ran = run("index", "append", coded, *corpus, *recipe, *embedded)
    assert "5 of the documents were there as they are; 5 documents" in ran.out, ran.err
    ran = run("index", "append", index, *corpus, "-a", made / "output" / "app", *embedded)
    assert (ran.code, "holds vectors and no residuals" in ran.err) == (1, True)
    assert run("index", "delete", coded, "--id", "d1").code == 0
    assert run("index", "compact", coded).code == 0
    ran = run("index", "check", coded)
    assert (ran.code, "whole; 4 documents in 1 segment" in ran.out) == (0, True), ran.err
    again = json.loads(run("search", "a thorn", *recipe, *searched).out)
    assert {hit["id"]: hit["relevance"] for hit in again} == {
        name: score for name, score in hits.items() if name != "d1"
    }
    assert run("index", "merge", coded, "-o", tmp_path / "joined").code == 0
    for more in (("--plaid", tmp_path / "plaid"), ("-o", tmp_path / "compress.jsonl")):
        ran = run("compress", index, *recipe, "--index", tmp_path / "more", *more)
        assert (ran.code, "expected one of --output, --plaid, --index" in ran.err) == (2, True)
    assert not (tmp_path / "more").exists()


@pytest.mark.slow
@pytest.mark.java
def test_residuals_of_an_index_are_proved_by_vespa_s_java(
    run: Run, made: Path, index: Path, tmp_path: Path
) -> None:
    codec, coded = made / "output" / "codec", tmp_path / "coded"
    assert run("train-codec", index, "-o", codec, "--centroids", "4").code == 0
    recipe, said = made / "proved.toml", (made / "packed.toml").read_text(encoding="utf-8")
    recipe.write_text(f"{said}[verify]\nqueries = 1\npairs = 2\n", encoding="utf-8")
    assert run("generate", "-r", recipe).code == 0
    assert run("compress", index, "-r", recipe, "--index", coded).code == 0
    model = ("-m", made / "output" / "model")
    ran = run("verify", "-r", recipe, "-i", coded, *model, "-o", tmp_path / "parity.json")
    assert ran.code == 0, ran.err
    rungs = json.loads((tmp_path / "parity.json").read_text(encoding="utf-8"))["rungs"]
    found = {each["name"]: each for each in rungs}
    for profile in ("max_sim_residual", "max_sim_residual_unscaled", "coarse_to_fine_residual"):
        proved = found[f"score, {profile} first-phase"]
        assert (proved["verdict"], proved["cases"]) == ("passed", 2)
    left = found["score, max_sim_float first-phase"]
    assert left["verdict"] == "not checked"
    assert "attribute(colbert_float): not in this index" in left["note"]
    assert found["rows, residuals"]["verdict"] == "not checked"


def test_plaid_s_index_is_fed_as_it_is_and_written_back(
    run: Run, made: Path, tmp_path: Path
) -> None:
    codec = trained(2, DIM)
    codes = codec.encode(unit_vectors(11, DIM, seed=5, topics=6))
    chunk = PlaidChunk(lengths=np.array([3, 1, 0, 5, 2]), codes=codes)
    write_plaid(tmp_path / "plaid", codec, [chunk])
    taken = tmp_path / "codec"
    for name in ("bits", "centroids", "iterations", "seed"):
        ran = run("train-codec", tmp_path / "plaid", "-o", taken, f"--{name}", 1)
        assert (ran.code, taken.exists()) == (2, False)
        assert f"--{name}: PLAID's index has a codec; leave it out" in ran.err
    assert run("train-codec", tmp_path / "plaid", "-o", taken).code == 0
    app, feed = plaid_package(made, tmp_path, taken), tmp_path / "feed.jsonl"
    corpus = made / "corpus.jsonl"
    ran = run("compress", tmp_path / "plaid", "--corpus", corpus, "-a", app, "-o", feed)
    assert ran.code == 0, ran.err
    tensors = fed(feed, codec.width)
    assert [len(each.values) for each in tensors] == [3, 1, 0, 5, 2]
    rows = {
        (document, int(place)): (int(number), cells.view(np.uint8).tolist())
        for document, each in enumerate(tensors)
        for (number, place), cells in each.subspaces().items()
    }
    assert [rows[key][0] for key in sorted(rows)] == codes.centroids.tolist()
    assert [rows[key][1] for key in sorted(rows)] == codes.residuals.tolist()
    again = tmp_path / "again"
    assert run("compress", tmp_path / "plaid", "--plaid", again).code == 0
    names = ("centroids.pt", "buckets.pt", "0.codes.pt", "0.residuals.pt", "ivf.pid.pt")
    for name in names:
        assert (again / name).read_bytes() == (tmp_path / "plaid" / name).read_bytes()
    assert read_plaid(again).tokens == 11


def plaid_package(made: Path, folder: Path, codec: Path) -> Path:
    from dataclasses import replace

    from tests.embedder.tiny_embedder import SPEC
    from vespa_colbert.app import AppOptions, application_spec, published_embedder, render_app
    from vespa_colbert.app.component import RemoteFile
    from vespa_colbert.app.residual_vectors import read_residual_vectors
    from vespa_colbert.rank.language.parser import parse_expression

    files = [RemoteFile(url=f"https://m.example/{name}") for name in ("m.onnx", "t.json")]
    embedder = published_embedder(replace(SPEC, dim=DIM), transformer=files[0], tokenizer=files[1])
    spec = application_spec(embedder, AppOptions(residual=read_residual_vectors(codec)))
    return render_app(spec, folder / "app", parse=parse_expression).path


@pytest.mark.parametrize(
    ("lengths", "fault"),
    [([3, 1, 5, 2], "has 4 documents and no more"), ([3, 1, 0, 5, 1, 1], "got more")],
)
def test_a_corpus_of_another_collection_is_refused(
    run: Run, made: Path, tmp_path: Path, lengths: list[int], fault: str
) -> None:
    codec = trained(2, DIM)
    codes = codec.encode(unit_vectors(11, DIM, seed=5, topics=6))
    write_plaid(tmp_path / "plaid", codec, [PlaidChunk(lengths=np.array(lengths), codes=codes)])
    write_codec(codec, tmp_path / "codec")
    app, feed = plaid_package(made, tmp_path, tmp_path / "codec"), tmp_path / "feed.jsonl"
    corpus = made / "corpus.jsonl"
    ran = run("compress", tmp_path / "plaid", "--corpus", corpus, "-a", app, "-o", feed)
    assert (ran.code, feed.exists()) == (1, False)
    assert fault in ran.err


def test_a_package_with_another_codec_is_refused(run: Run, made: Path, tmp_path: Path) -> None:
    codec, other = trained(2, DIM), trained(2, DIM, centroids=5)
    codes = codec.encode(unit_vectors(5, DIM, seed=5))
    write_plaid(tmp_path / "plaid", codec, [PlaidChunk(lengths=np.ones(5, np.int64), codes=codes)])
    write_codec(other, tmp_path / "codec")
    app = plaid_package(made, tmp_path, tmp_path / "codec")
    arguments = ("--corpus", made / "corpus.jsonl", "-a", app, "-o", tmp_path / "feed.jsonl")
    ran = run("compress", tmp_path / "plaid", *arguments)
    assert ran.code == 1
    assert "other weights" in ran.err or "other centroids" in ran.err


@pytest.mark.parametrize("verb", ["train-codec", "compress"])
def test_a_folder_without_an_index_says_what_was_looked_for(
    run: Run, made: Path, index: Path, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(index, tmp_path / "begun.partial")
    whole = read_manifest(index)
    write_manifest(tmp_path / "begun.partial", replace(whole, is_unfinished=True))
    nothing = "expected a local index with manifest.json and segments, or PLAID's index with "
    nothing += "metadata.json; found neither; "
    begun = f"{tmp_path / 'begun.partial'} is an unfinished one: run the same vespa-colbert embed"
    faults = {
        "nix": f"{nothing}make one with: vespa-colbert embed",
        "empty": f"{nothing}make one with: vespa-colbert embed",
        "begun": f"{nothing}{begun}",
        "begun.partial": "expected a whole index, got 5 documents of a run of embed that has not "
        f"ended; {begun}",
    }
    for name, fault in faults.items():
        ran = run(verb, tmp_path / name, "-o", tmp_path / "out")
        assert (ran.code, (tmp_path / "out").exists()) == (1, False)
        assert f"{tmp_path / name}: {fault}" in ran.err


def test_more_centroids_than_vectors_are_refused_by_flag_and_index(
    run: Run, index: Path, tmp_path: Path
) -> None:
    ran = run("train-codec", index, "-o", tmp_path / "out", "--centroids", 100_000)
    assert (ran.code, (tmp_path / "out").exists()) == (1, False)
    assert re.search(r"--centroids: expected at most \d+, .*, got 100000; leave it out", ran.err)
    assert f"in {index}" in ran.err


def test_an_index_without_a_codec_says_how_to_get_one(run: Run, index: Path) -> None:
    ran = run("compress", index)
    assert ran.code == 1
    assert "train-codec" in ran.err


def test_a_place_that_is_taken_is_seen_before_the_training(
    run: Run, index: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    messages = {
        "notes": "not written by this command",
        "file": "got a file",
        "file/codec": f"cannot be written ({tmp_path / 'file'} is a file, expected a folder)",
    }
    for name, message in messages.items():
        ran = run("train-codec", index, "-o", tmp_path / name, "--centroids", "4")
        assert (ran.code, message in ran.err) == (1, True)
        assert "k-means" not in ran.err
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_an_output_that_cannot_be_written_is_seen_before_anything_is_coded(
    run: Run, made: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ("-r", made / "packed.toml")
    assert run("train-codec", index, "-o", made / "output" / "codec", "--centroids", "4").code == 0
    assert run("generate", *recipe).code == 0
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    monkeypatch.setattr(ResidualCodec, "encode", lambda _codec, _vectors: pytest.fail("coded"))
    below = f"cannot be written ({tmp_path / 'notes' / 'mine.txt'} is a file, expected a folder)"

    for flag in ("--output", "--index", "--plaid"):
        taken = "got a folder" if flag == "--output" else "not written by this command"
        for name, message in (("notes", taken), ("notes/mine.txt/below", below)):
            ran = run("compress", index, *recipe, flag, tmp_path / name)
            assert (ran.code, message in ran.err) == (1, True), ran.err
    assert [each.name for each in tmp_path.rglob("*")] == ["notes", "mine.txt"]


def test_who_has_vectors_is_told_what_makes_residuals_of_them(
    run: Run, made: Path, index: Path, tmp_path: Path
) -> None:
    assert run("train-codec", index, "-o", made / "output" / "codec", "--centroids", "4").code == 0
    recipe, path = ("-r", made / "packed.toml"), tmp_path / "feed.jsonl"
    assert run("generate", *recipe).code == 0
    embed = ("embed", made / "corpus.jsonl", *recipe, "-m", made / "output" / "model")
    for asked in (("feed", index, *recipe, "-o", path), (*embed, "-o", tmp_path / "index")):
        ran = run(*asked)
        assert (ran.code, path.exists()) == (1, False)
        assert "vespa-colbert compress makes it of an index of vectors" in ran.err
        assert "embed --codec --index-only of texts" in ran.err


def test_what_would_not_be_heeded_of_compress_is_refused(
    run: Run, made: Path, index: Path, tmp_path: Path
) -> None:
    codec, plaid, new = tmp_path / "codec", tmp_path / "plaid", tmp_path / "new"
    assert run("train-codec", index, "-o", codec, "--centroids", "4").code == 0
    write_plaid(
        plaid,
        trained(2, DIM),
        [PlaidChunk(lengths=np.array([1]), codes=trained(2, DIM).encode(unit_vectors(1, DIM)))],
    )
    to_plaid, corpus = ("--plaid", new), ("--corpus", made / "corpus.jsonl")
    of_index = (index, "--codec", codec)
    asked = {
        "--codec": ((plaid, *corpus, "--codec", codec, "-o", new),),
        "--corpus": ((*of_index, *to_plaid, *corpus), (plaid, *to_plaid, *corpus)),
        "--model": ((*of_index, "--index", new, "-m", made), (plaid, *to_plaid, "-m", made)),
        "--namespace": ((plaid, *to_plaid, "--namespace", "x"),),
    }
    for flag, each in ((flag, each) for flag, lines in asked.items() for each in lines):
        ran = run("compress", *each)
        assert (ran.code, new.exists()) == (2, False), ran.err
        assert f"{flag}: " in ran.err


def test_a_package_without_residuals_is_named_as_such(
    run: Run, made: Path, index: Path, tmp_path: Path
) -> None:
    codec, app = tmp_path / "codec", made / "output" / "app"
    assert run("train-codec", index, "-o", codec, "--centroids", "4").code == 0
    ran = run("compress", index, "--codec", codec, "-a", app, "--index", tmp_path / "coded")
    assert (ran.code, (tmp_path / "coded").exists()) == (1, False)
    assert f"{app}: expected rank profiles that rebuild residuals, got none; generate" in ran.err


def test_a_package_that_is_fed_other_tensors_too_takes_no_residuals_alone(
    run: Run, made: Path, index: Path, tmp_path: Path
) -> None:
    codec, fed = made / "output" / "codec", ("--output", tmp_path / "feed.jsonl")
    assert run("train-codec", index, "-o", codec, "--centroids", "4").code == 0
    said = (made / "packed.toml").read_text(encoding="utf-8")
    recipe = made / "client.toml"
    recipe.write_text(f'{said}embeddings = "client"\n'.replace("output/packed", "output/client"))
    assert run("generate", "-r", recipe).code == 0
    expected = "expected colbert_residual as the one tensor field that is fed, got "
    for app, hint in (
        ("client", "colbert_float, colbert_int8, colbert_residual; generate with cell-types = []"),
        ("app", "none; generate with [tokens] residual"),
    ):
        ran = run("compress", index, "--codec", codec, "-a", made / "output" / app, *fed)
        assert (ran.code, fed[1].exists()) == (1, False)
        assert expected + hint in ran.err
