from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.checkpoint.layout_folders import LAYOUTS, LayoutFiles

Fresh: TypeAlias = Callable[[LayoutFiles], Path]


@pytest.fixture(scope="session", name="sources")
def sources_fixture(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """One whole checkpoint in every layout; not to be changed."""
    root = tmp_path_factory.mktemp("layouts")
    return {files.layout: files.build(root / files.layout) for files in LAYOUTS}


@pytest.fixture(name="fresh")
def fresh_fixture(sources: Mapping[str, Path], tmp_path: Path) -> Fresh:
    """Makes a copy that a test may change."""
    return lambda files: Path(shutil.copytree(sources[files.layout], tmp_path / files.layout))
