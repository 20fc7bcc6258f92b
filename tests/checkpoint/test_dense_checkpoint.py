from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_checkpoint import HIDDEN, edit_json, edit_tensors
from tests.tiny_dense import DENSE_DIM, build_tiny_dense, edit_modules
from vespa_colbert.checkpoint import (
    ReadOptions,
    StatedFacts,
    dense_signs,
    read_dense_checkpoint,
)
from vespa_colbert.errors import CheckpointError, MissingWeightError

DENSES = ', {"idx": 2'
STATED = StatedFacts(pooling="cls", normalize=True, query_prepend="q: ", document_prepend="")


@pytest.fixture(scope="module", name="shared_dense")
def shared_dense_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return build_tiny_dense(tmp_path_factory.mktemp("dense") / "model", heads=2)


@pytest.fixture(name="dense")
def dense_fixture(shared_dense: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(shared_dense, tmp_path / "copy"))


def test_every_module_of_a_sentence_transformers_folder_is_read(shared_dense: Path) -> None:
    read = read_dense_checkpoint(shared_dense)
    assert (read.pooling, read.normalize, read.max_tokens) == (("cls",), True, 48)
    assert [layer.weight.shape for layer in read.projection] == [
        (DENSE_DIM, HIDDEN),
        (DENSE_DIM, DENSE_DIM),
    ]
    assert {layer.activation for layer in read.projection} == {"tanh"}
    assert (read.dim, read.width, read.similarity) == (DENSE_DIM, DENSE_DIM, "cosine")
    assert "2_Dense/model.safetensors" in read.files
    assert read.provenance["max_tokens"] == "sentence_bert_config.json: max_seq_length"


@pytest.mark.parametrize(
    ("flags", "modes"),
    [
        ({"pooling_mode_cls_token": True}, ("cls",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("cls", "mean")),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, ("lasttoken",)),
        ({}, ("mean",)),
        ({"pooling_mode": ["max", "cls"]}, ("max", "cls")),
    ],
)
def test_older_flags_of_a_pooling_mean_what_they_mean_to_the_library(
    dense: Path, flags: dict[str, Any], modes: tuple[str, ...]
) -> None:
    (dense / "modules.json").write_text((dense / "modules.json").read_text().split(DENSES)[0] + "]")
    edit_json(dense / "1_Pooling" / "config.json", **{"pooling_mode": None, **flags})
    assert read_dense_checkpoint(dense).pooling == modes


@pytest.mark.parametrize(
    ("config", "query", "document", "warned"),
    [
        ({"prompts": {"query": "q: ", "document": "d: "}}, "q: ", "d: ", ""),
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, "query: ", "passage: ", "6.2"),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, "q: ", "", "encode()"),
        ({"prompts": {"query": "q: ", "sort": "s: "}}, "q: ", "", "other tasks are not used: sort"),
        ({"prompts": {"query": None, "document": ""}}, "", "", ""),
    ],
)
def test_prompts_become_instructions_of_the_roles(
    dense: Path, config: dict[str, Any], query: str, document: str, warned: str
) -> None:
    edit_json(dense / "config_sentence_transformers.json", **config)
    read = read_dense_checkpoint(dense)
    assert (read.query_prepend, read.document_prepend) == (query, document)
    assert any(warned in each for each in read.warnings) if warned else not read.warnings


