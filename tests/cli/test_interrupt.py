"""Ctrl-C and kill -9 in the middle of long work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

LINES = 20_000


@pytest.fixture
def long_corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    rows = ({"_id": str(place), "text": "a rose is a rose " * 8} for place in range(LINES))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_embed_stopped_in_the_middle_leaves_nothing_under_its_name(
    run: Run, workspace: Path, tmp_path: Path, long_corpus: Path, sign: signal.Signals, code: int
) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate"):
        assert run(verb, "-r", recipe).code == 0
    index = tmp_path / "out" / "index"
    arguments = ["embed", long_corpus, "-r", recipe, "-o", index, "--feed", tmp_path / "feed.jsonl"]
    # A shell with job control off starts its children with SIGINT ignored, so does a test runner.
    program = "import signal,sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from vespa_colbert.cli import console; console.EVERY_SECONDS = 0.1; "
    program += "from vespa_colbert.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    assert "embedding: " in process.stderr.readline()

    process.send_signal(sign)
    _out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert "Traceback" not in err
    assert ("error: interrupted; nothing was left half-written" in err) == (code == 130)
    assert not index.exists()
    assert not (tmp_path / "feed.jsonl").exists()
