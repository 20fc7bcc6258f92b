"""A process that forks exports and kills them, so that torch is imported once for all of them.

Reads one JSON request from stdin, writes one JSON answer to stdout; run by test_export_killed.py.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
import transformers

from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import VespaColbertError
from vespa_colbert.export import ExportOptions, export_checkpoint, read_model_folder

IMPORTED = (onnxruntime, torch, transformers)
TOUCHING = {
    "open",
    "os.chmod",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.rmtree",
    "tempfile.mkdtemp",
}


def main() -> None:
    request = json.load(sys.stdin)
    output = Path(request["output"])
    old = read_model_folder(output).manifest()

    def export() -> None:
        options = ExportOptions(opset=request["opset"])
        export_checkpoint(read_checkpoint(Path(request["checkpoint"])), output, options)

    answer: dict[str, Any] = {"runs": [], "full": []}
    for size in request.get("sizes", ()):
        answer["full"].append(with_full_disk(export, output, old, size))
    if request.get("moments"):
        answer["runs"] = list(killed_runs(export, output, old, request))
    json.dump(answer, sys.stdout)


def killed_runs(
    export: Callable[[], None], output: Path, old: str, request: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the state after each kill: by the clock, and at the n-th touch of the output."""
    before = saved(output)
    seconds, touches = whole_run(export, output)
    restore(output, before)
    runs = []
    for place in range(request["moments"]):
        after = seconds * (place + 0.5) / request["moments"]
        runs.append(state_after(fork(export), output, old, after=after))
        restore(output, before)
    for place in range(request["steps"]):
        step = 1 + place * (touches - 1) // max(1, request["steps"] - 1)
        runs.append(state_after(fork(export, at=(output, step)), output, old))
        restore(output, before)
    return runs


def fork(run: Callable[[], Any], *, at: tuple[Path, int] | None = None) -> int:
    """Return the process that runs; it kills itself at the n-th touch of the output's folder."""
    child = os.fork()
    if child:
        return child
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    if at is not None:
        sys.addaudithook(killing(*at))
    try:
        run()
    finally:
        os._exit(0)


def killing(output: Path, step: int) -> Callable[[str, tuple[Any, ...]], None]:
    touched = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal touched
        if touches(event, arguments, output):
            touched += 1
            if touched == step:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def touches(event: str, arguments: tuple[Any, ...], output: Path) -> bool:
    return event in TOUCHING and any(str(output.parent) in str(each) for each in arguments)


def state_after(
    child: int, output: Path, old: str, *, after: float | None = None
) -> dict[str, Any]:
    """Return whether a forked export was killed and which model folder stands then."""
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _child, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"killed": killed, "after": after, "state": state(output, old)}


def state(output: Path, old: str) -> str:
    try:
        found = read_model_folder(output).manifest()
    except VespaColbertError as error:
        return f"broken: {error}"
    return "old" if found == old else "new"


def whole_run(export: Callable[[], None], output: Path) -> tuple[float, int]:
    """Return how long an export takes and how often it touches the output's folder."""
    reader, writer = os.pipe()

    def counted() -> None:
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            count += touches(event, arguments, output)

        sys.addaudithook(hook)
        export()
        os.write(writer, str(count).encode())

    started = time.monotonic()
    _child, status = os.waitpid(fork(counted), 0)
    seconds = time.monotonic() - started
    os.close(writer)
    count = os.read(reader, 100)
    assert status == 0, "the export that is not killed must succeed"
    assert count, "it must touch the output"
    return seconds, int(count)


def saved(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir()}


def restore(output: Path, files: dict[str, bytes]) -> None:
    """Put the old files back, and nothing else: what a kill left beside them stays."""
    if saved(output) != files:
        for name, content in files.items():
            (output / name).write_bytes(content)


def with_full_disk(export: Callable[[], None], output: Path, old: str, size: int) -> dict[str, Any]:
    """Return what an export says when no file may grow beyond a size."""
    reader, writer = os.pipe()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            export()
            said = {"error": None, "message": ""}
        except Exception as error:  # noqa: BLE001 - the test asserts which one it is
            said = {"error": type(error).__name__, "message": str(error)}
        os.write(writer, json.dumps(said).encode())

    os.waitpid(fork(limited), 0)
    os.close(writer)
    said = json.loads(os.read(reader, 1 << 16))
    left = sorted(each.name for each in output.parent.iterdir())
    return {**said, "state": state(output, old), "left": left, "size": size}


if __name__ == "__main__":
    main()
