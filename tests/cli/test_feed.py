"""``feed``: a corpus or an index in, put operations out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import WORDS, Run, write_corpus
from tests.embedder.tiny_embedder import SPEC, VOCABULARY, table, write_model, write_tokenizer
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.export import read_model_folder
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    ModelFolder,
)
from vespa_colbert.files import digest_file
from vespa_colbert.index import open_index
from vespa_colbert.tensor import TensorType, cells_of
from vespa_colbert.tensor.document_json import tensor_from_json
from vespa_colbert.vespa_java import JavaDocument, VespaJava

Given = Callable[[str], Path]

IN_DOCUMENT = """
schema passage {{
    document passage {{
        field id type string {{ indexing: attribute | summary }}
        field title type string {{ indexing: index | summary }}
        field text type string {{ indexing: index | summary }}
        field colbert_{cells} type {type} {{ indexing: attribute }}
    }}
}}
"""


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and in ``output`` a model of three weights, a package and an index."""
    folder = tmp_path_factory.mktemp("made")
    write_corpus(folder / "corpus.jsonl")
    write_model_folder(folder / "output" / "model")
    recipe = folder / "recipe.toml"
    recipe.write_text('[corpus]\npath = "corpus.jsonl"\n')
    for verb in ("generate", "embed"):
        ours(verb, "-r", recipe)
    return folder / "output"


