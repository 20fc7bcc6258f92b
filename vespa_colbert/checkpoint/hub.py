"""A Hugging Face Hub name → a local folder of one commit; a path that exists stays offline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.errors import CheckpointError, MissingExtraError

__all__ = ["HUB_NAME", "Source", "locate_checkpoint"]

HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
WANTED = (
    "*.json",
    "*.safetensors",
    "artifact.metadata",
    "colbert_linear.pt",
    "sparse_linear.pt",
    "pytorch_model*.bin",
)
"""Patterns of the files that a layout may read; ONNX files, images and the like stay there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a checkpoint lies.

    Attributes:
        folder: The local folder.
        origin: Hub name and commit, empty for a local folder.
    """

    folder: Path
    origin: str = ""


def locate_checkpoint(name: Path | str, *, revision: str = "") -> Source:
    """Return the folder of a checkpoint, fetched from the Hub if it is a name there.

    Args:
        name: A local folder, or ``organisation/model``. What exists locally is never looked up.
        revision: Branch, tag or commit on the Hub.

    Raises:
        CheckpointError: If a revision is given for a local folder, the name is neither a folder
            nor a Hub name, or the Hub does not give it.
        MissingExtraError: If huggingface-hub is not installed.
    """
    path = Path(name)
    if _exists(path) or not HUB_NAME.fullmatch(str(name)):
        if revision:
            raise CheckpointError(f"{path}: expected a Hub name with --revision, got a local path")
        return Source(folder=path)
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "huggingface-hub") from error
    try:
        snapshot = huggingface_hub.snapshot_download(
            str(name), revision=revision or None, allow_patterns=list(WANTED)
        )
    except Exception as error:  # its exceptions come from several libraries
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            f"{name}: there is no such folder, and the Hub does not give a model of that name "
            f"({reason}); check the path, the name, the network, or HF_TOKEN for a private model"
        ) from error
    folder = Path(snapshot)
    return Source(folder=folder, origin=f"{name} at commit {folder.name}")


def _exists(path: Path) -> bool:
    """Return whether something goes by this name.

    Raises:
        CheckpointError: If nothing can, or it may not be looked at.
    """
    try:
        return path.exists()
    except OSError as error:
        raise CheckpointError(
            f"{str(path)[:200]}: expected a checkpoint folder or a Hub name, got a path that "
            f"cannot be looked at ({error.strerror})"
        ) from error
