"""kill -9 at random moments of a run: resumed, it ends in the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny_training import training_data
from vespa_colbert.files import digest_file

KILLS = 5
WEIGHTS = ("model.safetensors", "1_Dense/model.safetensors")


def killed_runs(checkpoint: Path, folder: Path, **asked: Any) -> dict[str, Any]:
    training_data(folder)
    request = {
        "checkpoint": str(checkpoint),
        "folder": str(folder),
        "rows": str(folder / "rows.jsonl"),
        "kills": KILLS,
        "save_every": 3,
        "seed": 11,
        **asked,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.killed_runs"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict[str, Any](json.loads(done.stdout))


@pytest.mark.parametrize(
    ("asked", "seed"),
    [
        ({"epochs": 8}, 11),
        pytest.param(
            {"epochs": 6, "with_encoder": True, "texts_at_once": 6, "accumulate": 2},
            12,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["head", "encoder"],
)
def test_a_run_that_is_killed_and_resumed_ends_in_the_same_bits(
    tiny_checkpoint: Path, tmp_path: Path, asked: dict[str, Any], seed: int
) -> None:
    found = killed_runs(tiny_checkpoint, tmp_path, options=asked, seed=seed)

    assert found["rc"] == 0
    assert found["killed"] == KILLS
    assert found["steps"] == sorted(found["steps"])
    # Some kills came after steps had been saved, or nothing was resumed.
    assert found["steps"][-1] > 0
    assert not any(found["partial"])
    for name in WEIGHTS:
        assert digest_file(tmp_path / "whole" / name) == digest_file(tmp_path / "killed" / name)
    logs = [(tmp_path / f"{run}.run" / "log.jsonl").read_text() for run in ("whole", "killed")]
    assert logs[0] == logs[1]
