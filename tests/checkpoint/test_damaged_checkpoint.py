from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_checkpoint import (
    DIM,
    HIDDEN,
    IDS,
    MODULES,
    POSITIONS,
    edit_json,
    edit_tensors,
    write_json,
)
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import CheckpointError, MissingWeightError, UnknownLayoutError

Copy = Callable[[], Path]
Damage = Callable[[Path], object]

WEIGHTS = "model.safetensors"
SETTINGS = "config_sentence_transformers.json"
HEAD = "1_Dense/model.safetensors"
HEAD_CONFIG = "1_Dense/config.json"


def setting(**changes: Any) -> Damage:
    return lambda folder: edit_json(folder / SETTINGS, **changes)


def config(**changes: Any) -> Damage:
    return lambda folder: edit_json(folder / "config.json", **changes)


def head_config(**changes: Any) -> Damage:
    return lambda folder: edit_json(folder / HEAD_CONFIG, **changes)


def head(tensor: torch.Tensor | None) -> Damage:
    return lambda folder: edit_tensors(folder / HEAD, linear__weight=tensor)


def weight(name: str, tensor: torch.Tensor) -> Damage:
    return lambda folder: edit_tensors(folder / WEIGHTS, **{name: tensor})


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def special(role: str, token: str) -> Damage:
    return lambda folder: edit_json(folder / "tokenizer_config.json", **{role: token})


