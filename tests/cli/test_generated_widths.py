"""What `generate` says of a model that was trained to be cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
)
from vespa_colbert.files import digest_file

SPEC = EmbedderSpec(
    dim=32,
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


@pytest.mark.parametrize(
    ("cuts", "dims", "told"),
    [
        ([16, 8], "", "trained to be cut too: [tokens] dims = [32, 16, 8] stores all"),
        ([16, 8], "dims = [32, 8]", ""),
        ([16, 8], "dims = [24]", "not trained to be cut to 24, but to 16, 8"),
        ([], "dims = [24]", ""),
    ],
)
def test_widths_that_a_model_states_are_told(
    run: Run, tmp_path: Path, cuts: list[int], dims: str, told: str
) -> None:
    path = tmp_path / "model"
    path.mkdir()
    for name in (MODEL_FILE, TOKENIZER_FILE):
        (path / name).write_bytes(b"{}")
    folder = ModelFolder(
        path=path,
        embedder=SPEC,
        packaging="native",
        checkpoint={"facts": {"cuts": cuts} if cuts else {}},
        versions={},
        graph={},
        verification={},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    (path / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[export]\noutput = "model"\n[tokens]\n{dims}\n')

    ran = run("generate", "-r", recipe, "-o", tmp_path / "app")

    assert ran.code == 0, ran.err
    assert told in ran.err
    assert ("cut" in ran.err) == bool(told)
