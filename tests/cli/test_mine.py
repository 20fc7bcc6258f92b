from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import WORDS, Run, write_corpus

ROWS = "rows.jsonl"


@pytest.fixture(name="collection")
def collection_fixture(tmp_path: Path) -> Path:
    """Five documents, d0 to d4, of which d0 is about a rose."""
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    write_corpus(folder / "corpus.jsonl")
    (folder / "queries.jsonl").write_text('{"_id": "q0", "text": "is it a rose"}\n')
    (folder / "qrels" / "train.tsv").write_text("q0\td0\t1\nq0\td3\t0\n")
    return folder


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_negatives_are_found_by_words(run: Run, collection: Path, tmp_path: Path) -> None:
    """d3 shares no word; "is", "it" and "a" are in d1, "is" and "a" in d2 and d4."""
    done = run("mine", collection, "-o", tmp_path / ROWS, "--first", 1, "--json")

    (row,) = rows_of(tmp_path / ROWS)
    assert done.code == 0
    assert (row["query_id"], row["pos_id"]) == ("q0", "d0")
    assert row["neg_ids"][0] == "d1"
    assert sorted(row["neg_ids"]) == ["d1", "d2", "d4"]
    summary: Any = done.json
    assert (summary["rows"], summary["negatives"], summary["rows-without"]) == (1, 3, 0)


@pytest.mark.slow
def test_negatives_are_found_by_a_profile_of_a_package(
    run: Run, workspace: Path, collection: Path, tmp_path: Path
) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate", "embed"):
        assert run(verb, "-r", recipe).code == 0
    found: Any = run(
        "search", "is it a rose", "-r", recipe, "-p", "max_sim_float", "-n", len(WORDS), "--json"
    ).json

    options = ("-p", "max_sim_float", "-r", recipe, "--first", 1, "-n", 2)
    done = run("mine", collection, "-o", tmp_path / ROWS, *options)

    (row,) = rows_of(tmp_path / ROWS)
    assert row["neg_ids"] == [hit["id"] for hit in found if hit["id"] != "d0"][:2]
    assert "1 rows for 1 queries, 2 negatives by max_sim_float" in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--first", 9, "--last", 9), "found none between ranks 9 and 9"),
        (("--first", 9, "--last", 2), "expected 1 ≤ first ≤ last, got 9 and 2"),
        (("--split", "dev"), "expected qrels/dev.tsv, found train"),
    ],
)
def test_where_nothing_can_be_mined_nothing_is_written(
    run: Run, collection: Path, tmp_path: Path, options: tuple[Any, ...], said: str
) -> None:
    done = run("mine", collection, "-o", tmp_path / ROWS, *options)

    assert done.code == 1
    assert said in done.err
    assert not (tmp_path / ROWS).exists()
