from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vespa_java.tiny_package import write_embedder, write_package
from vespa_colbert.vespa_java import EmbedderFiles, VespaJava


@pytest.fixture(scope="session")
def java() -> Iterator[VespaJava]:
    with VespaJava(timeout_seconds=60.0) as judge:
        yield judge


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("package") / "app")


@pytest.fixture(scope="session")
def embedder_files(tmp_path_factory: pytest.TempPathFactory) -> EmbedderFiles:
    return write_embedder(tmp_path_factory.mktemp("model"))
