"""kill -9 while an index is changed, readers meanwhile, and several writers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.killed_processes import ask


@pytest.mark.parametrize("kills", [6, pytest.param(150, marks=pytest.mark.slow)])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, kills: int) -> None:
    asked = {"index": str(tmp_path / "index"), "kills": kills, "seed": kills}

    said = ask("tests.index.killed_writers", asked)

    assert said["faults"] == []
    assert said["killed"] >= kills * 2 // 3
    assert said["steps"] > 0
    assert said["seen"] > 0, "nobody read meanwhile"


@pytest.mark.parametrize(
    ("writers", "rounds"), [(3, 2), pytest.param(8, 20, marks=pytest.mark.slow)]
)
def test_writers_at_once_all_get_their_turn(tmp_path: Path, writers: int, rounds: int) -> None:
    asked = {"index": str(tmp_path / "index"), "writers": writers, "rounds": rounds}

    said = ask("tests.index.killed_writers", asked)

    assert said["faults"] == []
    assert said["refused"] > 0, "no two of them wrote at once"
