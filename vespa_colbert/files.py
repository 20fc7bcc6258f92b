"""Output that is complete or absent: temporary name, fsync, rename, manifest with sha256 last.

A folder is written beside its final name and moved there in one rename; the previous one stays
whole until that moment. A file likewise. Two writers of one path are kept apart by a lock file.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vespa_colbert.errors import OutputError
from vespa_colbert.locks import SECONDS_BETWEEN_LOOKS, hold_lock

__all__ = [
    "FileDigest",
    "atomic_file",
    "atomic_folder",
    "changed_files",
    "check_replaceable",
    "continued_file",
    "digest_file",
    "require_file",
    "sync_folder",
    "write_lock",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """What a manifest says of one file.

    Attributes:
        sha256: Lower-case hex digest.
        size: Bytes.
    """

    sha256: str
    size: int


def digest_file(path: Path) -> FileDigest:
    """Return sha256 and size of a file, read in chunks."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
        return FileDigest(sha256=digest.hexdigest(), size=stream.tell())


def changed_files(folder: Path, manifest: Mapping[str, FileDigest]) -> list[str]:
    """Return one line for each manifest file that is missing or differs; empty when all hold."""
    faults = []
    for name, wanted in sorted(manifest.items()):
        path = folder / name
        if not path.is_file():
            faults.append(f"{path}: missing")
        elif (got := digest_file(path)) != wanted:
            faults.append(
                f"{path}: expected {wanted.size} bytes with sha256 {wanted.sha256[:12]}…, "
                f"got {got.size} bytes with sha256 {got.sha256[:12]}…"
            )
    return faults


