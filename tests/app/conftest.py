from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vespa_colbert.app import ApplicationSpec, AppOptions, application_spec, folder_embedder
from vespa_colbert.export.model_folder import (
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
    read_model_folder,
)
from vespa_colbert.files import digest_file
from vespa_colbert.vespa_java import VespaJava


@pytest.fixture
def facts() -> EmbedderSpec:
    return EmbedderSpec(
        dim=16,
        start_id=2,
        end_id=3,
        mask_id=4,
        pad_id=0,
        query_marker_id=5,
        document_marker_id=6,
        max_query_tokens=8,
        max_document_tokens=20,
        max_tokens=32,
        expansion_emitted=True,
    )


@pytest.fixture
def model_folder(tmp_path: Path, facts: EmbedderSpec) -> ModelFolder:
    path = tmp_path / "model"
    path.mkdir()
    (path / MODEL_FILE).write_bytes(b"the graph")
    (path / TOKENIZER_FILE).write_bytes(b"{}")
    folder = ModelFolder(
        path=path,
        embedder=facts,
        packaging="native",
        checkpoint={},
        versions={},
        graph={},
        verification={},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    (path / "embedder.json").write_text(folder.manifest(), encoding="utf-8")
    return read_model_folder(path)


@pytest.fixture
def spec(model_folder: ModelFolder) -> ApplicationSpec:
    return application_spec(folder_embedder(model_folder), AppOptions())


@pytest.fixture(scope="session")
def java() -> Iterator[VespaJava]:
    with VespaJava() as judge:
        yield judge
