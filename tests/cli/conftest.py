from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vespa_colbert.cli.main import main

PACKAGE = Path(__file__).parents[2] / "app_package"
"""What the templates print for the reference recipe."""

WORDS = (
    "rose is a rose",
    "a thorn, is it?",
    "ivy (evergreen) is a vine",
    "moss",
    "a fern is a b c",
)


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture(name="run")
def run_fixture(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command as the shell would, in this process."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["vespa-colbert", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def write_corpus(path: Path) -> Path:
    rows = [
        {"_id": f"d{place}", "title": f"t{place}", "text": text} for place, text in enumerate(WORDS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def changed_package(folder: Path, old: str, new: str) -> Path:
    """Return a copy of the package, another text in its schema."""
    schema = shutil.copytree(PACKAGE, folder) / "schemas" / "passage.sd"
    text = schema.read_text()
    assert old in text
    schema.write_text(text.replace(old, new))
    return folder


@pytest.fixture(scope="module")
def workspace(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, a checkpoint and a corpus."""
    folder = tmp_path_factory.mktemp("workspace")
    write_corpus(folder / "corpus.jsonl")
    (folder / "recipe.toml").write_text(
        f"""
        [checkpoint]
        path = "{tiny_checkpoint}"
        [corpus]
        path = "corpus.jsonl"
        [verify]
        documents = 5
        queries = 3
        pairs = 12
        """
    )
    return folder
