"""kill -9, failures, a full disk and a folder nobody may write to, while codecs are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.killed_processes import as_nobody, ask
from tests.pipeline.killed_codecs import (
    BITS,
    OLD_CENTROIDS,
    make_package,
    make_source,
    write_index_of,
)
from vespa_colbert.codec import CodecOptions
from vespa_colbert.pipeline.compressed_index import compressed_index
from vespa_colbert.pipeline.residuals import make_codec, plaid_index

WRITTEN = ("codec", "plaid", "index")
OLD = CodecOptions(bits=BITS, centroids=OLD_CENTROIDS)


def written(what: str, index: Path, codec: Path, output: Path) -> Callable[[], object]:
    if what == "codec":
        return lambda: make_codec(index, output, OLD)
    if what == "index":
        return lambda: write_index_of(index, codec.with_name("older"), output)

    return lambda: plaid_index(compressed_index(index, codec.with_name("older")), output)


def asked(folder: Path, what: str, before: str, **more: Any) -> dict[str, Any]:
    index, codec = make_source(folder)
    make_codec(index, codec.with_name("older"), OLD)
    if what == "index":
        make_package(codec)
        make_package(codec.with_name("older"))
    output = folder / "out" / what
    output.parent.mkdir()
    if before == "old":
        written(what, index, codec, output)()
    paths = {"index": str(index), "codec": str(codec), "output": str(output)}
    return {**paths, "what": what, **more}


@pytest.mark.parametrize(
    ("what", "before", "moments", "steps"),
    [
        ("codec", "old", 0, 3),
        *(
            pytest.param(what, before, 5, 15, marks=pytest.mark.slow)
            for what in WRITTEN
            for before in ("old", "none")
        ),
    ],
)
def test_a_kill_leaves_what_was_there_or_all_of_what_is_new(
    tmp_path: Path, what: str, before: str, moments: int, steps: int
) -> None:
    # A moment by the clock more than none is what makes the process run at all.
    given = asked(tmp_path, what, before, moments=max(moments, 1), steps=steps)

    runs = ask("tests.pipeline.killed_codecs", given)["runs"]

    assert sum(run["killed"] for run in runs) >= steps
    for run in runs:
        assert run["state"] in {before, "new"}, run
        assert run["again"] == "new", run
        assert run["left_again"] == [], run


@pytest.mark.parametrize(
    ("what", "before", "failures"),
    [
        ("codec", "old", range(1, 13, 3)),
        *(
            pytest.param(what, before, range(1, 41), marks=pytest.mark.slow)
            for what in WRITTEN
            for before in ("old", "none")
        ),
    ],
)
def test_a_failure_at_any_point_leaves_what_was_there_or_all_of_what_is_new(
    tmp_path: Path, what: str, before: str, failures: range
) -> None:
    given = asked(tmp_path, what, before, failures=list(failures))

    runs = ask("tests.pipeline.killed_codecs", given)["failed"]

    assert len(runs) == len(failures)
    for run in runs:
        assert run["error"] in {"OutputError", None}, run
        assert "free some space" in run["message"] or run["error"] is None, run
        assert run["state"] in ({before, "new"} if run["error"] else {"new"}), run
        assert (run["again"], run["left_again"]) == ("new", []), run
    # Fewer are written than are to fail: all of those did.
    assert any(run["error"] for run in runs)


@pytest.mark.parametrize(
    ("what", "before"),
    [
        ("plaid", "old"),
        *(
            pytest.param(what, before, marks=pytest.mark.slow)
            for what, before in (
                ("plaid", "none"),
                ("codec", "old"),
                ("codec", "none"),
                ("index", "old"),
                ("index", "none"),
            )
        ),
    ],
)
def test_a_full_disk_leaves_nothing_half_written_and_says_so(
    tmp_path: Path, what: str, before: str
) -> None:
    given = asked(tmp_path, what, before, sizes=[0, 100, 200])
    for run in ask("tests.pipeline.killed_codecs", given)["full"]:
        assert run["error"] == "OutputError", run
        assert "free some space" in run["message"]
        assert (run["state"], run["left"]) == (before, []), run


@pytest.mark.parametrize("what", WRITTEN)
def test_a_folder_that_may_only_be_read_is_named(tmp_path: Path, what: str) -> None:
    index, codec = make_source(tmp_path)
    make_codec(index, codec.with_name("older"), OLD)
    if what == "index":
        make_package(codec)
        make_package(codec.with_name("older"))
    for each in (tmp_path, *tmp_path.parents):
        if each != Path("/tmp") and each.owner() == "root" and not each.stat().st_mode & 1:  # noqa: S108
            each.chmod(0o755)
    blocked = tmp_path / "blocked"
    blocked.mkdir(mode=0o555)

    said = as_nobody(written(what, index, codec, blocked / what))

    assert said.startswith(f"OutputError: {blocked / what}: cannot be written"), said
    assert "choose an output path that you may write to" in said
    assert not list(blocked.iterdir())