def write_model_folder(path: Path) -> None:
    path.mkdir(parents=True)
    write_model(path / MODEL_FILE, table(len(VOCABULARY)))
    write_tokenizer(path / TOKENIZER_FILE, VOCABULARY)
    folder = ModelFolder(
        path=path,
        embedder=SPEC,
        packaging="native",
        checkpoint={"name": "tiny"},
        versions={},
        graph={},
        verification={},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    (path / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")


def ours(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "vespa_colbert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True)


@pytest.fixture(name="client_side")
def client_side_fixture(made: Path, tmp_path: Path) -> Given:
    """Writes a package whose documents themselves have a tensor field of the index."""

    def write(name: str) -> Path:
        kind = str(open_index(made / "index").tensors[name].type)
        app = tmp_path / "client"
        shutil.copytree(made / "app", app)
        schema = IN_DOCUMENT.format(cells=name.removeprefix("colbert_"), type=kind)
        (app / "schemas" / "passage.sd").write_text(schema)
        services = app / "services.xml"
        text = services.read_text()
        start, end = text.index("<component"), text.rindex("</component>") + len("</component>")
        services.write_text(text[:start] + text[end:])
        return app

    return write


def operations(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def vectors_of(path: Path) -> int:
    """Return how many vectors a feed has."""
    return sum(len(each["fields"]["colbert_float"]["blocks"]) for each in operations(path))


def test_a_corpus_is_fed_as_embed_feeds_it(run: Run, made: Path, tmp_path: Path) -> None:
    corpus = made.parent / "corpus.jsonl"

    ran = run("feed", corpus, "-a", made / "app", "-o", tmp_path / "feed.jsonl")

    assert ran.code == 0, ran.err
    assert (tmp_path / "feed.jsonl").read_bytes() == (made / "feed.jsonl").read_bytes()
    assert "5 put operations" in ran.out


def test_a_corpus_comes_from_a_folder_or_from_stdin(made: Path, tmp_path: Path) -> None:
    corpus = made.parent / "corpus.jsonl"
    command = [sys.executable, "-m", "vespa_colbert", "feed", "-", "-a", str(made / "app")]

    of_folder = ours("feed", made.parent, "-a", made / "app", "-o", "-")
    with corpus.open("rb") as stdin:
        of_stdin = subprocess.run(
            [*command, "-o", "-"], stdin=stdin, capture_output=True, check=True
        )

    assert of_folder.stdout == of_stdin.stdout == (made / "feed.jsonl").read_bytes()

    bad = subprocess.run([*command, "-o", "-"], input=b"{}\n", capture_output=True, check=False)
    assert b"stdin line 1: expected" in bad.stderr


def test_a_feed_pools_what_it_embeds_and_nothing_else(
    run: Run, made: Path, client_side: Given, tmp_path: Path
) -> None:
    app, path = client_side("colbert_float"), tmp_path / "feed.jsonl"
    ask = ("feed", made.parent / "corpus.jsonl", "-a", app, "-o", path)

    whole = run(*ask, "-m", made / "model")
    vectors = vectors_of(path)
    pooled = run(*ask, "-m", made / "model", "--pool-factor", 2)
    without = run(*ask, "--no-tensors", "--pool-factor", 2)
    index = run("feed", made / "index", "-a", app, "-o", path, "--protected-tokens", 2)

    assert (whole.code, pooled.code, without.code, index.code) == (0, 0, 1, 1)
    assert vectors_of(path) < vectors
    for each in (without, index):
        assert "--pool-factor and --protected-tokens go with a corpus and a model" in each.err


@pytest.mark.parametrize(("make", "got"), [(os.mkdir, "a folder"), (os.mkfifo, "a device or pipe")])
def test_a_feed_that_cannot_be_written_is_told_before_anything_is_embedded(
    run: Run, made: Path, tmp_path: Path, make: Callable[[Path], None], got: str
) -> None:
    corpus, index, feed = made.parent / "corpus.jsonl", tmp_path / "index", tmp_path / "feed"
    make(feed)
    ask = ("embed", corpus, "-a", made / "app", "-m", made / "model", "-o", index)

    ran = run(*ask, "--feed", feed)

    assert ran.code == 1
    assert f"{feed}: expected a file or nothing, got {got}; name another --feed" in ran.err
    assert list(tmp_path.iterdir()) == [feed]


def test_stdout_has_the_feed_and_nothing_else(made: Path) -> None:
    ran = ours("feed", made / "index", "-a", made / "app", "-o", "-")

    assert ran.stdout == (made / "feed.jsonl").read_bytes()
    assert b"5 put operations" in ran.stderr


@pytest.mark.parametrize("field", ["colbert_float", "colbert_int8"])
def test_the_vectors_of_an_index_are_fed_into_the_documents_own_field(
    run: Run, made: Path, client_side: Given, tmp_path: Path, field: str
) -> None:
    path = tmp_path / "feed.jsonl"

    ran = run("feed", made / "index", "-a", client_side(field), "-o", path, "--tensors")

    rows = open_index(made / "index").tensors[field]
    assert ran.code == 0, ran.err
    for position, operation in enumerate(operations(path)):
        value = operation["fields"][field]
        assert all(isinstance(block, str) for block in value["blocks"].values())
        assert tensor_from_json(value, rows.type) == rows.document(position)


def test_a_corpus_is_embedded_into_the_documents_own_field(
    run: Run, made: Path, client_side: Given, tmp_path: Path
) -> None:
    corpus, path = made.parent / "corpus.jsonl", tmp_path / "feed.jsonl"
    app = client_side("colbert_float")

    ran = run("feed", corpus, "-a", app, "-m", made / "model", "-o", path, "--embed", "input text")

    embedder = LocalEmbedder(read_model_folder(made / "model"))
    kind = open_index(made / "index").tensors["colbert_float"].type
    assert ran.code == 0, ran.err
    for text, operation in zip(WORDS, operations(path), strict=True):
        found = tensor_from_json(operation["fields"]["colbert_float"], TensorType.parse(str(kind)))
        assert (found.values == cells_of(embedder.embed(text, "document"), kind)).all()


def test_title_and_text_are_embedded_where_nothing_is_said(
    run: Run, made: Path, client_side: Given, tmp_path: Path
) -> None:
    corpus, app = made.parent / "corpus.jsonl", client_side("colbert_int8")

    embedded = run("feed", corpus, "-a", app, "-m", made / "model", "-o", tmp_path / "one.jsonl")
    ready = run("feed", made / "index", "-a", app, "-o", tmp_path / "two.jsonl")

    assert (embedded.code, ready.code) == (0, 0)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_a_killed_feed_goes_on(run: Run, made: Path, client_side: Given, tmp_path: Path) -> None:
    corpus, path, app = (
        made.parent / "corpus.jsonl",
        tmp_path / "f.jsonl",
        client_side("colbert_int8"),
    )
    ask = ("feed", corpus, "-a", app, "-m", made / "model", "-o", path, "--resume", "--json")
    assert run(*ask).code == 0
    whole = path.read_bytes()
    path.unlink()
    (tmp_path / "f.jsonl.partial").write_bytes(whole[: len(whole) // 2])

    again: Any = run(*ask).json

    assert path.read_bytes() == whole
    assert again["operations"] == 5
    assert again["kept"] == whole[: len(whole) // 2].count(b"\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tensors",), "have no tensor field"),
        (("--group", "nosuch"), "expected a text in nosuch"),
        (("--schema", "nosuch"), "expected one schema nosuch"),
        (("--namespace", "a:b"), "expected a namespace without"),
    ],
)
def test_what_cannot_be_fed_exits_1_and_writes_nothing(
    run: Run, made: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "feed.jsonl"

    ran = run("feed", made / "index", "-a", made / "app", "-o", path, *arguments)

    assert ran.code == 1
    assert message in ran.err
    assert not path.exists()


def test_documents_with_tensors_need_a_model_or_an_index(
    run: Run, made: Path, client_side: Given, tmp_path: Path
) -> None:
    corpus, app = made.parent / "corpus.jsonl", client_side("colbert_int8")

    refused = run("feed", corpus, "-a", app, "-o", tmp_path / "feed.jsonl")
    without = run("feed", corpus, "-a", app, "-o", tmp_path / "feed.jsonl", "--no-tensors")

    assert refused.code == 1
    assert "its documents have colbert_int8" in refused.err
    assert without.code == 0


def test_stdout_cannot_be_resumed(run: Run, made: Path) -> None:
    assert run("feed", made / "index", "-a", made / "app", "-o", "-", "--resume").code == 2


@pytest.mark.java
def test_vespa_reads_the_tensors_that_were_fed(
    run: Run, made: Path, client_side: Given, tmp_path: Path
) -> None:
    app, path = client_side("colbert_int8"), tmp_path / "feed.jsonl"
    assert run("feed", made / "index", "-a", app, "-o", path).code == 0
    rows = open_index(made / "index").tensors["colbert_int8"]

    with VespaJava(timeout_seconds=60.0) as java:
        read = java.read_documents(app, path.read_text(encoding="utf-8").splitlines())

    assert len(read) == len(WORDS)
    for position, document in enumerate(read):
        assert isinstance(document, JavaDocument), document
        assert document.fields["colbert_int8"] == rows.document(position)


@pytest.mark.slow
def test_a_feed_killed_at_many_moments_ends_up_whole(made: Path, tmp_path: Path) -> None:
    corpus, path = tmp_path / "corpus.jsonl", tmp_path / "feed.jsonl"
    rows = ({"_id": f"d{n}", "text": "moss " * 30} for n in range(20_000))
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask = ("feed", corpus, "-a", made / "app", "-o")
    ours(*ask, tmp_path / "wanted.jsonl")
    command = [sys.executable, "-m", "vespa_colbert", *map(str, (*ask, path, "--resume"))]
    kept = []
    for _ in range(12):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            grown = until_it_grows(tmp_path / "feed.jsonl.partial")
            child.kill()
        kept.append(grown)
        assert not path.exists()

    ours(*ask, path, "--resume")

    assert path.read_bytes() == (tmp_path / "wanted.jsonl").read_bytes()
    assert kept == sorted(set(kept))
    assert {each.name for each in tmp_path.iterdir()} == {
        "corpus.jsonl",
        "feed.jsonl",
        "wanted.jsonl",
    }


def until_it_grows(partial: Path) -> int:
    """Return the size of a file as soon as it is larger than it was."""
    before = partial.stat().st_size if partial.exists() else 0
    give_up = time.monotonic() + 60
    while not partial.exists() or partial.stat().st_size <= before:
        assert time.monotonic() < give_up
        time.sleep(0.001)
    return partial.stat().st_size
