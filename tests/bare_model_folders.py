"""Model folders whose graph and tokenizer nobody opens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
    read_model_folder,
)
from vespa_colbert.files import digest_file

FACTS = EmbedderSpec(
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


def write_bare_folder(
    path: Path, facts: EmbedderSpec = FACTS, checkpoint: Mapping[str, Any] | None = None
) -> ModelFolder:
    """Return a whole model folder after writing it.

    Args:
        path: The folder, not there yet.
        facts: What the embedder is told.
        checkpoint: Where the model comes from.
    """
    path.mkdir()
    (path / MODEL_FILE).write_bytes(b"the graph")
    (path / TOKENIZER_FILE).write_bytes(b"{}")
    folder = ModelFolder(
        path=path,
        embedder=facts,
        packaging="native",
        checkpoint=checkpoint or {},
        versions={},
        graph={},
        verification={},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    (path / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    return read_model_folder(path)
