"""Processes that change one index and are killed, while another one reads it.

Reads one JSON request from stdin, writes one JSON answer to stdout; run by test_writer_killed.py.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.index.stored_cases import START, change, found, part, states
from tests.killed_processes import fork
from vespa_colbert.errors import OutputError
from vespa_colbert.index import all_faults, open_index, write_index

STEPS = 40
"""Changes after which an index is begun anew."""


def main() -> None:
    request = json.load(sys.stdin)
    path = Path(request["index"])
    answer = rounds(path, request) if "writers" in request else kills(path, request)
    json.dump(answer, sys.stdout)


def kills(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Kill a process that changes the index, again and again; say what was wrong afterwards."""
    draw, every = np.random.default_rng(request["seed"]), states(STEPS)
    answer: dict[str, Any] = {"killed": 0, "faults": [], "steps": 0, "seen": 0}
    with write_index(path, start=START):
        pass
    stop, reader = os.pipe(), None
    told = os.pipe()
    reader = fork(lambda: read_on(path, every, stop, told))
    done = 0
    for number in range(request["kills"]):
        if done >= STEPS - 6:
            done = 0
            with write_index(path) as writer:
                writer.delete([each.id for each in open_index(path).documents])
        acknowledged, after = killed(path, every, done, draw)
        answer["killed"] += after
        state = found(path)
        possible = every[acknowledged : acknowledged + 2]
        if state not in possible:
            answer["faults"].append(f"kill {number}: {acknowledged} acknowledged, {state}")
            break
        answer["faults"] += all_faults(path)
        answer["steps"] += acknowledged - done
        done = acknowledged + possible.index(state)
    os.write(stop[1], b"x")
    os.waitpid(reader, 0)
    os.close(told[1])
    with os.fdopen(told[0], encoding="utf-8") as stream:
        said = json.loads(stream.read() or '{"faults": ["the reader died"]}')
    answer["faults"] += said["faults"]
    answer["seen"] = said.get("seen", 0)
    return answer


def killed(path: Path, every: Any, done: int, draw: np.random.Generator) -> tuple[int, bool]:
    """Return how many changes were acknowledged before a kill, and whether it came in time."""
    reads, writes = os.pipe()

    def run() -> None:
        stored = every[done]
        with write_index(path) as writer:
            for step in range(done, STEPS):
                stored = change(writer, step, stored)
                os.write(writes, b"x")

    if draw.random() < 0.5:
        child = fork(run, at=(path, int(draw.integers(1, 120))))
    else:
        child = fork(run)
        time.sleep(draw.uniform(0, 0.25))
        os.kill(child, signal.SIGKILL)
    _child, status = os.waitpid(child, 0)
    os.close(writes)
    with os.fdopen(reads, "rb") as stream:
        acknowledged = len(stream.read())
    return done + acknowledged, os.WIFSIGNALED(status)


def read_on(path: Path, every: Any, stop: tuple[int, int], told: tuple[int, int]) -> None:
    """Open the index again and again; each time it must be a state that was written whole."""
    os.set_blocking(stop[0], False)
    seen, faults = 0, list[str]()
    while not faults:
        try:
            os.read(stop[0], 1)
            break
        except BlockingIOError:
            pass
        try:
            state = found(path)
            if state and state not in every:
                faults.append(f"a reader saw {state}")
            seen += 1
        except Exception as error:  # noqa: BLE001 - whatever a reader meets is a fault
            faults.append(f"a reader met {type(error).__name__}: {error}")
        time.sleep(0.005)
    os.write(told[1], json.dumps({"faults": faults, "seen": seen}).encode())


def rounds(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Let several processes add documents at once; say what is there after each round."""
    with write_index(path, start=START):
        pass
    answer: dict[str, Any] = {"faults": [], "refused": 0}
    wanted: dict[str, str] = {}
    for number in range(request["rounds"]):
        told = os.pipe()
        children = []
        for place in range(request["writers"]):
            mine = {f"r{number}w{place}d{each}": f"text {number} {place}" for each in range(2)}
            wanted |= mine
            children.append(fork(functools.partial(insist, path, mine, told[1])))
        codes = [os.waitpid(child, 0)[1] for child in children]
        os.close(told[1])
        with os.fdopen(told[0], "rb") as stream:
            answer["refused"] += len(stream.read())
        if any(codes) or found(path) != {name: wanted[name] for name in found(path)}:
            answer["faults"].append(f"round {number}: {codes}")
        if set(found(path)) != set(wanted):
            answer["faults"].append(f"round {number}: {len(found(path))} of {len(wanted)}")
    answer["faults"] += all_faults(path)
    return answer


def insist(path: Path, stored: dict[str, str], told: int) -> None:
    """Add documents as soon as no other process writes."""
    while True:
        try:
            with write_index(path) as writer:
                writer.add([part(stored)])
        except OutputError as error:
            if "another process" not in str(error):
                raise
            os.write(told, b"x")
            time.sleep(0.01)
        else:
            return


if __name__ == "__main__":
    main()
