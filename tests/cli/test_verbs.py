"""Every verb on one's own input, in the order of the data path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import WORDS, Run
from vespa_colbert import __version__
from vespa_colbert.cli.main import VERBS


def test_the_path_from_a_checkpoint_to_a_ranking(run: Run, workspace: Path) -> None:
    recipe = workspace / "recipe.toml"

    inspected = run("inspect", "-r", recipe, "--json")
    exported = run("export", "-r", recipe)
    generated = run("generate", "-r", recipe)
    embedded = run("embed", "-r", recipe, "--json")
    found = run("search", "a rose", "-r", recipe, "-p", "max_sim_float", "-n", 2, "--json")
    shown = run("search", "a rose", "-r", recipe)

    assert [each.code for each in (inspected, exported, generated, embedded, found, shown)] == [
        0
    ] * 6
    facts: Any = inspected.json
    assert facts["layout"] == "pylate"
    assert facts["embedder"]["max_query_tokens"] == 10
    assert "written; packaging native" in exported.out
    assert "contextual 8 wide" in exported.out
    assert (workspace / "output" / "app" / "services.xml").is_file()
    index: Any = embedded.json
    assert (index["documents"], index["operations"], index["reused"]) == (5, 5, False)
    feed = (workspace / "output" / "feed.jsonl").read_text().splitlines()
    assert json.loads(feed[1])["fields"] == {"id": "d1", "title": "t1", "text": WORDS[1]}
    hits: Any = found.json
    assert len(hits) == 2
    assert hits[0]["relevance"] >= hits[1]["relevance"]
    assert hits[0]["match-features"]["max_sim"] == hits[0]["relevance"]
    assert "rose→" in shown.out


def test_what_is_still_valid_is_reused_and_says_so(run: Run, workspace: Path) -> None:
    recipe = workspace / "recipe.toml"
    run("export", "-r", recipe)
    run("generate", "-r", recipe)
    run("embed", "-r", recipe)

    assert "still valid, reused" in run("export", "-r", recipe).out
    assert "still valid, reused" in run("embed", "-r", recipe).out


@pytest.mark.java
def test_vespa_accepts_the_package_and_agrees_with_every_number(run: Run, workspace: Path) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate", "embed"):
        assert run(verb, "-r", recipe).code == 0

    validated = run("validate", "-r", recipe, "--json")
    verified = run("verify", "-r", recipe, "--json")

    verdict: Any = validated.json
    assert (validated.code, verdict["accepted"], verdict["errors"]) == (0, True, [])
    assert "rerank_int8" in verdict["profiles"]["passage"]
    report: Any = verified.json
    assert verified.code == 0
    verdicts = {rung["name"]: rung["verdict"] for rung in report["rungs"]}
    assert verdicts["token ids"] == verdicts["rows, packed bits"] == "passed"
    assert verdicts["score, max_sim_int8 first-phase"] == "passed"
    assert verdicts["score, bm25 first-phase"] == "not checked"
    assert json.loads((workspace / "output" / "parity.json").read_text()) == report


@pytest.mark.java
def test_parity_that_is_broken_exits_3_and_names_the_first_rung(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate", "embed"):
        run(verb, "-r", recipe)
    # The package says another document marker than the model folder: Vespa will use that one.
    services = workspace / "output" / "app" / "services.xml"
    kept = services.read_text()
    assert "<document-token-id>2<" in kept
    services.write_text(kept.replace("<document-token-id>2<", "<document-token-id>3<"))

    broken = run("verify", "-r", recipe, "-o", tmp_path / "parity.json")
    services.write_text(kept)

    assert broken.code == 3
    assert "error: token ids: local and Vespa's Java differ (document" in broken.err
    assert json.loads((tmp_path / "parity.json").read_text())["passed"] is False


@pytest.mark.java
def test_a_package_that_vespa_refuses_exits_1_with_its_reason(run: Run, workspace: Path) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate"):
        run(verb, "-r", recipe)
    schema = workspace / "output" / "app" / "schemas" / "passage.sd"
    kept = schema.read_text()
    schema.write_text(kept.replace("attribute(colbert_float)", "attribute(nosuch)"))

    refused = run("validate", "-r", recipe)
    schema.write_text(kept)

    assert refused.code == 1
    assert "nosuch" in refused.out
    assert "refused by Vespa" in refused.out


def test_a_schema_edited_by_hand_moves_the_local_score(run: Run, workspace: Path) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate", "embed"):
        run(verb, "-r", recipe)
    schema = workspace / "output" / "app" / "schemas" / "passage.sd"
    kept = schema.read_text()
    ask = ("search", "a rose", "-r", recipe, "-p", "max_sim_float", "-n", 1, "--json")

    before: Any = run(*ask).json
    schema.write_text(
        kept.replace(
            "        first-phase {\n            expression: max_sim\n",
            "        first-phase {\n            expression: 3 * max_sim() + 1\n",
        )
    )
    after: Any = run(*ask).json
    schema.write_text(kept)

    assert after[0]["relevance"] == pytest.approx(3 * before[0]["relevance"] + 1, rel=1e-12)


def test_init_writes_a_recipe_that_reads_back_and_is_not_overwritten(
    run: Run, tmp_path: Path
) -> None:
    from vespa_colbert.recipe import read_recipe

    path = tmp_path / "recipe.toml"

    assert run("init", path).code == 0
    assert read_recipe(path).search.hits == 10
    again = run("init", path)
    assert again.code == 1
    assert "--force" in again.err


def test_every_verb_has_help_with_an_example(run: Run) -> None:
    for verb in VERBS:
        shown = run(verb, "--help")
        assert shown.code == 0
        assert f"Example: vespa-colbert {verb}" in " ".join(shown.out.split()), verb


def test_version_and_wrong_usage(run: Run) -> None:
    assert run("--version").out.strip() == __version__
    assert run("nosuch").code == 2
    assert run("search").code == 2
