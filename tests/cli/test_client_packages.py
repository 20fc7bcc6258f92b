"""Packages whose client sends tensors, used as their README says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_feed import write_model_folder
from tests.codec.codec_cases import trained
from vespa_colbert.app import Schema, read_package
from vespa_colbert.app.sent import MORE
from vespa_colbert.codec import write_codec
from vespa_colbert.pipeline import only_schema
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.document_json import tensor_from_json
from vespa_colbert.tensor.literal import parse_literal
from vespa_colbert.vespa_java import VespaJava

RECIPES = {
    "token vectors": '[tokens]\nembeddings = "client"\n',
    "dense": '[app]\nname = "mine"\n[dense]\nembeddings = "client"\ndim = 16\n',
    "contexts, dense": '[app]\nlayout = "contexts"\n[dense]\nembeddings = "client"\ndim = 16\n',
    "lexical": '[lexical]\nweights = "client"\n',
    "contexts, all": '[app]\nlayout = "contexts"\n[tokens]\nembeddings = "client"\n'
    '[dense]\nembeddings = "client"\ndim = 16\n[lexical]\nweights = "client"\n',
    "residuals alone": '[app]\ncell-types = []\n[tokens]\nresidual = "output/codec"\n',
    "residuals alone, token vectors": "[app]\ncell-types = []\n"
    '[tokens]\nembeddings = "client"\nresidual = "output/codec"\n',
    "streaming, all": '[app]\nmode = "streaming"\n[tokens]\nembeddings = "client"\n'
    '[dense]\nembeddings = "client"\ndim = 16\ncell-type = "int8"\n'
    '[lexical]\nweights = "client"\n[fusion]\nfusing = "weighted"\n',
}
WIDTHS = (16, 2)
"""Numbers in a block: floats, and bits that are packed, of signs or residuals."""

Package = Callable[[str], Path]


@pytest.fixture(name="package")
def package_fixture(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Generates the package of a recipe, and stands in its folder."""
    write_model_folder(tmp_path / "output" / "model")
    write_codec(trained(1, WIDTHS[0]), tmp_path / "output" / "codec")

    def generate(recipe: str) -> Path:
        (tmp_path / "recipe.toml").write_text(RECIPES[recipe])
        assert run("generate", "-r", tmp_path / "recipe.toml").code == 0
        app = tmp_path / "output" / "app"
        monkeypatch.chdir(app)
        return app

    return generate


def filled(text: str) -> str:
    """Return an example of a README with something in the place of all dots."""
    float_width, bit_width = WIDTHS
    text = text.replace(f"[0.1{MORE}]", json.dumps([0.1] * float_width))
    text = text.replace(f"[1{MORE}]", json.dumps([1] * bit_width)).replace(MORE, "")
    for name in ("context", "token", "dt"):
        text = text.replace(f'"{name}": "..."', f'"{name}": "0"')
    return re.sub(r"--model \.\.\.", "--model ../model", text).replace("...", "rose")


def commands(app: Path) -> list[str]:
    """Return the lines of the README that are our own command's, filled in."""
    lines = (app / "README.md").read_text(encoding="utf-8").splitlines()
    return [filled(each).strip() for each in lines if each.startswith("    vespa-colbert")]


def examples(app: Path, start: str) -> list[str]:
    lines = (app / "README.md").read_text(encoding="utf-8").splitlines()
    return [filled(each).strip() for each in lines if each.startswith(f"    {start}")]


def tensors(fields: dict[str, Any], schema: Schema) -> dict[str, Tensor]:
    kinds = {each.name: each.type for each in schema.document_fields if each.tensor_type}
    return {
        name: tensor_from_json(fields[name], TensorType.parse(kind)) for name, kind in kinds.items()
    }


