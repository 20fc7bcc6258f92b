"""A process that forks training runs and kills them, so that torch is imported once for all.

Reads one JSON request from stdin, writes one JSON answer to stdout; run by test_train_killed.py.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.train.tiny_training import options
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.train import Control, read_training_data
from vespa_colbert.train.layouts import write_trained
from vespa_colbert.train.log import read_log
from vespa_colbert.train.loop import LOG_FILE, STATE_FOLDER
from vespa_colbert.train.model import trainable_module
from vespa_colbert.train.schedule import build_optimizer
from vespa_colbert.train.train import train


def main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(1)
    # What is imported late is imported here, once for all of the children.
    source = read_checkpoint(Path(request["checkpoint"]))
    build_optimizer(trainable_module(source, "cpu", with_encoder=False), options())
    assert transformers.get_cosine_schedule_with_warmup is not None
    folder = Path(request["folder"])
    assert wait(fork(request, folder / "whole")) == 0
    steps = len(steps_of(folder / "whole.run"))
    draw = np.random.default_rng(request["seed"])
    answer: dict[str, Any] = {"killed": 0, "steps": [], "partial": []}
    for step in sorted(draw.choice(steps - 2, request["kills"], replace=False).tolist()):
        child = fork(request, folder / "killed")
        while len(steps_of(folder / "killed.run")) < step and running(child):
            time.sleep(0.001)
        # Anywhere within the step, the log or the state that comes next.
        time.sleep(draw.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        answer["killed"] += wait(child) == -signal.SIGKILL
        answer["steps"].append(saved_step(folder / "killed.run"))
        answer["partial"].append((folder / "killed").exists())
    answer["rc"] = wait(fork(request, folder / "killed"))
    json.dump(answer, sys.stdout)


def steps_of(run: Path) -> list[int]:
    return [line["step"] for line in read_log(run / LOG_FILE) if "loss" in line]


def saved_step(run: Path) -> int:
    """Return the step of the saved state, 0 if there is none."""
    facts = run / STATE_FOLDER / "state.json"
    return int(json.loads(facts.read_text())["position"]["step"]) if facts.is_file() else 0


def running(child: int) -> bool:
    """Return whether a child has not ended; it stays to be waited for."""
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended is None


def fork(request: dict[str, Any], output: Path) -> int:
    """Return the process that trains, resuming what is there, and writes the checkpoint."""
    child = os.fork()
    if child:
        return child
    try:
        source = read_checkpoint(Path(request["checkpoint"]))
        asked = replace(options(**request["options"]), save_every=request["save_every"])
        data = read_training_data(Path(request["rows"]))
        run = output.with_name(f"{output.name}.run")
        trained = train(source, data, run, asked, measure=data, control=Control(resume=True))
        write_trained(output, source, trained.checkpoint)
    except Exception:  # noqa: BLE001 - the child ends here, whatever it was
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
