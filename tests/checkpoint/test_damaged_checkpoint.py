"""Folders that are no checkpoint, and weights that are cut; test_damage.py has the table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.checkpoint.layout_folders import read_document
from tests.tiny_checkpoint import (
    DIM,
    HIDDEN,
    IDS,
    MODULES,
    edit_json,
    edit_tensors,
    write_json,
)
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import CheckpointError, UnknownLayoutError

Copy = Callable[[], Path]

WEIGHTS = "model.safetensors"
SETTINGS = "config_sentence_transformers.json"


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="local folder") as caught:
        read_checkpoint(tmp_path / "organisation" / "model")
    assert str(tmp_path / "organisation" / "model") in str(caught.value)


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("")
    with pytest.raises(CheckpointError, match="got a file"):
        read_checkpoint(tmp_path / "model")


def test_an_unknown_layout_lists_what_was_tried_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UnknownLayoutError) as caught:
        read_checkpoint(tmp_path)
    assert "notes.txt" in str(caught.value)
    assert "pylate: no modules.json" in str(caught.value)


def test_a_dense_model_is_no_late_interaction_checkpoint(copy: Copy) -> None:
    folder = copy()
    (folder / SETTINGS).unlink()
    pooling = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    write_json(folder / "modules.json", [MODULES[0], pooling])
    with pytest.raises(UnknownLayoutError, match="Dense"):
        read_checkpoint(folder)


def test_every_truncation_of_the_weights_is_refused(copy: Copy) -> None:
    folder = copy()
    whole = (folder / WEIGHTS).read_bytes()
    for size in range(0, len(whole), len(whole) // 50):
        (folder / WEIGHTS).write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=WEIGHTS):
            read_checkpoint(folder)


def test_biases_and_unused_token_types_may_be_zero(copy: Copy) -> None:
    folder = copy()
    edit_tensors(
        folder / WEIGHTS,
        embeddings__token_type_embeddings__weight=torch.zeros(2, HIDDEN),
        embeddings__LayerNorm__bias=torch.zeros(HIDDEN),
    )
    assert read_checkpoint(folder).dim == DIM


def test_an_id_outside_the_vocabulary_in_the_template_is_refused(copy: Copy) -> None:
    folder = copy()
    document = read_document(folder / "tokenizer.json")
    document["post_processor"]["special_tokens"]["[SEP]"].update(ids=[len(IDS)])
    write_json(folder / "tokenizer.json", document)
    with pytest.raises(CheckpointError, match=f"got {len(IDS)}"):
        read_checkpoint(folder)


SHARDS = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("weight_map", "fragment"),
    [
        ({}, "weight_map"),
        ({"a": "../model.safetensors"}, "same folder"),
        ({"a": "weights.bin"}, "same folder"),
        ({"a": "gone.safetensors"}, r"gone\.safetensors"),
        ({"a": "one.safetensors", "b": "two.safetensors"}, "in two files"),
    ],
)
def test_shards_must_be_whole_and_beside_their_index(
    copy: Copy, weight_map: dict[str, str], fragment: str
) -> None:
    folder = copy()
    for name in ("one.safetensors", "two.safetensors"):
        shutil.copyfile(folder / WEIGHTS, folder / name)
    (folder / WEIGHTS).unlink()
    write_json(folder / SHARDS, {"weight_map": weight_map})
    with pytest.raises(CheckpointError, match=fragment):
        read_checkpoint(folder)


def test_one_marker_for_both_sides_is_reported(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / SETTINGS, document_prefix="[unused0]")
    assert read_checkpoint(folder).warnings == ("queries and documents have the same marker",)
