from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bare_model_folders import FACTS, write_bare_folder
from vespa_colbert.app import ApplicationSpec, AppOptions, application_spec, folder_embedder
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder
from vespa_colbert.vespa_java import VespaJava


@pytest.fixture
def facts() -> EmbedderSpec:
    return FACTS


@pytest.fixture
def model_folder(tmp_path: Path, facts: EmbedderSpec) -> ModelFolder:
    return write_bare_folder(tmp_path / "model", facts)


@pytest.fixture
def spec(model_folder: ModelFolder) -> ApplicationSpec:
    return application_spec(folder_embedder(model_folder), AppOptions())


@pytest.fixture(scope="session")
def java() -> Iterator[VespaJava]:
    with VespaJava() as judge:
        yield judge
