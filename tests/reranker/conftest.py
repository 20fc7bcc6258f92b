from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.tiny_cross_encoders import write_cross_encoder_checkpoint
from vespa_colbert.checkpoint.cross_encoder import read_cross_encoder_checkpoint
from vespa_colbert.export import ExportOptions
from vespa_colbert.export.cross_encoder import export_cross_encoder

FAMILIES = ("bert", "xlm-roberta")
OPTIONS = ExportOptions(opset=17)
"""For the exporter that takes a second where the other one takes six."""


@pytest.fixture(scope="session", name="checkpoints")
def checkpoints_fixture(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Whole cross-encoders of two families; not to be changed."""
    root = tmp_path_factory.mktemp("cross")
    return {name: write_cross_encoder_checkpoint(root / name, name) for name in FAMILIES}


@pytest.fixture(scope="session", name="folders")
def folders_fixture(
    checkpoints: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """Their model folders."""
    root = tmp_path_factory.mktemp("exported")
    return {
        name: export_cross_encoder(read_cross_encoder_checkpoint(path), root / name, OPTIONS).path
        for name, path in checkpoints.items()
    }