@contextlib.contextmanager
def write_lock(path: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Keep other writers of a path away while the block runs, and sweep what killed ones left.

    Args:
        path: What is written; it may be absent.
        patience: Seconds to wait for another one to end.

    Raises:
        OutputError: If another process is still writing it, or its folder cannot be written.
    """
    path, until = _resolved(path), time.monotonic() + patience
    with _explained(path), contextlib.ExitStack() as held:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                held.enter_context(hold_lock(path))
                break
            except OutputError:
                if time.monotonic() >= until:
                    raise
                time.sleep(SECONDS_BETWEEN_LOOKS)
        _sweep(path)
        yield


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it there when the block ends well.

    Args:
        path: Final name. Its parent folder is made if need be.

    Yields:
        The path to write to, on the same filesystem.

    Raises:
        OutputError: If the path cannot be written; nothing stands under the final name then.
    """
    path = path.absolute()
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        require_file(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            _sync(part)
            part.chmod(0o644)
            part.replace(path)
            _sync(path.parent)
        finally:
            part.unlink(missing_ok=True)


def require_file(path: Path) -> None:
    """Return nothing if a file may take a place.

    Raises:
        OutputError: If something else stands there.
    """
    if path.exists() and not path.is_file():
        got = "a folder" if path.is_dir() else "a device or pipe"
        raise OutputError(f"{path}: expected a file or nothing, got {got}")


@contextlib.contextmanager
def continued_file(path: Path) -> Iterator[BinaryIO]:
    """Yield what an earlier run left of a file, to read and to go on with; named at the end.

    Until the block ends well it stands beside ``path`` as ``PATH.partial``, and stays there when
    the block fails. Where that is absent, a copy of ``path`` is what there is.

    Args:
        path: Final name. Its parent folder is made if need be.

    Yields:
        The partial file, at its beginning.

    Raises:
        OutputError: If the path cannot be written, or another process is writing it.
    """
    path = path.absolute()
    partial = path.with_name(f"{path.name}.partial")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        require_file(path)
        with hold_lock(path):
            if not partial.exists() and path.is_file():
                with atomic_file(partial) as copy:
                    shutil.copyfile(path, copy)
            partial.touch()
            with partial.open("r+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
            _sync(path.parent)


@contextlib.contextmanager
def atomic_folder(
    path: Path, *, is_ours: Callable[[Path], bool] = lambda _folder: True
) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; move it there whole when the block ends well.

    Args:
        path: Final name. A folder already there is replaced in the end, never mixed with.
        is_ours: Says whether a folder standing there may be replaced: pass a test for the files
            that this package writes, so that a mistyped output never removes somebody's data.

    Yields:
        The folder to fill, on the same filesystem.

    Raises:
        OutputError: If the path cannot be written, the folder there is not ours, or another
            process is writing it; nothing new stands under the final name then.
    """
    path = _resolved(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(path):
            _sweep(path)
            check_replaceable(path, is_ours)
            part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
            try:
                yield part
                sync_folder(part)
                part.chmod(0o755)
                _swap(part, path)
                _sync(path.parent)
            finally:
                shutil.rmtree(part, ignore_errors=True)


def _resolved(path: Path) -> Path:
    """Return where a path leads, so that a link stays a link to the new folder.

    Raises:
        OutputError: If it leads nowhere: links in a circle, a name that no folder can have.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(
            f"{path}: cannot be written ({error}); choose an output path that you may write to"
        ) from error


def check_replaceable(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Return nothing if a new folder may take the place of what stands at ``path``.

    Raises:
        OutputError: If a file or somebody's folder stands there.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: expected a folder or nothing, got a file")
    if path.is_dir() and any(path.iterdir()) and not is_ours(path):
        raise OutputError(
            f"{path}: this folder holds files that were not written by this command; "
            "it is left alone: choose another output folder or remove it yourself"
        )


def _swap(part: Path, path: Path) -> None:
    """Move ``part`` to ``path``; the older folder is at ``part`` then, or removed.

    Raises:
        OSError: If the rename fails; the older folder is back in its place then.
    """
    if not path.exists():
        part.replace(path)
        return
    if _exchange(part, path):
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.replace(aside)
    try:
        part.replace(path)
    except OSError:
        aside.replace(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Constants of Linux's renameat2: paths as they are, and both names change places."""


def _exchange(part: Path, path: Path) -> bool:
    """Return whether the two names changed places in one step, which not every system can do."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(part), os.fsencode(path)
    return bool(rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0)


def _sweep(path: Path) -> None:
    """Remove what a killed run left; bring the old folder back if it died between two renames."""
    # Random names have no dot in them: what belongs to an output "index.old" is not ours.
    mine = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]+\.(old|part)")
    for left in sorted(path.parent.iterdir()):
        if (match := mine.fullmatch(left.name)) is None or not left.is_dir():
            continue
        if match[1] == "old" and not path.exists():
            left.replace(path)
        else:
            shutil.rmtree(left, ignore_errors=True)


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
BELOW_A_FILE = frozenset({errno.EEXIST, errno.ENOTDIR})


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one that names the output and what to do.

    Raises:
        OutputError: For a full disk, and for any error about the output path.
        OSError: Any other: it comes from what the caller reads inside the block.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        if not (_is_about(error, path) or (full and error.filename is None)):
            raise
        hint = "free some space" if full else "choose an output path that you may write to"
        reason = error.strerror
        if error.errno in BELOW_A_FILE and (file := next(filter(Path.is_file, path.parents), None)):
            reason = f"{file} is a file, expected a folder"
        raise OutputError(f"{path}: cannot be written ({reason}); {hint}") from error


def _is_about(error: OSError, path: Path) -> bool:
    """Return whether the error names the path, a folder above it, or what we put beside it."""
    beside = str(path.parent / f".{path.name}.")
    named = (each for each in (error.filename, error.filename2) if isinstance(each, str | bytes))
    names = map(os.fsdecode, named)
    return any(path.is_relative_to(each) or each.startswith(beside) for each in names)


def sync_folder(folder: Path) -> None:
    """Have all files of a folder, and the names in it, written to the disk."""
    for root, _folders, names in os.walk(folder):
        for name in names:
            _sync(Path(root) / name)
        _sync(Path(root))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
