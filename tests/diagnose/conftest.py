from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diagnose.planted import MODELS
from vespa_colbert.checkpoint import read_dense_checkpoint
from vespa_colbert.export import export_dense

Made = Callable[[str], tuple[Path, Path]]


@pytest.fixture(autouse=True)
def always_one_thread(one_thread: None) -> None:
    """Every test of this folder runs tiny models in torch."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return what gives the checkpoint of a model, and the model folder made from it."""
    found: dict[str, tuple[Path, Path]] = {}

    def make(name: str) -> tuple[Path, Path]:
        if name not in found:
            root = tmp_path_factory.mktemp("planted")
            checkpoint = MODELS[name](root / "checkpoint")
            folder = export_dense(read_dense_checkpoint(checkpoint), root / "model")
            found[name] = (checkpoint, folder.path)
        return found[name]

    return make
