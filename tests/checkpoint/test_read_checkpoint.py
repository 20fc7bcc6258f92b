from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_checkpoint import (
    DIM,
    HIDDEN,
    IDS,
    MODULES,
    POSITIONS,
    VOCABULARY,
    edit_json,
    edit_tensors,
    write_json,
)
from vespa_colbert.checkpoint import Marker, read_checkpoint
from vespa_colbert.files import digest_file

Copy = Callable[[], Path]


def test_facts_are_those_of_the_files(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    assert checkpoint.layout == "pylate"
    assert checkpoint.dim == DIM
    assert checkpoint.query_marker == Marker(text="[unused0]", id=IDS["[unused0]"])
    assert checkpoint.document_marker == Marker(text="[unused1]", id=IDS["[unused1]"])
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (10, 20)
    assert (checkpoint.start_id, checkpoint.end_id) == (IDS["[CLS]"], IDS["[SEP]"])
    assert (checkpoint.mask_id, checkpoint.pad_id) == (IDS["[MASK]"], IDS["[PAD]"])
    assert checkpoint.query_expansion
    assert not checkpoint.expansion_attended
    assert checkpoint.skip_ids == tuple(IDS[c] for c in string.punctuation)
    assert not checkpoint.lower_case
    assert checkpoint.tokenizer.lower_cases
    assert checkpoint.tokenizer.text == (tiny_checkpoint / "tokenizer.json").read_text()
    assert checkpoint.warnings == ()


def test_encoder_has_every_tensor_and_its_sizes(tiny_checkpoint: Path) -> None:
    encoder = read_checkpoint(tiny_checkpoint).encoder
    stored = load_file(tiny_checkpoint / "model.safetensors")
    assert encoder.weights.keys() == stored.keys()
    for name, tensor in stored.items():
        assert np.array_equal(encoder.weights[name], tensor.numpy())
    assert (encoder.model_type, encoder.hidden_size, encoder.positions) == (
        "bert",
        HIDDEN,
        POSITIONS,
    )
    assert encoder.vocabulary_size == len(VOCABULARY)
    assert encoder.dtypes == ("F32",)


def test_every_fact_says_where_it_comes_from(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / "config_sentence_transformers.json", query_length=None)
    provenance = read_checkpoint(folder).provenance
    assert provenance["max_document_tokens"] == "config_sentence_transformers.json: document_length"
    assert provenance["max_query_tokens"] == "default of PyLate 1.4.0"
    assert provenance["start_id"] == "tokenizer.json: post_processor"
    assert provenance["mask_id"] == "tokenizer_config.json: mask_token"


def test_checksums_of_what_was_read_are_kept(tiny_checkpoint: Path) -> None:
    files = read_checkpoint(tiny_checkpoint).files
    assert files["1_Dense/model.safetensors"] == digest_file(
        tiny_checkpoint / "1_Dense" / "model.safetensors"
    )
    read = {"config.json", "config_sentence_transformers.json", "modules.json"}
    assert {"model.safetensors", "1_Dense/config.json", "tokenizer.json"} | read <= set(files)
    assert "checksums.json" not in files


def test_what_the_config_leaves_out_is_pylates_default(copy: Copy) -> None:
    folder = copy()
    keys = ("do_query_expansion", "attend_to_expansion_tokens", "skiplist_words", "query_length")
    edit_json(folder / "config_sentence_transformers.json", **dict.fromkeys(keys))
    checkpoint = read_checkpoint(folder)
    assert checkpoint.query_expansion
    assert not checkpoint.expansion_attended
    assert checkpoint.skip_words == tuple(string.punctuation)
    assert checkpoint.max_query_tokens == 32


def test_expansion_that_is_off_is_not_attended(copy: Copy) -> None:
    folder = copy()
    edit_json(
        folder / "config_sentence_transformers.json",
        do_query_expansion=False,
        attend_to_expansion_tokens=True,
    )
    checkpoint = read_checkpoint(folder)
    assert not checkpoint.query_expansion
    assert not checkpoint.expansion_attended


def test_an_empty_prefix_means_no_marker(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / "config_sentence_transformers.json", query_prefix="", document_prefix="")
    checkpoint = read_checkpoint(folder)
    assert checkpoint.query_marker is None
    assert checkpoint.document_marker is None


def test_a_marker_with_a_trailing_space_is_found_among_added_tokens(copy: Copy) -> None:
    folder = copy()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    template = tokenizer["added_tokens"][0]
    tokenizer["added_tokens"].append({**template, "id": len(IDS), "content": "[Q] "})
    write_json(folder / "tokenizer.json", tokenizer)
    grown = torch.randn(len(IDS) + 1, HIDDEN)
    edit_tensors(folder / "model.safetensors", embeddings__word_embeddings__weight=grown)
    edit_json(folder / "config.json", vocab_size=len(IDS) + 1)
    edit_json(folder / "config_sentence_transformers.json", query_prefix="[Q] ")
    assert read_checkpoint(folder).query_marker == Marker(text="[Q] ", id=len(IDS))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_floats_are_widened_exactly(copy: Copy, dtype: torch.dtype) -> None:
    folder = copy()
    path = folder / "model.safetensors"
    narrow = {name: tensor.to(dtype) for name, tensor in load_file(path).items()}
    save_file(narrow, path)
    checkpoint = read_checkpoint(folder)
    for name, tensor in narrow.items():
        got = checkpoint.encoder.weights[name]
        assert got.dtype == np.float32
        assert np.array_equal(got, tensor.float().numpy())
    (warning,) = checkpoint.warnings
    assert "float32" in warning


def test_shards_are_read_together(copy: Copy) -> None:
    folder = copy()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places: dict[str, str] = {}
    for part in (0, 1):
        name = f"model-0000{part + 1}-of-00002.safetensors"
        share = dict(list(tensors.items())[part::2])
        save_file(share, folder / name)
        places |= dict.fromkeys(share, name)
    write_json(folder / "model.safetensors.index.json", {"weight_map": places})
    assert read_checkpoint(folder).encoder.weights.keys() == tensors.keys()


def test_layers_keep_bias_activation_and_residual(copy: Copy) -> None:
    folder = copy()
    write_json(
        folder / "modules.json",
        [*MODULES, {**MODULES[1], "idx": 2, "name": "2", "path": "2_Dense"}],
    )
    edit_json(
        folder / "1_Dense" / "config.json",
        bias=True,
        activation_function="torch.nn.modules.activation.GELU",
        use_residual=True,
    )
    bias, through = torch.randn(DIM), torch.randn(DIM, HIDDEN)
    edit_tensors(
        folder / "1_Dense" / "model.safetensors", linear__bias=bias, residual__weight=through
    )
    second = folder / "2_Dense"
    second.mkdir()
    write_json(
        second / "config.json",
        {
            "in_features": DIM,
            "out_features": 4,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    save_file({"linear.weight": torch.randn(4, DIM)}, second / "model.safetensors")
    checkpoint = read_checkpoint(folder)
    first, last = checkpoint.projection
    assert (first.activation, first.residual) == ("gelu", True)
    assert first.bias is not None
    assert np.array_equal(first.bias, bias.numpy())
    assert first.residual_weight is not None
    assert np.array_equal(first.residual_weight, through.numpy())
    assert (last.activation, last.residual, last.bias) == ("identity", False, None)
    assert checkpoint.dim == 4


def test_positions_of_roberta_leave_out_the_padding_rows(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / "config.json", model_type="roberta", pad_token_id=1)
    assert read_checkpoint(folder).encoder.positions == POSITIONS - 2


def test_a_skip_word_that_is_no_token_is_reported(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / "config_sentence_transformers.json", skiplist_words=[".", "§"])
    checkpoint = read_checkpoint(folder)
    assert checkpoint.skip_ids == (IDS["."],)
    assert "§" in checkpoint.warnings[0]
