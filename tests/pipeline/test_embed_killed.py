"""kill -9, failures and a full disk while a corpus is embedded: no index or all, no work lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.index.stored_cases import SCHEMA, embed
from tests.killed_processes import as_nobody, ask
from tests.pipeline.embedded_corpora import request, write_corpus
from vespa_colbert.index import Document, build_index
from vespa_colbert.pipeline import embed as embed_index
from vespa_colbert.pipeline.survey import survey_corpus

DOCUMENTS, WINDOW = 12, 4


def asked(folder: Path, **more: Any) -> dict[str, Any]:
    corpus = write_corpus(folder / "corpus.jsonl", DOCUMENTS)
    output = folder / "out" / "index"
    output.parent.mkdir()
    texts = {"corpus": str(corpus), "output": str(output), "log": str(folder / "log")}
    return {**texts, "documents": DOCUMENTS, **more}


def put_older(output: Path) -> None:
    old = Document(id="old", fields={"text": "text", "contexts": ["text"]})
    build_index([old], SCHEMA, embed, output, origin={"model": "older"})


@pytest.mark.parametrize(
    ("before", "moments", "steps"),
    [
        ("old", 1, 3),
        pytest.param("old", 10, 40, marks=pytest.mark.slow),
        pytest.param("none", 10, 40, marks=pytest.mark.slow),
    ],
)
def test_a_killed_embed_goes_on_where_it_stopped(
    tmp_path: Path, before: str, moments: int, steps: int
) -> None:
    given = asked(tmp_path, moments=moments, steps=steps)
    output = Path(given["output"])
    if before == "old":
        put_older(output)

    runs = ask("tests.pipeline.killed_embeds", given)["runs"]

    assert len(runs) == moments + steps
    for run in runs:
        assert run["state"] in {before, "new"}, run
        assert run["again"] == "new", run
        assert run["left_again"] == [], run
    killed = sum(run["killed"] for run in runs)
    assert killed >= steps
    # A window that was written is not embedded again: a kill costs one window at most.
    texts = Path(given["log"]).read_text(encoding="utf-8").splitlines()
    whole_runs = len(runs) + 1
    most = whole_runs * DOCUMENTS + killed * WINDOW
    assert len(texts) <= most + sum(not run["killed"] for run in runs) * DOCUMENTS
    assert len(texts) > DOCUMENTS


@pytest.mark.parametrize(
    ("before", "failures"),
    [
        ("old", range(1, 41, 8)),
        *(pytest.param(before, range(1, 41), marks=pytest.mark.slow) for before in ("old", "none")),
    ],
)
def test_a_failure_at_any_point_leaves_what_was_there_and_the_next_run_goes_on(
    tmp_path: Path, before: str, failures: range
) -> None:
    given = asked(tmp_path, failures=list(failures))
    if before == "old":
        put_older(Path(given["output"]))

    runs = ask("tests.pipeline.killed_embeds", given)["failed"]

    assert len(runs) == len(failures)
    for run in runs:
        assert run["attempts"] >= run["number"], "nothing failed"
        assert run["error"] in {"OutputError", None}, run
        assert "free some space" in run["message"] or run["error"] is None, run
        assert run["state"] in ({before, "new"} if run["error"] else {"new"}), run
        assert (run["again"], run["left_again"]) == ("new", []), run
    assert sum(run["error"] is not None for run in runs) > len(runs) // 2


def test_a_folder_that_may_only_be_read_is_named_before_anything_is_embedded(
    tmp_path: Path,
) -> None:
    for each in (tmp_path, *tmp_path.parents):
        if each != Path("/tmp") and each.owner() == "root" and not each.stat().st_mode & 1:  # noqa: S108
            each.chmod(0o755)
    blocked = tmp_path / "blocked"
    blocked.mkdir(mode=0o555)
    given = request(write_corpus(tmp_path / "corpus.jsonl", 3), blocked / "index")
    assert survey_corpus(given).documents == 3, "imports that nobody may not read are done here"

    said = as_nobody(lambda: embed_index(given))

    assert said.startswith(f"OutputError: {blocked / 'index.partial'}: cannot be written"), said
    assert "choose an output path that you may write to" in said
    assert not list(blocked.iterdir())


@pytest.mark.parametrize("before", ["old", pytest.param("none", marks=pytest.mark.slow)])
def test_a_full_disk_leaves_the_index_that_was_there(tmp_path: Path, before: str) -> None:
    given = asked(tmp_path, sizes=[0, 100, 1000])
    if before == "old":
        put_older(Path(given["output"]))

    for run in ask("tests.pipeline.killed_embeds", given)["full"]:
        assert run["error"] == "OutputError", run
        assert "free some space" in run["message"]
        assert run["state"] == before, run
        assert set(run["left"]) <= {"index.partial/"}, run


@pytest.mark.parametrize(
    ("shards", "rounds"), [(2, 2), *(pytest.param(n, 20, marks=pytest.mark.slow) for n in (2, 5))]
)
def test_shards_that_end_at_once_make_one_whole_index(
    tmp_path: Path, shards: int, rounds: int
) -> None:
    given = asked(tmp_path, shards=shards, rounds=rounds)

    for codes, state, left in ask("tests.pipeline.rival_shards", given)["rounds"]:
        assert codes == [0] * shards
        assert state == "new"
        assert left == ["index"]
