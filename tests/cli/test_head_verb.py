from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Run, write_corpus
from tests.tiny_checkpoint import DIM, HIDDEN
from vespa_colbert.checkpoint import read_checkpoint, read_checksums

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(name="texts")
def texts_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    write_corpus(path)
    return path


def test_a_checkpoint_gets_a_rotated_head(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "rotated"
    ran = run("head", tiny_checkpoint, "-o", output, "--texts", texts, "--device", "cpu")

    assert ran.code == 0, ran.err
    assert "float scores stay" in ran.out
    assert "texts" in ran.err
    written, before = read_checkpoint(output), read_checkpoint(tiny_checkpoint)
    one, other = (each.projection[0].weight.astype(np.float64) for each in (written, before))
    assert np.allclose(one.T @ one, other.T @ other, atol=1e-5)
    assert not np.allclose(one, other)
    checksums = read_checksums(output)
    assert checksums is not None
    assert checksums.origin["method"] == "itq"
    assert checksums.origin["texts"]["name"] == "corpus.jsonl"


def test_a_narrow_head_is_told_in_json(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "texts.txt"
    lines.write_text("a rose is a rose\n\nivy b c\nhello abc x y z\n")
    asked = ("--dims", 5, "--method", "pca", "--cuts", "2,3", "--center", "--json")
    ran = run("head", tiny_checkpoint, "-o", tmp_path / "out", "--texts", lines, *asked)

    assert ran.code == 0, ran.err
    facts: Any = ran.json
    assert (facts["dim"], facts["texts"], facts["rotated-only"]) == (5, 3, False)
    assert list(facts["shares"]) == ["2", "3", "5"]
    assert read_checkpoint(tmp_path / "out").projection[0].bias is not None


def test_a_plain_encoder_needs_no_head_for_a_new_one(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    encoder = tmp_path / "encoder"
    shutil.copytree(tiny_checkpoint, encoder)
    shutil.rmtree(encoder / "1_Dense")
    for name in ("modules.json", "config_sentence_transformers.json"):
        (encoder / name).unlink()
    stated = ("--query-marker", "[unused0]", "--document-marker", "[unused1]")
    lengths = ("--max-query-tokens", 10, "--max-document-tokens", 20)
    asked = ("head", encoder, "-o", tmp_path / "out", "--texts", texts, *stated, *lengths)

    refused = run(*asked)
    assert refused.code == 1
    assert "--head-start new" in refused.err
    ran = run(*asked, "--head-start", "new", "--dims", 6)
    assert ran.code == 0, ran.err
    read = read_checkpoint(tmp_path / "out")
    assert (read.layout, read.projection[0].weight.shape) == ("pylate", (6, HIDDEN))


ROWS = tuple(
    {"query": f"{word} is a", "positive": f"a {word}", "negatives": [f"{other} b", "hello c"]}
    for word, other in zip("abcdefghijklmnopqrstuvwx", "xwvutsrqponmlkjihgfedcba", strict=True)
)


def write_rows(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.mark.parametrize("start", ["own", "new"])
def test_a_narrow_head_learns_the_scores_of_the_wide_one(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path, start: str
) -> None:
    rows, output = write_rows(tmp_path / "rows.jsonl"), tmp_path / "narrow"
    asked = ("--dims", 4, "--method", "pca", "--cuts", 2, "--device", "cpu", "--head-start", start)
    learned = ("--distil", rows, "--epochs", 8, "--batch", 4, "--learning-rate", 0.02)
    ran = run("head", tiny_checkpoint, "-o", output, "--texts", texts, *asked, *learned, "--json")
    plain = run("head", tiny_checkpoint, "-o", tmp_path / "plain", "--texts", texts, *asked)

    assert (ran.code, plain.code) == (0, 0), ran.err + plain.err
    facts: Any = ran.json
    # Every eighth of 24 queries is kept apart.
    assert (facts["distilled"]["rows"], facts["distilled"]["steps"]) == (21, 48)
    assert facts["distilled"]["loss"] < 0.95 * facts["distilled"]["loss-before"]
    read, before = read_checkpoint(output), read_checkpoint(tmp_path / "plain")
    assert read.projection[0].weight.shape == before.projection[0].weight.shape
    assert (read.projection[0].weight != before.projection[0].weight).any()
    assert read.cuts == before.cuts == (2,)
    written = read_checksums(output)
    assert written is not None
    assert written.origin["distilled"]["rows"]["name"] == "rows.jsonl"
    left = {path.name for path in (tmp_path / "narrow.training").iterdir()} - {"curves.svg"}
    assert left == {"log.jsonl"}


def test_a_recipe_says_the_same_as_flags(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    write_rows(tmp_path / "rows.jsonl")
    (tmp_path / "recipe.toml").write_text(
        f"""
        [checkpoint]
        path = "{tiny_checkpoint}"
        [head]
        texts = "{texts.name}"
        output = "by-recipe"
        method = "pca"
        dims = 4
        center = true
        device = "cpu"
        distil = "rows.jsonl"
        epochs = 1
        """
    )
    flags = (
        *("--method", "pca", "--dims", 4, "--center", "--device", "cpu"),
        *("--distil", tmp_path / "rows.jsonl", "--epochs", 1),
    )
    by_recipe = run("head", "-r", tmp_path / "recipe.toml")
    output = tmp_path / "by-flags"
    by_flags = run("head", tiny_checkpoint, "--texts", texts, "-o", output, *flags)

    assert (by_recipe.code, by_flags.code) == (0, 0), by_recipe.err + by_flags.err
    weights = [
        (tmp_path / name / "1_Dense" / "model.safetensors").read_bytes()
        for name in ("by-recipe", "by-flags")
    ]
    assert weights[0] == weights[1]
    assert "distilled in 2 steps on 21 rows: loss on others" in by_recipe.out
    assert "float scores change" in by_recipe.out


def test_rows_of_a_distillation_that_are_bad_are_told_before_the_work(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(ROWS[0]) + '\n{"query_id": "q", "pos_id": "nowhere"}\n')
    asked = ("head", tiny_checkpoint, "-o", tmp_path / "out", "--texts", texts)
    ran = run(*asked, "--distil", rows)
    assert (ran.code, "rows.jsonl line 2: query id 'q' cannot be" in ran.err) == (1, True)
    assert "rows:" not in ran.err
    idle = run(*asked, "--epochs", 3)
    assert (idle.code, "--epochs goes with --distil ROWS" in idle.err) == (1, True)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.training").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--dims", 9), f"at most the head's own {DIM}"),
        (("--cuts", "4,x"), "widths such as 64,32"),
        (("--cuts", "8"), "below the head's 8"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path, flags: tuple[Any, ...], told: str
) -> None:
    ran = run("head", tiny_checkpoint, "-o", tmp_path / "out", "--texts", texts, *flags)
    assert ran.code == 1
    assert told in ran.err
    assert not (tmp_path / "out").exists()


def test_texts_that_are_none_and_an_output_that_is_the_checkpoint_are_refused(
    run: Run, tiny_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n")
    ran = run("head", tiny_checkpoint, "-o", tmp_path / "out", "--texts", empty)
    assert (ran.code, "expected texts, got none" in ran.err) == (1, True)
    before = json.loads((tiny_checkpoint / "1_Dense" / "config.json").read_text())
    ran = run("head", tiny_checkpoint, "-o", tiny_checkpoint, "--texts", texts)
    assert ran.code == 1
    assert json.loads((tiny_checkpoint / "1_Dense" / "config.json").read_text()) == before
