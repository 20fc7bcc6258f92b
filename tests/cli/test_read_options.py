from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Run
from vespa_colbert.checkpoint import ReadOptions
from vespa_colbert.cli.read_options import FLAGS

Copy = Callable[[], Path]

STATED = (
    *("--query-marker", "[unused0]", "--document-marker", "[unused1]"),
    *("--max-query-tokens", "10", "--max-document-tokens", "20"),
)


@pytest.fixture(name="parts")
def parts_fixture(copy: Copy) -> Path:
    """A folder with a plain encoder and ``head.safetensors`` beside it."""
    folder = copy()
    save_file(
        load_file(folder / "1_Dense" / "model.safetensors"), folder.parent / "head.safetensors"
    )
    for name in ("modules.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    return folder


def test_every_option_of_the_reader_has_a_flag() -> None:
    assert [each.name for each in fields(ReadOptions)] == list(FLAGS)


def test_flags_state_what_no_file_says(run: Run, parts: Path) -> None:
    head = parts.parent / "head.safetensors"
    ran = run(
        "inspect", parts, "--head", head, *STATED, "--no-query-expansion", "--skip-words", ". ,",
        "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    described: Any = ran.json
    assert described["layout"] == "plain"
    facts = described["facts"]
    assert facts["query_marker"]["text"] == "[unused0]"
    assert (facts["max_query_tokens"], facts["max_document_tokens"]) == (10, 20)
    assert facts["query_expansion"] is False
    assert facts["skip_words"] == [".", ","]


def test_a_flag_wins_over_the_recipe(run: Run, parts: Path) -> None:
    recipe = parts.parent / "recipe.toml"
    recipe.write_text(
        f"""
        [checkpoint]
        path = "{parts.name}"
        head = "head.safetensors"
        query-marker = "[unused0]"
        document-marker = "[unused1]"
        max-query-tokens = 10
        max-document-tokens = 20
        skip-words = []
        """
    )
    ran = run("inspect", "-r", recipe, "--max-query-tokens", 12, "--json")
    assert ran.code == 0, ran.err
    described: Any = ran.json
    facts = described["facts"]
    assert (facts["max_query_tokens"], facts["max_document_tokens"]) == (12, 20)
    assert facts["skip_words"] == []


def test_what_is_missing_is_named_by_its_flag(run: Run, parts: Path) -> None:
    ran = run("inspect", parts, "--head", parts.parent / "head.safetensors")
    assert ran.code == 1
    assert "--query-marker, --document-marker, --max-query-tokens" in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


def test_another_stated_length_makes_the_model_folder_anew(
    run: Run, parts: Path, tmp_path: Path
) -> None:
    head = parts.parent / "head.safetensors"
    first = run("export", parts, "-o", tmp_path / "model", "--head", head, *STATED)
    again = run("export", parts, "-o", tmp_path / "model", "--head", head, *STATED)
    other = run(
        "export", parts, "-o", tmp_path / "model", "--head", head, *STATED,
        "--max-query-tokens", "12", "--json",
    )  # fmt: skip
    assert (first.code, again.code, other.code) == (0, 0, 0), (first.err, again.err, other.err)
    assert "reused" not in first.out
    assert "reused" in again.out
    made: Any = other.json
    assert made["reused"] is False
    assert made["embedder"]["max_query_tokens"] == 12
