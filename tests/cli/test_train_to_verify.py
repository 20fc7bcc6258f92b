"""What is trained goes through every later verb without a flag, whatever its layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoint.layout_folders import LAYOUTS
from tests.cli.conftest import Run, write_corpus
from tests.train.tiny_training import TRIPLES


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.parametrize(
    "build", [each.build for each in LAYOUTS], ids=lambda build: build.__name__
)
def test_a_trained_checkpoint_is_exported_generated_validated_and_verified(
    run: Run, tmp_path: Path, build: Callable[[Path], Path]
) -> None:
    rows, corpus = tmp_path / "rows.jsonl", write_corpus(tmp_path / "corpus.jsonl")
    rows.write_text("".join(json.dumps(row) + "\n" for row in TRIPLES))
    trained, model, app = (tmp_path / name for name in ("trained", "model", "app"))
    index = tmp_path / "index"
    source = build(tmp_path / "source")
    for asked in (
        ("train", rows, "-c", source, "-o", trained, "--batch", 4, "--device", "cpu"),
        ("export", trained, "-o", model),
        ("generate", "-m", model, "-o", app),
        ("validate", app),
        ("embed", corpus, "-a", app, "-m", model, "-o", index, "--feed", tmp_path / "feed.jsonl"),
        ("verify", "-a", app, "-i", index, "-m", model, "-o", tmp_path / "report.json"),
    ):
        ran = run(*asked)
        assert ran.code == 0, f"{asked[0]}: {ran.err}"
    rungs = json.loads((tmp_path / "report.json").read_text())["rungs"]
    assert rungs
    assert all(rung["verdict"] == "passed" for rung in rungs if rung["cases"])