def arguments(command: str) -> list[str]:
    """Return what a shell would hand to our command, and where the output goes left out."""
    words = shlex.split(command)
    assert words[0] == "vespa-colbert"
    return words[1 : words.index(">") if ">" in words else None]


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_line_of_the_readme_works(run: Run, package: Package, recipe: str) -> None:
    app = package(recipe)
    schema = only_schema(app)
    (line,) = examples(app, '{"_id"')
    (app.parent / "corpus.jsonl").write_text(line + "\n")
    feed, *queries = commands(app)

    ran = run(*arguments(feed.replace("corpus.jsonl", "../corpus.jsonl")))
    assert ran.code == 0, ran.err
    fed = json.loads(Path("feed.jsonl").read_text())
    Path("feed.jsonl").unlink()
    (written,) = examples(app, '{"put"')
    example = json.loads(written)
    assert example["fields"].keys() == fed["fields"].keys()
    assert example["put"].rpartition(":")[0] == fed["put"].rpartition(":")[0]
    given, made = tensors(example["fields"], schema), tensors(fed["fields"], schema)
    for name in json.loads(line).get("_tensors", {}):
        assert given[name] == made[name]

    asked = {each.profile for each in read_package(app).queries if not each.is_filled}
    said = set()
    for command in queries:
        ran = run(*arguments(command))
        assert ran.code == 0, (command, ran.err)
        body = json.loads(ran.out)
        said.add(body["ranking.profile"])
        kinds = schema.profile(body["ranking.profile"]).input_types
        for name, kind in kinds.items():
            if (text := body.get(f"input.query({name})")) is not None and "embed" not in text:
                parse_literal(text, kind)
    assert said == asked


@pytest.mark.java
@pytest.mark.parametrize(
    "recipe",
    [
        "contexts, all",
        pytest.param("residuals alone", marks=pytest.mark.slow),
        pytest.param("streaming, all", marks=pytest.mark.slow),
    ],
)
def test_vespa_takes_what_the_readme_feeds(run: Run, package: Package, recipe: str) -> None:
    app = package(recipe)
    schema = only_schema(app)
    (line,) = examples(app, '{"put"')
    with VespaJava(timeout_seconds=60.0) as java:
        (read,) = java.index_documents(app, [json.loads(line)])
    for name, tensor in tensors(json.loads(line)["fields"], schema).items():
        assert read[name] == tensor


def corpus_of(path: Path, *bringing: dict[str, Any]) -> Path:
    rows = [
        {"_id": str(place), "text": "a rose", "_tensors": each}
        for place, each in enumerate(bringing)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_embed_feeds_what_the_corpus_brings_beside_its_own_vectors(
    run: Run, package: Package
) -> None:
    app = package("lexical")
    out = app.parent
    corpus = corpus_of(
        out / "corpus.jsonl", {"lexical": {"cells": {"7": 0.5}}}, {"lexical": {"9": 1}}
    )

    ran = run("embed", corpus, "-a", app, "-m", out / "model", "-o", out / "index")

    assert ran.code == 0, ran.err
    lines = (app / "output" / "feed.jsonl").read_text().splitlines()
    fed = [tensors(json.loads(line)["fields"], only_schema(app))["lexical"] for line in lines]
    assert [dict(each.cells()) for each in fed] == [{("7",): 0.5}, {("9",): 1.0}]


@pytest.mark.parametrize(
    "second", [{}, {"lexical": {"cells": [1]}}, {"dense": {"values": [1, 2, 3, 4]}}]
)
def test_embed_says_what_a_corpus_lacks_before_any_work(
    run: Run, package: Package, second: dict[str, Any]
) -> None:
    app = package("lexical")
    out = app.parent
    corpus = corpus_of(out / "corpus.jsonl", {"lexical": {"7": 0.5}}, second)
    chosen = ("-a", app, "-m", out / "model", "-o", out / "index")

    ran = run("embed", corpus, *chosen)

    assert ran.code == 1
    assert "document '1'" in ran.err
    assert "lexical" in ran.err
    assert not (out / "index").exists()
    assert not (app / "output").exists()
    alone = run("embed", corpus, *chosen, "--index-only")
    assert alone.code == 0, alone.err
    assert (out / "index").is_dir()
    assert not (app / "output").exists()
