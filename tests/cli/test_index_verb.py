"""``index`` and the options of ``embed`` that make and change one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run
from vespa_colbert.index import open_index


def test_an_index_is_made_in_shards_changed_and_checked(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    recipe, index = workspace / "recipe.toml", tmp_path / "index"
    for verb in ("export", "generate"):
        assert run(verb, "-r", recipe).code == 0
    bad = tmp_path / "bad.jsonl"
    bad.write_text((workspace / "corpus.jsonl").read_text() + "no json\n")
    ask = ("embed", bad, "-r", recipe, "-o", index, "--feed", tmp_path / "feed", "--json")

    refused = run(*ask)
    first = run(*ask, "--on-error", "skip", "--shard", "1/2")
    second = run(*ask, "--on-error", "skip", "--shard", "2/2")
    report = json.loads((tmp_path / "index.skipped.jsonl").read_text())
    more = tmp_path / "more.jsonl"
    more.write_text('{"_id": "d0", "text": "moss"}\n{"_id": "new", "text": "a fern"}\n')
    appended = run("index", "append", index, "--corpus", more, "-r", recipe, "--json")
    found = run("search", "a rose", "-r", recipe, "-i", index, "-n", 9, "--json")
    deleted = run("index", "delete", index, "--id", "d1", "--json")
    compact = run("index", "compact", index, "--json")
    whole = run("index", "check", index)

    assert (refused.code, "line 6" in refused.err) == (1, True)
    answer: Any = first.json
    assert (answer["missing-shards"], answer["feed"]) == (["2/2"], None)
    answer = second.json
    assert (answer["documents"], answer["operations"], answer["missing-shards"]) == (5, 5, [])
    assert [each["line"] for each in answer["skipped"]] == [6]
    assert "1 line skipped; the report is" in second.err
    assert f"skipped line 6: {report['reason']}" in second.err
    assert report["reason"].startswith("expected a JSON object, got 'no json'")
    said: Any = appended.json
    assert (said["documents"], said["deleted"]) == (6, 1)
    hits: Any = found.json
    assert {each["id"] for each in hits} == {"d0", "d1", "d2", "d3", "d4", "new"}
    said = deleted.json
    assert (said["documents"], said["deleted"]) == (5, 2)
    said = compact.json
    assert (said["documents"], said["deleted"], said["segments"]) == (5, 0, 1)
    assert "whole; 5 documents in 1 segment, 0 deleted" in whole.out
    assert [each.id for each in open_index(index).documents] == ["d2", "d3", "d4", "d0", "new"]
    assert report["line"] == 6


def test_damage_is_told(run: Run, workspace: Path, tmp_path: Path) -> None:
    recipe, index = workspace / "recipe.toml", tmp_path / "index"
    for verb in ("export", "generate"):
        assert run(verb, "-r", recipe).code == 0
    assert run("embed", "-r", recipe, "-o", index, "--index-only").code == 0
    (file,) = index.rglob("documents.jsonl")
    file.write_bytes(file.read_bytes()[:-1])

    checked = run("index", "check", index)
    nothing = run("index", "delete", index)
    (tmp_path / "ids").touch()
    empty = run("index", "delete", index, "--ids", tmp_path / "ids")

    assert checked.code == 1
    assert "documents.jsonl: expected" in checked.err
    assert "damaged; embed again" in checked.err
    assert "expected --id or a file of --ids, got neither" in nothing.err
    assert "ids without a line" in empty.err
