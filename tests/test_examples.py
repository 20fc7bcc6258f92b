"""Every example runs, in the order of the stages, on a tiny checkpoint."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import write_corpus

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "demo-output"
    shutil.copytree(tiny_checkpoint, folder / "checkpoint")
    write_corpus(folder / "corpus.jsonl")
    return folder


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.java] if "vespa" in path.stem else [])
        for path in EXAMPLES
    ],
)
def test_an_example_runs(
    example: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [str(example), str(folder)])

    runpy.run_path(str(example), run_name="__main__")

    assert capsys.readouterr().out.strip()


def test_there_are_examples() -> None:
    assert [path.name[:2] for path in EXAMPLES] == ["01", "02", "03", "04", "05", "06"]
