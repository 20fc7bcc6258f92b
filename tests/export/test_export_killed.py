"""kill -9 and a full disk in the middle of an export: the old model folder stays whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.killed_processes import ask
from tests.tiny_checkpoint import DIM
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.export import ExportOptions, export_checkpoint, read_model_folder

OLD_DIMS = DIM - 2
WHOLE = {"old", "new"}


def run_killed(checkpoint: Path, output: Path, opset: int, **asked: Any) -> dict[str, Any]:
    """Return what became of exports that were killed, each in a process of its own."""
    request = {"checkpoint": str(checkpoint), "output": str(output), "opset": opset, **asked}
    return ask("tests.export.killed_exports", request)


@pytest.fixture(name="output")
def output_fixture(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A model folder that stands already, narrower than what the killed exports would write."""
    output = tmp_path / "models" / "model"
    options = ExportOptions(dims=OLD_DIMS, opset=17)
    export_checkpoint(read_checkpoint(tiny_checkpoint), output, options)
    return output


def assert_whole_and_repeatable(checkpoint: Path, output: Path, opset: int) -> None:
    assert read_model_folder(output).embedder.dim in {OLD_DIMS, DIM}
    made = export_checkpoint(read_checkpoint(checkpoint), output, ExportOptions(opset=opset))
    assert made.embedder.dim == DIM
    assert [each.name for each in output.parent.iterdir()] == [output.name]


@pytest.mark.parametrize(
    ("opset", "moments", "steps", "least"),
    [
        pytest.param(17, 1, 4, 4, marks=pytest.mark.slow),
        pytest.param(18, 28, 32, 50, marks=pytest.mark.slow),
    ],
)
def test_a_killed_export_leaves_the_old_folder_or_the_whole_new_one(
    tiny_checkpoint: Path, output: Path, opset: int, moments: int, steps: int, least: int
) -> None:
    found = run_killed(tiny_checkpoint, output, opset, moments=moments, steps=steps)

    assert len(found["runs"]) == moments + steps
    killed = [each for each in found["runs"] if each["killed"]]
    # A kill by the clock may come too late where the export is faster than the one that was timed.
    assert len(killed) >= least
    assert {each["state"] for each in found["runs"]} <= WHOLE
    assert_whole_and_repeatable(tiny_checkpoint, output, opset)


@pytest.mark.parametrize(
    "sizes", [[4096], pytest.param([1, 1024, 8192, 16384], marks=pytest.mark.slow)]
)
def test_a_full_disk_leaves_the_old_folder_and_says_so(
    tiny_checkpoint: Path, output: Path, sizes: list[int]
) -> None:
    found = run_killed(tiny_checkpoint, output, 17, sizes=sizes)

    for run in found["full"]:
        assert run["state"] == "old", run
        assert run["error"] == "OutputError", run
        assert str(output) in run["message"]
        assert "free some space" in run["message"]
        assert run["left"] == []
    assert_whole_and_repeatable(tiny_checkpoint, output, 17)
