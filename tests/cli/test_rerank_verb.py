"""A cross-encoder from custom weights to ranked lines: check, export, models, rerank."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import WORDS, Run, write_corpus
from tests.reranker.conftest import checkpoints_fixture, folders_fixture
from vespa_colbert.reranker import Reranker, open_scorer

__all__ = ["checkpoints_fixture", "folders_fixture"]

ROWS = (
    {"_id": "q1", "query": "a rose", "documents": [WORDS[0], WORDS[2], WORDS[3]]},
    {"query": "moss", "documents": [{"_id": "d", "title": "Moss", "text": "is green"}, WORDS[1]]},
    {"query": "nothing to rank", "documents": []},
)


def lines_of(rows: tuple[Mapping[str, Any], ...] = ROWS) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows) + "\n"


def parsed(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(name="reranker")
def reranker_fixture(folders: Mapping[str, Path]) -> Reranker:
    return Reranker(open_scorer(folders["bert"]))


def test_lines_go_through_stdin_and_stdout(
    run: Run,
    folders: Mapping[str, Path],
    reranker: Reranker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines_of()))

    ran = run("rerank", folders["bert"])

    assert ran.code == 0, ran.err
    first, second, third = parsed(ran.out)
    wanted = reranker.rerank("a rose", ROWS[0]["documents"])
    assert first["_id"] == "q1"
    assert [each["position"] for each in first["results"]] == [each.position for each in wanted]
    assert [each["score"] for each in first["results"]] == pytest.approx(
        [each.score for each in wanted], abs=1e-6
    )
    assert "_id" not in second
    (titled,) = (each for each in second["results"] if each.get("_id") == "d")
    assert titled["score"] == pytest.approx(reranker.score([("moss", "Moss is green")])[0])
    assert third == {"results": []}


def test_files_scores_cache_and_log(run: Run, folders: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(lines_of(), encoding="utf-8")
    shared = (folders["bert"], tmp_path / "in.jsonl", "--top", 2, "--score", "sigmoid")
    kept = ("--cache", tmp_path / "c.db", "--log", tmp_path / "log.jsonl")

    for name in ("first.jsonl", "second.jsonl"):
        ran = run("rerank", *shared, *kept, "-o", tmp_path / name)
        assert (ran.code, ran.out) == (0, ""), ran.err

    texts = [(tmp_path / name).read_text("utf-8") for name in ("first.jsonl", "second.jsonl")]
    assert texts[0] == texts[1]
    first = parsed(texts[0])[0]
    assert len(first["results"]) == 2
    assert all(0 < each["score"] < 1 for each in first["results"])
    records = parsed((tmp_path / "log.jsonl").read_text("utf-8"))
    assert [each["event"] for each in records] == [*["rerank"] * 3, "summary"] * 2
    assert [each["cached"] for each in records] == [0, 0, 0, 0, 3, 2, 0, 5]
    assert records[0]["query"] == "q1"
    assert records[0]["documents"] == 3
    assert records[0]["milliseconds"] > 0
    assert records[0]["scores"]["max"] == records[0]["scores"]["top"][0]
    assert records[3]["milliseconds"].keys() == {
        "min",
        "p5",
        "p50",
        "p95",
        "max",
        "mean",
        "deviation",
    }
    assert records[7]["tokens"] == 0


def test_a_run_becomes_another_run(
    run: Run, folders: Mapping[str, Path], reranker: Reranker, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"_id": "q", "text": "a rose"}\n', encoding="utf-8")
    before = tmp_path / "before.run"
    before.write_text(
        "".join(f"q Q0 d{place} {place + 1} {9 - place} bm25\n" for place in range(4)),
        encoding="utf-8",
    )

    named = ("--queries", queries, "--corpus", corpus, "--run", before, "--depth", 3)
    ran = run("rerank", folders["bert"], *named)

    assert ran.code == 0, ran.err
    rows = [line.split() for line in ran.out.splitlines()]
    scores = reranker.score([("a rose", f"t{place} {WORDS[place]}") for place in range(3)])
    assert {row[2]: float(row[4]) for row in rows} == pytest.approx(
        {f"d{place}": score for place, score in enumerate(scores)}, abs=1e-6
    )
    assert [row[3] for row in rows] == ["1", "2", "3"]
    assert [float(row[4]) for row in rows] == sorted(scores, reverse=True)
    missing = run("rerank", folders["bert"], "--run", before)
    assert missing.code == 1
    assert "--queries, --corpus" in missing.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no JSON", "line 1: expected a JSON object"),
        ('{"query": "a"}', 'line 1: expected a list of documents under "documents"'),
        ('{"query": 3, "documents": []}', 'line 1: expected a text under "query"'),
        ('{"query": "a", "documents": [7]}', r"documents[0]: expected a text or an object"),
        ('{"query": "a", "documents": [{}]}', r'documents[0]: expected a text under "text"'),
        ('{"query": "\\ud800", "documents": []}', "half of a surrogate pair"),
    ],
)
def test_a_bad_line_is_told_with_its_place(
    run: Run, folders: Mapping[str, Path], tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / "in.jsonl").write_text(line + "\n", encoding="utf-8")

    ran = run("rerank", folders["bert"], tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")

    assert ran.code == 1
    assert words in ran.err
    assert not (tmp_path / "out.jsonl").exists()


def test_custom_weights_are_checked_exported_published_and_rolled_back(
    run: Run, checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder, root = Path(shutil.copytree(checkpoints["xlm-roberta"], tmp_path / "w")), tmp_path / "m"
    checked = run("check", folder, "--json")
    assert checked.code == 0, checked.out
    assert isinstance(checked.json, dict)
    assert checked.json["sound"] is True

    made = run("export", folder, "-o", tmp_path / "model", "--opset", 17, "--max-tokens", 40)
    assert made.code == 0, made.err
    assert "cross-encoder" in made.out
    assert "kind: cross-encoder" in made.err
    again = run("export", folder, "-o", tmp_path / "model", "--opset", 17, "--max-tokens", 40)
    assert "reused" in again.out
    facts = json.loads((tmp_path / "model" / "embedder.json").read_text("utf-8"))
    assert facts["cross_encoder"]["max_tokens"] == 40

    assert run("models", "publish", root, "zh", "--folder", tmp_path / "model").code == 0
    (folder / "tokenizer.json").unlink()
    refused = run("models", "publish", root, "zh", "--folder", folder)
    assert refused.code == 1
    assert "tokenizer-missing" in refused.err
    (folder / "model.safetensors").write_bytes(b"")
    faulty = run("check", folder)
    assert faulty.code == 1
    assert "fault weights-empty (weights)" in faulty.out
    assert "remedy:" in faulty.out

    assert run("models", "publish", root, "zh", "--folder", tmp_path / "model").code == 0
    listed = run("models", "list", root, "--json").json
    assert isinstance(listed, list)
    assert [(each["version"], each["is_current"]) for each in listed] == [
        ("1", False),
        ("2", True),
    ]
    back = run("models", "rollback", root, "zh")
    assert back.out.split()[:4] == ["zh", "1", "in", "use"]
    (tmp_path / "in.jsonl").write_text(lines_of(), encoding="utf-8")
    assert run("rerank", root / "zh", tmp_path / "in.jsonl").code == 0
