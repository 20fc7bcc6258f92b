"""Files of a checkpoint as the disk has them: there, whole, and no pipe, device or broken link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vespa_colbert.errors import CheckpointError

__all__ = ["LFS_POINTER", "is_present", "require_file", "sniff_lfs_pointer"]

LFS_POINTER = b"version https://git-lfs"


def is_present(path: Path) -> bool:
    """Return whether anything goes by this name: a link to nothing does, a free name does not.

    What is optional and broken is not absent: a cache of the Hub that lost a file has such a link.
    """
    return os.path.lexists(path)


def require_file(path: Path, what: str) -> int:
    """Return the size of a file in bytes, once it is clear that reading it will end.

    Args:
        path: The file; a link to one will do.
        what: What was expected, for the message.

    Raises:
        CheckpointError: If there is nothing, a folder, a pipe, a device, a link to nothing, or no
            permission to look.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected {what}, got {_absence(path, error)}") from None
    if stat.S_ISREG(status.st_mode):
        return status.st_size
    kind = "a folder" if stat.S_ISDIR(status.st_mode) else "neither a file nor a folder"
    raise CheckpointError(f"{path}: expected {what}, got {kind}")


def sniff_lfs_pointer(start: bytes, path: Path) -> None:
    """Return nothing unless a file begins like the pointer that git-lfs leaves in its place.

    Raises:
        CheckpointError: If so.
    """
    if start.startswith(LFS_POINTER):
        raise CheckpointError(
            f"{path}: expected the file itself, got a git-lfs pointer; fetch it: git lfs pull"
        )


def _absence(path: Path, error: OSError | ValueError) -> str:
    if path.is_symlink():
        return "a link to nothing; fetch the checkpoint again"
    if isinstance(error, FileNotFoundError):
        return "none"
    return f"nothing that can be read ({error})"
