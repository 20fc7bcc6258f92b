"""Reading a checkpoint folder: the layouts are tried in order, the first that fits reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vespa_colbert.checkpoint import bge_m3, multi_vector, plain, pylate, stanford
from vespa_colbert.checkpoint.checks import check_stated
from vespa_colbert.checkpoint.facts import Checkpoint
from vespa_colbert.checkpoint.folder import require_folder, stated_cuts
from vespa_colbert.checkpoint.hub import locate_checkpoint
from vespa_colbert.checkpoint.legacy_file import legacy_folder
from vespa_colbert.checkpoint.options import DEFAULT_OPTIONS, ReadOptions
from vespa_colbert.errors import CheckpointError, UnknownLayoutError

__all__ = ["LAYOUTS", "Layout", "ReadOptions", "read_checkpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A way in which checkpoints lie on disk.

    Attributes:
        name: What reports call it.
        misfits: Folder and options → what keeps it from being of this layout; nothing if it is.
        read: Folder and options → checkpoint.
        unstated: Options → what a user has to state before a folder is tried; mostly nothing.
    """

    name: str
    misfits: Callable[[Path, ReadOptions], tuple[str, ...]]
    read: Callable[[Path, ReadOptions], Checkpoint]
    unstated: Callable[[ReadOptions], tuple[str, ...]] = lambda _options: ()


LAYOUTS = (
    Layout(name=multi_vector.NAME, misfits=multi_vector.misfits, read=multi_vector.read),
    Layout(name=pylate.NAME, misfits=pylate.misfits, read=pylate.read),
    Layout(name=stanford.NAME, misfits=stanford.misfits, read=stanford.read),
    Layout(name=bge_m3.NAME, misfits=bge_m3.misfits, read=bge_m3.read),
    Layout(name=plain.NAME, misfits=plain.misfits, read=plain.read, unstated=plain.unstated),
)
"""Tried in this order: a new layout is one row here and one file."""


def read_checkpoint(path: Path, options: ReadOptions = DEFAULT_OPTIONS) -> Checkpoint:
    """Return the checkpoint in a folder; a path that exists is never looked up in a network.

    Args:
        path: The folder, the single ``.dnn`` file of one, or the name of a model on the Hub.
        options: What the user allows and states.

    Raises:
        CheckpointError: If there is no such folder, or it is damaged or contradicts itself.
        UnknownLayoutError: If no layout fits; lists each and what was missing.
        MissingExtraError: If the name is one of the Hub and huggingface-hub is not installed.
    """
    source = locate_checkpoint(path, revision=options.revision or "")
    checkpoint = _read_folder(legacy_folder(source.folder), options)
    if not source.origin:
        return checkpoint
    provenance = {**checkpoint.provenance, "checkpoint": source.origin}
    return replace(checkpoint, provenance=provenance)


def _read_folder(path: Path, options: ReadOptions) -> Checkpoint:
    """Return the checkpoint in a local folder.

    Raises:
        UnknownLayoutError: If no layout fits; lists each and what was missing.
    """
    require_folder(path)
    tried = []
    for layout in LAYOUTS:
        misfits = layout.unstated(options) or _misfits(layout, path, options)
        if not misfits:
            return _read(layout, path, options)
        tried.append(f"  {layout.name}: {'; '.join(misfits)}")
    names = ", ".join(sorted(entry.name for entry in path.iterdir())) or "nothing"
    raise UnknownLayoutError(
        f"{path}: expected a checkpoint of a known layout, got a folder with {names}\n"
        + "\n".join(tried)
    )


def _misfits(layout: Layout, path: Path, options: ReadOptions) -> tuple[str, ...]:
    """Return what keeps the folder from being of a layout.

    Raises:
        CheckpointError: If a file that would tell is damaged or cannot be read.
    """
    try:
        return layout.misfits(path, options)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def _read(layout: Layout, path: Path, options: ReadOptions) -> Checkpoint:
    """Return what the layout reads, with the folder named in every error.

    Raises:
        CheckpointError: What the layout raised, or if the user states something else.
    """
    try:
        _check_head(layout, options)
        checkpoint = layout.read(path, options)
        check_stated(checkpoint, options)
    except CheckpointError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    return replace(checkpoint, cuts=stated_cuts(path, checkpoint.dim))


def _check_head(layout: Layout, options: ReadOptions) -> None:
    """Return nothing unless a head is named for a checkpoint that has its own.

    Raises:
        CheckpointError: If so.
    """
    if options.head is not None and layout.name != plain.NAME:
        raise CheckpointError(
            f"expected a plain encoder beside the head {options.head}, got a {layout.name} "
            "checkpoint, which has its own; leave out --head, or give a folder with the encoder "
            "alone"
        )
