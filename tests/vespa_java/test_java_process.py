from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vespa_java.tiny_package import write_package
from vespa_colbert.errors import MissingExtraError, VespaJavaError
from vespa_colbert.vespa_java import VespaJava, process

pytestmark = pytest.mark.java

SLOW = "reduce(tensor(x[20000])(reduce(tensor(y[20000])(x * y), sum)), sum)"
"""An expression that takes Java many seconds, and little memory at a time."""

PATIENCE = 20.0
"""Seconds given to things that take well below one on a free machine."""

PARENT = f"""
import signal
from vespa_colbert.vespa_java import VespaJava
# A test runner may have been started with interrupts ignored, which children inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
with VespaJava() as java:
    java.evaluate_expression("1", {{}})
    print(java._worker.process.pid, java._worker.scratch, flush=True)
    java.evaluate_expression("{SLOW}", {{}})
"""


def worker_of(java: VespaJava) -> process.Worker:
    worker = java._worker
    assert worker is not None
    return worker


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody collects has ended for all that matters.
    facts = Path(f"/proc/{pid}/stat")
    return not facts.exists() or facts.read_text().rpartition(")")[2].split()[0] != "Z"


def comes_true(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_a_call_that_takes_too_long_is_given_up_and_the_next_one_works() -> None:
    with VespaJava() as java:
        assert java.evaluate_expression("1 + 1", {}).as_number() == 2
        worker = worker_of(java)
        java.timeout_seconds = 0.3
        with pytest.raises(VespaJavaError, match=r"evaluate_expression.* within 0\.3 s"):
            java.evaluate_expression(SLOW, {})
        assert not is_running(worker.process.pid)
        assert not worker.scratch.exists()
        java.timeout_seconds = PATIENCE
        assert java.evaluate_expression("2 + 2", {}).as_number() == 4


def test_a_killed_process_is_named_and_the_next_call_works() -> None:
    with VespaJava() as java:
        assert java.evaluate_expression("1 + 1", {}).as_number() == 2
        victim = worker_of(java).process
        timer = threading.Timer(0.3, victim.kill)
        timer.start()
        with pytest.raises(VespaJavaError, match="was killed by SIGKILL"):
            java.evaluate_expression(SLOW, {})
        timer.join()
        assert java.evaluate_expression("2 + 2", {}).as_number() == 4
        # Killed between two calls: nobody needs to know.
        worker_of(java).process.kill()
        worker_of(java).process.wait()
        assert java.evaluate_expression("3 + 3", {}).as_number() == 6


def test_too_little_memory_is_named_and_the_next_call_works() -> None:
    with VespaJava(heap_megabytes=48) as java:
        with pytest.raises(VespaJavaError, match="raise heap_megabytes"):
            java.evaluate_expression("reduce(tensor(x[60000],y[1000])(x * y), sum)", {})
        assert java.evaluate_expression("2 + 2", {}).as_number() == 4


def test_nothing_is_left_of_a_closed_judge() -> None:
    java = VespaJava()
    assert java.evaluate_expression("1 + 1", {}).as_number() == 2
    worker = worker_of(java)
    java.close()
    assert not is_running(worker.process.pid)
    assert not worker.scratch.exists()
    java.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_parent_that_is_interrupted_or_killed_leaves_no_process(number: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid, scratch = parent.stdout.readline().split()
        assert is_running(int(pid))
        parent.send_signal(number)
    assert comes_true(lambda: not is_running(int(pid)))
    assert comes_true(lambda: not Path(scratch).exists())


def test_several_threads_get_their_own_answers(java: VespaJava) -> None:
    found: dict[int, float] = {}

    def ask(number: int) -> None:
        found[number] = java.evaluate_expression(f"{number} * 10", {}).as_number()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number * 10.0 for number in range(6)}


def test_the_workers_java_and_locale_are_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "Größe λ")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1k")
    monkeypatch.setenv("CLASSPATH", "/nowhere.jar")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("LC_ALL", "C")
    with VespaJava() as java:
        assert java.versions().keys() == {"vespa", "java", "onnxruntime"}
        assert java.validate_application(package).errors == ()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "jpype" else object()
    )
    with pytest.raises(MissingExtraError, match=r"vespa-colbert\[java\]"):
        VespaJava().versions()
