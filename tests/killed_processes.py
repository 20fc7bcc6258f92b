"""Runs of something that writes a folder, killed or failing at many moments, each in a fork.

A process that has imported what the runs need answers requests: heavy imports happen once. Its
module calls ``answer`` at its end; ``ask`` runs that module and returns its answer.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert import files

__all__ = ["Target", "answer", "as_nobody", "ask"]

ROOT = Path(__file__).parents[1]
TOUCHING = {
    "open",
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.copyfile",
    "shutil.rmtree",
    "tempfile.mkdtemp",
}
REFUSED = TOUCHING - {"os.remove", "os.rmdir", "shutil.rmtree"}
"""What a disk that is full refuses; what is removed needs no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is run and killed.

    Attributes:
        run: Writes the output.
        output: The folder.
        state: What stands there: ``old``, ``new``, ``none``, or anything else for a broken one.
        rerun: Whether it is run once more, to its end, after each kill.
    """

    run: Callable[[], Any]
    output: Path
    state: Callable[[], str]
    rerun: bool = False


def ask(module: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return what a module answers that calls ``answer``."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict[str, Any](json.loads(done.stdout))


def answer(target_of: Callable[[dict[str, Any]], Target]) -> None:
    """Answer the request on stdin: runs that are killed, that fail, and on a full disk."""
    request = json.load(sys.stdin)
    target = target_of(request)
    sizes = request.get("sizes", ())
    found = {
        "failed": list(failed_runs(target, request.get("failures", ()))),
        "full": [with_full_disk(target, size) for size in sizes],
        "runs": list(killed_runs(target, request)) if request.get("moments") else [],
    }
    json.dump(found, sys.stdout)


def killed_runs(target: Target, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the state after each kill: by the clock, and at the n-th touch of the output."""
    before = saved(target.output)
    seconds, touches = whole_run(target)
    restore(target.output, before)
    for place in range(request["moments"]):
        after = seconds * (place + 0.5) / request["moments"]
        yield state_after(fork(target.run), target, after=after)
        restore(target.output, before)
    for place in range(request["steps"]):
        step = 1 + place * (touches - 1) // max(1, request["steps"] - 1)
        yield state_after(fork(target.run, at=(target.output, step)), target)
        restore(target.output, before)


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
    failed = 1
    try:
        run()
        failed = 0
    finally:
        os._exit(failed)


def killing(output: Path, step: int) -> Callable[[str, tuple[Any, ...]], None]:
    touched = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal touched
        if touches(event, arguments, output):
            touched += 1
            if touched == step:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def failed_runs(target: Target, failures: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what a run says whose n-th opening to write, sync, rename or new folder fails."""
    before = saved(target.output)
    for number in failures:
        said = told(functools.partial(failing, target, number))
        state, left = target.state(), beside(target)
        _child, status = os.waitpid(fork(target.run), 0)
        again = target.state() if status == 0 else f"failed with {status}"
        found = {"state": state, "left": left, "again": again, "left_again": beside(target)}
        yield {"number": number, **said, **found}
        restore(target.output, before)


def failing(target: Target, number: int) -> dict[str, Any]:
    """Return the error of a run whose n-th attempt to write fails, and how many there were."""
    count = 0

    def fails() -> bool:
        nonlocal count
        count += 1
        return count == number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_read = event == "open" and not int(arguments[2]) & (os.O_WRONLY | os.O_RDWR)
        if (
            event in REFUSED
            and touches(event, arguments, target.output)
            and not is_read
            and fails()
        ):
            raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))

    def sync(handle: int) -> None:
        if fails():
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    fsync, exchange = os.fsync, vars(files)["_exchange"]
    vars(os)["fsync"] = sync
    vars(files)["_exchange"] = lambda *paths: not fails() and exchange(*paths)
    sys.addaudithook(hook)
    error = error_of(target.run)
    return {**error, "attempts": count}


def error_of(run: Callable[[], Any]) -> dict[str, Any]:
    """Return which error a run ends with, and what it says."""
    try:
        run()
    except Exception as error:  # noqa: BLE001 - the test asserts which one it is
        return {"error": type(error).__name__, "message": str(error)}
    return {"error": None, "message": ""}


def told(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a forked run returns."""
    reader, writer = os.pipe()
    os.waitpid(fork(lambda: os.write(writer, json.dumps(run()).encode())), 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        return dict[str, Any](json.loads(stream.read()))


def touches(event: str, arguments: tuple[Any, ...], output: Path) -> bool:
    return event in TOUCHING and any(str(output.parent) in str(each) for each in arguments)


def state_after(child: int, target: Target, *, after: float | None = None) -> dict[str, Any]:
    """Return whether a forked run was killed, what stands then, and what lies beside it."""
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _child, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    found = {"killed": killed, "after": after, "state": target.state(), "left": beside(target)}
    if not target.rerun:
        return found
    _child, status = os.waitpid(fork(target.run), 0)
    again = target.state() if status == 0 else f"failed with {status}"
    return {**found, "again": again, "left_again": beside(target)}


def beside(target: Target) -> list[str]:
    """Return what lies beside the output, folders with a / at their end."""
    found = sorted(target.output.parent.iterdir())
    names = [f"{each.name}/" if each.is_dir() else each.name for each in found]
    return [name for name in names if name != f"{target.output.name}/"]


def whole_run(target: Target) -> tuple[float, int]:
    """Return how long a run takes and how often it touches the output's folder."""
    reader, writer = os.pipe()

    def counted() -> None:
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            count += touches(event, arguments, target.output)

        sys.addaudithook(hook)
        target.run()
        os.write(writer, str(count).encode())

    started = time.monotonic()
    _child, status = os.waitpid(fork(counted), 0)
    seconds = time.monotonic() - started
    os.close(writer)
    count = os.read(reader, 100)
    assert status == 0, "the run that is not killed must succeed"
    assert count, "it must touch the output"
    assert target.state() == "new", target.state()
    return seconds, int(count)


def saved(output: Path) -> dict[str, bytes]:
    """Return path → content of every file; none where there is no folder."""
    paths = (path for path in output.rglob("*") if path.is_file())
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in paths}


def restore(output: Path, files: dict[str, bytes]) -> None:
    """Put the old folder back, or none, and nothing else: what a kill left beside it stays."""
    if saved(output) == files:
        return
    if output.is_dir():
        shutil.rmtree(output)
    for name, content in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(content)


def with_full_disk(target: Target, size: int) -> dict[str, Any]:
    """Return what a run says when no file may grow beyond a size."""

    def limited() -> dict[str, Any]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return error_of(target.run)

    said = told(limited)
    return {**said, "state": target.state(), "left": beside(target), "size": size}


def as_nobody(run: Callable[[], object]) -> str:
    """Return the error that a process without rights runs into."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            run()
        except BaseException as error:  # noqa: BLE001 - the parent looks at it
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, encoding="utf-8") as said:
        return said.read()