def test_an_instruction_that_no_file_says_is_stated(dense: Path) -> None:
    read = read_dense_checkpoint(dense, stated=StatedFacts(query_prepend="为这个句子: "))
    assert (read.query_prepend, read.document_prepend) == ("为这个句子: ", "")
    assert read.provenance["query_prepend"] == "stated by the user"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"prompts": {"all": "x: "}, "default_prompt_name": "all"}, "default_prompt_name"),
        ({"prompts": ["q: "]}, "an object of texts"),
        ({"similarity_fn_name": "manhattan"}, "expected cosine or dot, got 'manhattan'"),
        ({"truncate_dim": 13}, "expected 1 to 12 components, got 13"),
    ],
)
def test_a_model_config_that_cannot_be_reproduced_is_refused(
    dense: Path, config: dict[str, Any], said: str
) -> None:
    edit_json(dense / "config_sentence_transformers.json", **config)
    with pytest.raises(CheckpointError, match=said):
        read_dense_checkpoint(dense)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("1_Pooling", {"pooling_mode": "mode"}, "pooling_mode: expected one or several"),
        ("1_Pooling", {"word_embedding_dimension": 8}, "the pooling is of another encoder"),
        ("1_Pooling", {"layers": 2}, "expected only"),
        ("2_Dense", {"in_features": 8}, "as config.json says"),
        ("2_Dense", {"module_input_name": "token_embeddings"}, "the pooled vector"),
        ("2_Dense", {"activation_function": "os.system"}, "nothing that a config names"),
    ],
)
def test_a_module_that_does_something_else_is_refused(
    dense: Path, file: str, changes: dict[str, Any], said: str
) -> None:
    edit_json(dense / file / "config.json", **changes)
    with pytest.raises(CheckpointError, match=said):
        read_dense_checkpoint(dense)


def test_rows_of_an_instruction_that_do_not_count_are_refused(dense: Path) -> None:
    edit_json(dense / "1_Pooling" / "config.json", include_prompt=False)
    assert read_dense_checkpoint(dense).pooling == ("cls",)
    edit_json(dense / "config_sentence_transformers.json", prompts={"query": "q: "})
    with pytest.raises(CheckpointError, match="INSTRUCTOR"):
        read_dense_checkpoint(dense)


def test_modules_that_are_not_known_or_stand_otherwise_are_refused(dense: Path) -> None:
    edit_modules(dense, _1="sentence_transformers.models.LSTM")
    with pytest.raises(CheckpointError, match=r"module 1: expected one of .*got .*LSTM"):
        read_dense_checkpoint(dense)
    edit_modules(dense, _1="sentence_transformers.models.Normalize")
    with pytest.raises(CheckpointError, match="expected one Transformer, one Pooling"):
        read_dense_checkpoint(dense)


def test_a_tensor_of_a_layer_that_goes_nowhere_is_named(dense: Path) -> None:
    import torch

    edit_tensors(dense / "2_Dense" / "model.safetensors", other=torch.ones(1))
    with pytest.raises(MissingWeightError, match="other"):
        read_dense_checkpoint(dense)


def test_what_is_stated_must_not_contradict_the_folder(dense: Path) -> None:
    wrong = StatedFacts(pooling="mean", normalize=False)
    with pytest.raises(CheckpointError, match=r"pooling: 'mean' stated, 'cls' in .*normalize: F"):
        read_dense_checkpoint(dense, stated=wrong)


def test_a_plain_encoder_needs_every_fact_stated(dense: Path) -> None:
    (dense / "modules.json").unlink()
    with pytest.raises(CheckpointError, match="--pooling, --normalize, --query-prepend"):
        read_dense_checkpoint(dense)
    read = read_dense_checkpoint(dense, stated=STATED)
    assert (read.layout, read.pooling, read.query_prepend) == ("plain-dense", ("cls",), "q: ")
    assert not read.projection


def test_more_tokens_than_positions_are_refused(dense: Path) -> None:
    with pytest.raises(CheckpointError, match="expected 3 to 48 tokens"):
        read_dense_checkpoint(dense, stated=StatedFacts(max_tokens=49))
    assert read_dense_checkpoint(dense, stated=StatedFacts(max_tokens=48)).max_tokens == 48


def test_a_folder_with_pooling_is_dense_unless_it_projects_tokens_too(
    dense: Path, tiny_checkpoint: Path
) -> None:
    assert dense_signs(dense, ReadOptions()) == "modules.json lists Pooling"
    assert not dense_signs(tiny_checkpoint, ReadOptions())
    (dense / "colbert_linear.pt").write_bytes(b"")
    assert not dense_signs(dense, ReadOptions())
    warnings = read_dense_checkpoint(dense).warnings
    assert warnings == ("colbert_linear.pt: no part of the one vector of a text",)
