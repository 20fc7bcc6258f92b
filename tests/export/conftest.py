from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.checkpoint.layout_folders import M3_SPECIALS, m3_encoder, write_m3_tokenizer
from tests.tiny_checkpoint import HIDDEN, LETTERS, edit_json
from vespa_colbert.checkpoint import Checkpoint, ProjectionLayer, ReadOptions, read_checkpoint
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.checkpoint.tokenizer_facts import read_tokenizer
from vespa_colbert.vespa_java import VespaJava

M3_DIM, M3_POSITIONS = 12, 48
M3_PIECES = (
    *(*M3_SPECIALS, "▁", "▁rose", "▁is", "▁!", ".", ",", "?", "!", "(", ")"),
    *LETTERS,
    *(f"▁{letter}" for letter in LETTERS),
    *"日本狐é",
    "<mask>",
)


@pytest.fixture(scope="session")
def java() -> Iterator[VespaJava]:
    with VespaJava(timeout_seconds=60.0) as judge:
        yield judge


def edited(checkpoint: Path, **settings: object) -> Checkpoint:
    """Return a PyLate checkpoint after changes to its settings."""
    edit_json(checkpoint / "config_sentence_transformers.json", **settings)
    return read_checkpoint(checkpoint)


@pytest.fixture(scope="session", name="m3_folder")
def m3_folder_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XLM-R of two layers and its Metaspace tokenizer."""
    folder = tmp_path_factory.mktemp("m3")
    model = m3_encoder(M3_PIECES, M3_POSITIONS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    write_m3_tokenizer(folder, M3_PIECES)
    return folder


@pytest.fixture(scope="session")
def m3(m3_folder: Path, tiny_checkpoint: Path) -> Checkpoint:
    """What BGE-M3 is: no markers, a biased head, no start row, the mean over the query's rows."""
    generator = np.random.default_rng(3)
    layer = ProjectionLayer(
        weight=generator.standard_normal((M3_DIM, HIDDEN)).astype(np.float32),
        bias=generator.standard_normal(M3_DIM).astype(np.float32),
    )
    encoder, _files = read_encoder(m3_folder, ReadOptions())
    return replace(
        read_checkpoint(tiny_checkpoint),
        path=m3_folder,
        layout="by hand",
        encoder=encoder,
        projection=(layer,),
        tokenizer=read_tokenizer(m3_folder),
        query_marker=None,
        document_marker=None,
        start_id=0,
        end_id=2,
        mask_id=len(M3_PIECES) - 1,
        pad_id=1,
        # All the positions that there are: one more would fail.
        max_query_tokens=M3_POSITIONS,
        max_document_tokens=M3_POSITIONS,
        query_expansion=False,
        skip_words=(),
        skip_ids=(),
        strip=False,
        start_row_dropped=True,
        mean_score=True,
        files={},
    )
