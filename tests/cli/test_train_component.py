"""BGE-M3's ColBERT component through the command, on a tiny XLM-R as the model is published."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint.layout_folders import BGE_M3
from tests.cli.conftest import Run
from tests.tiny_checkpoint import DIM, HIDDEN
from tests.train.tiny_training import TRIPLES
from vespa_colbert.checkpoint import read_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


def publish(folder: Path, *, sparse: bool) -> Path:
    """Return ``folder`` with torch files throughout, as the model is published."""
    import torch
    from safetensors.torch import load_file

    BGE_M3.build(folder)
    for name, written in (
        ("model.safetensors", "pytorch_model.bin"),
        ("colbert_linear.safetensors", "colbert_linear.pt"),
    ):
        torch.save(load_file(folder / name), folder / written)
        (folder / name).unlink()
    if sparse:
        torch.save({"weight": torch.randn(1, HIDDEN)}, folder / "sparse_linear.pt")
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.mark.parametrize("sparse", [True, False], ids=["with-sparse", "without-sparse"])
def test_the_component_is_trained_alone_and_written_beside_an_untouched_encoder(
    run: Run, tmp_path: Path, sparse: bool
) -> None:
    import torch

    source = publish(tmp_path / "source", sparse=sparse)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in TRIPLES))
    asked = ("train", rows, "-c", source, "--allow-pickle", "--batch", 4, "--device", "cpu")

    beside = run(*asked, "-o", tmp_path / "beside", "--held-out", rows)
    alone = run(*asked, "-o", tmp_path / "alone", "--layout", "stand-alone")

    assert (beside.code, alone.code) == (0, 0), beside.err + alone.err
    before, after = digests(source), digests(tmp_path / "beside")
    head = before.pop("colbert_linear.pt")
    assert {name: after[name] for name in before} == before
    assert after["colbert_linear.pt"] != head
    heads = {"colbert_linear.pt", "colbert_linear.safetensors"}
    assert after.keys() - before.keys() == heads | {"checksums.json"}
    # What FlagEmbedding does with the file.
    loaded = torch.load(tmp_path / "beside" / "colbert_linear.pt", weights_only=True)
    torch.nn.Linear(HIDDEN, DIM).load_state_dict(loaded)
    # The stand-alone one needs neither permission nor a sparse head, and has the same weights.
    read = read_checkpoint(tmp_path / "alone")
    assert read.layout == "bge-m3"
    assert read.projection[0].weight.tobytes() == loaded["weight"].numpy().tobytes()
    assert not (tmp_path / "alone" / "sparse_linear.pt").exists()
    # Progress with the time that is left, a log, curves.
    assert "steps: 6/6" in beside.err
    assert "s left" in beside.err
    kept = {path.name for path in (tmp_path / "beside.training").iterdir()}
    assert kept - {"curves.svg"} == {"log.jsonl"}
    logged: list[Any] = [
        json.loads(line)
        for line in (tmp_path / "beside.training" / "log.jsonl").read_text().splitlines()
    ]
    assert {"loss", "gradient", "rates"} <= logged[0].keys()
    assert logged[-1]["measure"] == "held-out loss"