def module(place: int, **changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        modules = [dict(entry) for entry in MODULES]
        modules[place] |= changes
        write_json(folder / "modules.json", modules)

    return damage


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(folder: Path) -> None:
        document = json.loads((folder / "tokenizer.json").read_text())
        change(document)
        write_json(folder / "tokenizer.json", document)

    return damage


def as_pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def linked_out(folder: Path) -> None:
    outside = folder.parent / "outside"
    shutil.move(folder / "1_Dense", outside)
    (folder / "1_Dense").symlink_to(outside)


def spoiled(index: tuple[int, int], value: float) -> torch.Tensor:
    tensor = torch.ones(DIM, HIDDEN)
    tensor[index] = value
    return tensor


EMBEDDING = "embeddings__word_embeddings__weight"

DAMAGES: list[tuple[str, Damage, type[CheckpointError], tuple[str, ...]]] = [
    # Weights that are not there or not whole.
    ("no weights", lambda f: (f / WEIGHTS).unlink(), CheckpointError, ("no weights", WEIGHTS)),
    ("pickle", as_pickle, CheckpointError, ("pytorch_model.bin", "pickle", "safetensors")),
    ("empty", bytes_of(WEIGHTS, lambda _: b""), CheckpointError, (WEIGHTS, "empty file")),
    (
        "git-lfs pointer",
        bytes_of(WEIGHTS, lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        CheckpointError,
        (WEIGHTS, "git-lfs pointer"),
    ),
    ("cut header", bytes_of(WEIGHTS, lambda b: b[:100]), CheckpointError, (WEIGHTS, "incomplete")),
    ("cut data", bytes_of(WEIGHTS, lambda b: b[:-1]), CheckpointError, (WEIGHTS, "incomplete")),
    ("cut early", bytes_of(WEIGHTS, lambda b: b[:5]), CheckpointError, (WEIGHTS, "header")),
    ("longer", bytes_of(WEIGHTS, lambda b: b + b"0"), CheckpointError, (WEIGHTS, "safetensors")),
    ("other file", bytes_of(WEIGHTS, lambda _: b"PK" * 99), CheckpointError, (WEIGHTS, "header")),
    (
        "header no JSON",
        bytes_of(WEIGHTS, lambda b: b[:8] + b"?" + b[9:]),
        CheckpointError,
        (WEIGHTS, "header is damaged"),
    ),
    ("head cut", bytes_of(HEAD, lambda b: b[:-3]), CheckpointError, ("1_Dense", "incomplete")),
    # Values.
    (
        "NaN",
        head(spoiled((2, 3), torch.nan)),
        CheckpointError,
        ("linear.weight", "1 that", "(2, 3)"),
    ),
    (
        "Inf",
        head(spoiled((0, 5), torch.inf)),
        CheckpointError,
        ("linear.weight", "1 that", "(0, 5)"),
    ),
    (
        "zero head",
        head(torch.zeros(DIM, HIDDEN)),
        CheckpointError,
        ("linear.weight", f"{DIM * HIDDEN} zeros"),
    ),
    ("int8 head", head(torch.ones(DIM, HIDDEN).to(torch.int8)), CheckpointError, ("I8", "F32")),
    ("float64", head(torch.ones(DIM, HIDDEN).double()), CheckpointError, ("F64", "F32")),
    # Sizes that contradict.
    ("no head tensor", head(None), CheckpointError, ("1_Dense", "expected tensors")),
    (
        "narrow head",
        head(torch.ones(DIM, 33)),
        CheckpointError,
        (f"({DIM}, {HIDDEN})", f"({DIM}, 33)"),
    ),
    (
        "head of another encoder",
        lambda f: (head_config(in_features=32)(f), head(torch.ones(DIM, 32))(f)),
        CheckpointError,
        ("in_features 16", "got 32"),
    ),
    ("bias missing", head_config(bias=True), MissingWeightError, ("linear.bias",)),
    (
        "hidden size",
        config(hidden_size=24),
        CheckpointError,
        (f"({len(IDS)}, 24)", f"({len(IDS)}, 16)", "hidden_size"),
    ),
    (
        "vocab_size",
        config(vocab_size=99),
        CheckpointError,
        ("(99, 16)", f"({len(IDS)}, 16)", "vocab_size"),
    ),
    (
        "vocabulary larger than the embedding",
        lambda f: (
            config(vocab_size=50)(f),
            weight(EMBEDDING, torch.ones(50, HIDDEN))(f),
        ),
        CheckpointError,
        ("below 50", f"got {len(IDS) - 1}", "tokenizer.json"),
    ),
    # Lengths.
    ("length -1", setting(document_length=-1), CheckpointError, ("document_length", "-1")),
    ("length 3", setting(query_length=3), CheckpointError, ("query_length", "got 3")),
    (
        "beyond the positions",
        setting(document_length=POSITIONS + 1),
        CheckpointError,
        ("document_length", f"{POSITIONS} positions", f"got {POSITIONS + 1}"),
    ),
    ("length as text", setting(query_length="32"), CheckpointError, ("query_length", "integer")),
    ("length as flag", setting(query_length=True), CheckpointError, ("query_length", "integer")),
    ("flag as text", setting(do_query_expansion="no"), CheckpointError, ("do_query_expansion",)),
    ("skip words", setting(skiplist_words=[1]), CheckpointError, ("skiplist_words", "strings")),
    # Tokenizer.
    (
        "no tokenizer",
        lambda f: (f / "tokenizer.json").unlink(),
        CheckpointError,
        ("fast tokenizer",),
    ),
    (
        "tokenizer cut",
        bytes_of("tokenizer.json", lambda b: b[:200]),
        CheckpointError,
        ("tokenizer.json", "JSON"),
    ),
    (
        "tokenizer without vocabulary",
        tokenizer(lambda d: d["model"].update(vocab={})),
        CheckpointError,
        ("tokenizer.json", "vocabulary"),
    ),
    (
        "tokenizer without model",
        tokenizer(lambda d: d.pop("model")),
        CheckpointError,
        ("tokenizer.json", "model.vocab"),
    ),
    (
        "no start and end token",
        tokenizer(lambda d: d.update(post_processor=None)),
        CheckpointError,
        ("post_processor",),
    ),
    (
        "marker unknown",
        setting(query_prefix="[Q] "),
        CheckpointError,
        ("query marker '[Q] '", "one token"),
    ),
    (
        "marker is UNK",
        setting(document_prefix="[UNK]"),
        CheckpointError,
        ("document marker '[UNK]'",),
    ),
    (
        "mask token unknown",
        special("mask_token", "[GONE]"),
        CheckpointError,
        ("mask_token", "'[GONE]'"),
    ),
    (
        "special tokens contradict",
        lambda f: write_json(f / "special_tokens_map.json", {"mask_token": {"content": "[PAD]"}}),
        CheckpointError,
        ("mask_token", "'[MASK]'", "'[PAD]'"),
    ),
    (
        "lower-casing contradicts",
        lambda f: edit_json(f / "tokenizer_config.json", do_lower_case=False),
        CheckpointError,
        ("do_lower_case", "normalizer"),
    ),
    # Configs that name code or leave the folder.
    (
        "auto_map",
        config(auto_map={"AutoModel": "evil.Model"}),
        CheckpointError,
        ("evil.Model", "not run"),
    ),
    ("module type", module(1, type="os.getcwd"), CheckpointError, ("modules.json", "'os.getcwd'")),
    ("first module", module(0, type="pylate.models.Dense.Dense"), CheckpointError, ("module 0",)),
    ("path up", module(1, path="../outside"), CheckpointError, ("modules.json", "'../outside'")),
    ("path absolute", module(1, path="/etc"), CheckpointError, ("modules.json", "'/etc'")),
    ("path by link", linked_out, CheckpointError, ("modules.json", "'1_Dense'")),
    ("path to nothing", module(1, path="2_Dense"), CheckpointError, ("'2_Dense'", "not exist")),
    ("path no text", module(1, path=3), CheckpointError, ("modules.json", "type and path")),
    (
        "activation",
        head_config(activation_function="os.abort"),
        CheckpointError,
        ("activation_function", "'os.abort'", "Tanh"),
    ),
    ("dense key", head_config(scale=2.0), CheckpointError, ("1_Dense/config.json", "scale")),
    (
        "dense on the pooled vector",
        head_config(module_input_name="sentence_embedding"),
        CheckpointError,
        ("module_input_name", "'sentence_embedding'"),
    ),
    # Configs that are missing or malformed.
    (
        "no config",
        lambda f: (f / "config.json").unlink(),
        CheckpointError,
        ("config.json", "got none"),
    ),
    (
        "config no JSON",
        bytes_of("config.json", lambda b: b[:30]),
        CheckpointError,
        ("config.json", "JSON"),
    ),
    (
        "config a list",
        lambda f: write_json(f / "config.json", []),
        CheckpointError,
        ("config.json", "list"),
    ),
    ("no model type", config(model_type=None), CheckpointError, ("config.json", "model_type")),
    ("no hidden size", config(hidden_size=None), CheckpointError, ("config.json", "hidden_size")),
    (
        "deep JSON",
        lambda f: (f / "config.json").write_text("[" * 100_000),
        CheckpointError,
        ("config.json", "JSON"),
    ),
    (
        "no modules",
        lambda f: write_json(f / "modules.json", []),
        CheckpointError,
        ("modules.json",),
    ),
    (
        "no projection",
        lambda f: write_json(f / "modules.json", MODULES[:1]),
        CheckpointError,
        ("modules.json", "projection is missing"),
    ),
    (
        "a prompt before every text",
        setting(prompts={"search": "search: "}, default_prompt_name="search"),
        CheckpointError,
        ("default_prompt_name", "'search: '"),
    ),
]


@pytest.mark.parametrize(
    ("damage", "error", "fragments"),
    [entry[1:] for entry in DAMAGES],
    ids=[entry[0] for entry in DAMAGES],
)
def test_a_damaged_checkpoint_is_refused_with_its_cause(
    copy: Copy, damage: Damage, error: type[CheckpointError], fragments: tuple[str, ...]
) -> None:
    folder = copy()
    damage(folder)
    with pytest.raises(error) as caught:
        read_checkpoint(folder)
    message = str(caught.value)
    assert str(folder) in message
    for fragment in fragments:
        assert fragment in message


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
    tokenizer(lambda d: d["post_processor"]["special_tokens"]["[SEP]"].update(ids=[len(IDS)]))(
        folder
    )
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
    setting(document_prefix="[unused0]")(folder)
    assert read_checkpoint(folder).warnings == ("queries and documents have the same marker",)
