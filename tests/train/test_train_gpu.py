"""Training on a GPU beside the CPU: `pytest -m gpu tests/train` where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.tiny_training import options, training_data
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.train import Control, Device, Precision, StoppedError
from vespa_colbert.train.log import read_log
from vespa_colbert.train.train import train

TOLERANCE = {Precision.FP32: 1e-3, Precision.BF16: 0.1, Precision.FP16: 0.02}
"""Largest difference of a loss near 2 in the steps of an epoch: rounding of sums in another order;
products with 8 and with 11 bits, off by 0.4 % and 0.05 % each."""

STEPS = 12


@pytest.fixture(autouse=True)
def _gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(name="checkpoint")
def checkpoint_fixture(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


def losses(checkpoint: Checkpoint, folder: Path, **changes: Any) -> list[float]:
    # Dropout draws other numbers on a GPU: there is none.
    config = dict(checkpoint.encoder.config)
    assert config["hidden_dropout_prob"] == config["attention_probs_dropout_prob"] == 0.0
    folder.mkdir()
    trained = train(checkpoint, training_data(folder), folder / "run", options(epochs=2, **changes))
    assert np.isfinite(trained.checkpoint.projection[0].weight).all()
    return [line["loss"] for line in read_log(trained.log) if "loss" in line]


def without_dropout(checkpoint: Checkpoint) -> Checkpoint:
    from dataclasses import replace

    config = {
        **checkpoint.encoder.config,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return replace(checkpoint, encoder=replace(checkpoint.encoder, config=config))


@pytest.mark.gpu
@pytest.mark.parametrize("with_encoder", [False, True], ids=["head", "encoder"])
@pytest.mark.parametrize("texts_at_once", [0, 5])
@pytest.mark.parametrize("precision", list(Precision))
def test_a_gpu_takes_the_steps_of_the_cpu(
    checkpoint: Checkpoint,
    tmp_path: Path,
    precision: Precision,
    texts_at_once: int,
    with_encoder: bool,
) -> None:
    still = without_dropout(checkpoint)
    changes = {"with_encoder": with_encoder, "texts_at_once": texts_at_once}
    wanted = losses(still, tmp_path / "cpu", device=Device.CPU, **changes)
    found = losses(still, tmp_path / "gpu", device=Device.CUDA, precision=precision, **changes)
    assert len(found) == len(wanted) == STEPS
    if precision is Precision.FP16:
        # The scaler begins too high: a step or two are skipped until it fits.
        assert abs(found[0] - wanted[0]) <= TOLERANCE[precision]
        assert sum(found[-4:]) < sum(found[:4])
    else:
        assert np.abs(np.array(found) - np.array(wanted)).max() <= TOLERANCE[precision]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", list(Precision))
def test_a_run_stopped_on_a_gpu_goes_on_there(
    checkpoint: Checkpoint, tmp_path: Path, precision: Precision
) -> None:
    data = training_data(tmp_path)
    asked = options(with_encoder=True, device=Device.CUDA, precision=precision)
    whole = train(checkpoint, data, tmp_path / "whole", asked)

    def should_stop() -> bool:
        return len(read_log(tmp_path / "parts" / "log.jsonl")) == 3

    with pytest.raises(StoppedError, match="after step 3"):
        train(checkpoint, data, tmp_path / "parts", asked, control=Control(should_stop=should_stop))
    resumed = train(checkpoint, data, tmp_path / "parts", asked, control=Control(resume=True))
    one, other = ([line["loss"] for line in read_log(run.log)] for run in (whole, resumed))
    # Sums on a GPU may come in another order each time.
    assert np.abs(np.array(one) - np.array(other)).max() <= TOLERANCE[precision]
    assert one[:3] == pytest.approx(other[:3], abs=TOLERANCE[precision])


@pytest.mark.gpu
def test_parts_of_a_batch_take_less_memory(checkpoint: Checkpoint, tmp_path: Path) -> None:
    import torch

    peaks = []
    for at_once in (0, 2):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        losses(
            without_dropout(checkpoint),
            tmp_path / f"run{at_once}",
            device=Device.CUDA,
            with_encoder=True,
            texts_at_once=at_once,
        )
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] < peaks[0]
