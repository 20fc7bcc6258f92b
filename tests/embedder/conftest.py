from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.embedder.tiny_embedder import SPEC, VOCABULARY, table, write_model, write_tokenizer
from vespa_colbert.export.model_folder import EMBEDDER_FILE, ModelFolder, read_model_folder
from vespa_colbert.files import digest_file
from vespa_colbert.vespa_java import VespaJava

MakeFolder = Callable[..., ModelFolder]


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> MakeFolder:
    def make(
        *,
        vocabulary: tuple[str, ...] = VOCABULARY,
        rows: np.ndarray[Any, np.dtype[np.float32]] | None = None,
        names: tuple[str, str, str] = ("input_ids", "attention_mask", "contextual"),
        truncation: dict[str, Any] | None = None,
        padding: dict[str, Any] | None = None,
        **facts: Any,
    ) -> ModelFolder:
        path = tmp_path_factory.mktemp("model")
        given = table(len(vocabulary)) if rows is None else rows
        write_model(path / "model.onnx", given, names=names)
        write_tokenizer(path / "tokenizer.json", vocabulary, truncation=truncation, padding=padding)
        folder = ModelFolder(
            path=path,
            embedder=replace(SPEC, **facts),
            packaging="native",
            checkpoint={"name": "tiny"},
            versions={},
            graph={},
            verification={},
            files={name: digest_file(path / name) for name in ("model.onnx", "tokenizer.json")},
        )
        (path / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
        return read_model_folder(path)

    return make


@pytest.fixture(scope="session")
def folder(make_folder: MakeFolder) -> ModelFolder:
    return make_folder()


@pytest.fixture(scope="session")
def judge() -> Iterator[VespaJava]:
    with VespaJava(timeout_seconds=60.0) as java:
        yield java
