"""The README says what is there: folders, verbs, code that runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import write_corpus
from vespa_colbert.cli.main import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HIDDEN = {"__pycache__", "_templates"}


def test_the_code_map_is_the_real_tree() -> None:
    rows = re.findall(r"^\| `([\w/]+)/` \| .+ \| `([\w./-]+)` \|$", README, re.MULTILINE)
    listed = {folder for folder, _first in rows}

    top = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}
    package = {
        f"vespa_colbert/{path.name}"
        for path in (ROOT / "vespa_colbert").iterdir()
        if path.is_dir() and path.name not in HIDDEN
    }
    generated = {"vespa_colbert", "demo-output", "dist", "build", "__pycache__", "output"}

    assert listed == (top - generated) | package
    for folder, first in rows:
        assert (ROOT / folder / first).is_file(), f"{folder}/{first}"


def test_every_verb_is_listed_once() -> None:
    assert sorted(re.findall(r"^\| `([\w-]+)` \| [^|]+ \|$", README, re.MULTILINE)) == sorted(VERBS)


def test_the_ten_lines_run(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    here = tmp_path / "demo-output"
    shutil.copytree(tiny_checkpoint, here / "checkpoint")
    write_corpus(here / "corpus.jsonl")
    monkeypatch.chdir(tmp_path)

    exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - the README's own lines

    assert len(capsys.readouterr().out.strip().split("\n")) == 5
