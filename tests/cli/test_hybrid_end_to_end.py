"""Three checkpoints, one recipe: export, generate, validate, embed, search, evaluate and verify."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.tiny_checkpoint import build_tiny_checkpoint
from tests.tiny_cross_encoders import write_cross_encoder_checkpoint
from tests.tiny_dense import build_tiny_dense

pytestmark = [pytest.mark.java, pytest.mark.slow]

DOCUMENTS, QUERIES = 40, 6
PHASES = ("bm25", "dense", "max_sim_float", "hybrid_float", "cross_encode_hybrid_float")
RECIPE = """
[export]
output = "models/colbert"
[app]
output = "app"
[dense]
model = "models/dense"
[fusion]
fusing = "reciprocal-rank"
[cross-encoder]
model = "models/cross"
query-tokens = 24
rerank-count = 10
[index]
output = "index"
feed = "feed.jsonl"
[verify]
output = "verify.json"
pairs = 60
documents = 20
queries = 4
"""


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, collections: Path) -> Path:
    """A folder with checkpoints, the recipe, and a part of SciFact: judged documents only."""
    build_tiny_checkpoint(tmp_path / "colbert")
    build_tiny_dense(tmp_path / "dense", pooling="mean")
    write_cross_encoder_checkpoint(tmp_path / "cross", "bert")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    source = collections / "scifact"
    lines = (source / "qrels" / "test.tsv").read_text("utf-8").splitlines()
    asked = list(dict.fromkeys(line.split("\t")[0] for line in lines[1:]))[:QUERIES]
    judged = [line for line in lines[1:] if line.split("\t")[0] in asked]
    wanted = {line.split("\t")[1] for line in judged}
    (tmp_path / "part" / "qrels").mkdir(parents=True)
    (tmp_path / "part" / "qrels" / "test.tsv").write_text("\n".join([lines[0], *judged]) + "\n")
    for name, kept in (("corpus", wanted), ("queries", set(asked))):
        with (source / f"{name}.jsonl").open(encoding="utf-8") as stream:
            every = stream.readlines()
        chosen = [each for each in every if str(json.loads(each)["_id"]) in kept]
        rest = (each for each in every if name == "corpus" and each not in chosen)
        chosen += islice(rest, DOCUMENTS - len(chosen) if name == "corpus" else 0)
        (tmp_path / "part" / f"{name}.jsonl").write_text("".join(chosen), encoding="utf-8")
    return tmp_path


def test_one_recipe_goes_all_the_way_and_vespa_agrees(run: Run, folder: Path) -> None:
    recipe = ("-r", folder / "recipe.toml")
    for name in ("colbert", "dense", "cross"):
        more = ("--max-tokens", 48) if name == "cross" else ()
        output = folder / "models" / name
        made = run("export", folder / name, "-o", output, "--opset", 17, *more)
        assert made.code == 0, made.err
    assert run("generate", *recipe).code == 0
    validated = run("validate", folder / "app")
    assert validated.code == 0, validated.out + validated.err
    embedded = run("embed", folder / "part", *recipe)
    assert embedded.code == 0, embedded.err
    assert f"dense vectors of {DOCUMENTS} texts" in embedded.err

    found = {}
    for phase in PHASES:
        searched = run("search", "what binds to a cell?", "-p", phase, *recipe, "--json")
        assert searched.code == 0, searched.err
        assert "dense vectors" not in searched.err
        assert isinstance(searched.json, list)
        found[phase] = [hit["id"] for hit in searched.json]
        assert len(found[phase]) == len(set(found[phase])) > 3
    asked = [part for phase in PHASES for part in ("-p", phase)]
    evaluated = run(
        "evaluate", folder / "part", "-a", folder / "app", *recipe, *asked,
        "-o", folder / "evaluation", "--permutations", 100, "--json",
    )  # fmt: skip
    assert evaluated.code == 0, evaluated.err
    assert isinstance(evaluated.json, dict)
    systems = {each["name"]: each for each in evaluated.json["systems"]}
    assert systems.keys() == set(PHASES)
    read = {name: {each["name"] for each in system["fields"]} for name, system in systems.items()}
    assert read["dense"] == {"dense"}
    assert read["hybrid_float"] == {"dense", "colbert_float"}
    assert read["cross_encode_hybrid_float"] == {*read["hybrid_float"], "cross_encoder_tokens"}
    assert not evaluated.json["skipped"]

    verified = run("verify", *recipe, "--queries", folder / "part" / "queries.jsonl", "--json")

    assert verified.code == 0, verified.out + verified.err
    assert isinstance(verified.json, dict)
    rungs = {each["name"]: each["verdict"] for each in verified.json["rungs"]}
    for phase in ("hybrid_float global-phase", "cross_encode_hybrid_float global-phase"):
        assert rungs[f"score, {phase}"] == "passed"
