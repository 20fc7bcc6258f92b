"""The page on compression, word by word: what it tells a reader to type runs, in its order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_corpus
from tests.cli.test_feed import write_model_folder

PAGE = (Path(__file__).parents[2] / "examples" / "compression.md").read_text(encoding="utf-8")
ASKING_JAVA = {"validate", "verify"}
"""Verbs that tests of their own run."""


def commands(text: str) -> list[list[str]]:
    blocks = re.findall(r"```\n(vespa-colbert .*?)```", text, re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def test_the_page_on_compression_runs_as_it_stands(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus.jsonl")
    (tmp_path / "more.jsonl").write_text('{"_id": "new", "text": "a thorn"}\n', encoding="utf-8")
    write_model_folder(tmp_path / "output" / "model")
    (recipe,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "compressed.toml").write_text(recipe, encoding="utf-8")
    ours, of_plaid = PAGE.split("\n## An index of PLAID\n")
    (back,) = re.findall(r"`(compress [^`]* --plaid [^`]*)`", of_plaid)

    asked = [*commands(ours), shlex.split(back), *commands(of_plaid)]
    for command in asked:
        if command[0] not in ASKING_JAVA:
            ran = run(*command)
            assert ran.code == 0, (command, ran.err)

    assert [len(commands(text)) for text in (ours, of_plaid)] == [12, 3]
    assert len((tmp_path / "feed.jsonl").read_text(encoding="utf-8").splitlines()) == 5
