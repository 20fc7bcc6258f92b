"""A lock beside an output, with the number of the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from vespa_colbert.errors import OutputError

__all__ = ["SECONDS_BETWEEN_LOOKS", "hold_lock"]

NAMELESS, LOOKS, SECONDS_BETWEEN_LOOKS = 5, 20, 0.01
"""A process that has just taken a lock has not written its number yet."""


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock for ``path``; the kernel lets go of it when the process dies.

    Raises:
        OutputError: If another process holds it.
    """
    name = path.with_name(f".{path.name}.lock")
    with _locked(name, path) as stream:
        try:
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield
        finally:
            name.unlink(missing_ok=True)


def _locked(name: Path, path: Path) -> TextIO:
    """Return the lock file, open and locked.

    Raises:
        OutputError: If another process holds it.
    """
    nameless = 0
    while True:
        stream = name.open("a")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(stream.fileno()).st_ino == name.stat().st_ino:
                return stream
        except BlockingIOError:
            stream.close()
            holder = _holder(name)
            nameless += not holder
            # Who does not say who it is may have ended meanwhile: once more, a few times.
            if holder or nameless == NAMELESS:
                raise OutputError(
                    f"{path}: another process{holder} is writing it; wait for it to end"
                ) from None
        except FileNotFoundError:
            pass
        # The holder before us removed the name after we had opened it: once more.
        stream.close()


def _holder(name: Path) -> str:
    """Return the number of the process that holds a lock file, in brackets.

    Nothing if it does not say so soon: it may run where our numbers mean other processes.
    """
    for _ in range(LOOKS):
        with contextlib.suppress(OSError, ValueError):
            number = name.read_text(encoding="ascii")
            if _is_running(int(number)):  # what a killed holder left says nothing
                return f" ({number})"
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return ""


def _is_running(number: int) -> bool:
    """Return whether there is a process of that number, ours or not."""
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
