from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.checkpoint.layout_folders import M3_PIECES, m3_encoder, write_m3_tokenizer
from tests.tiny_checkpoint import HIDDEN, edit_json, write_json
from vespa_colbert.checkpoint import ReadOptions, read_checkpoint
from vespa_colbert.errors import CheckpointError, MissingWeightError
from vespa_colbert.files import digest_file
from vespa_colbert.model import build_encoder

Damage = Callable[[Path], object]

DIM, POSITIONS = 12, 600
IDS = {piece: place for place, piece in enumerate(M3_PIECES)}
HEAD, SPARSE, WEIGHTS = "colbert_linear.pt", "sparse_linear.pt", "pytorch_model.bin"
ALLOWED = ReadOptions(allow_pickle=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as FlagEmbedding leaves it: all weights in torch files."""
    folder = tmp_path_factory.mktemp("bge")
    model = m3_encoder(M3_PIECES, POSITIONS)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / WEIGHTS)
    torch.save(torch.nn.Linear(HIDDEN, DIM).state_dict(), folder / HEAD)
    torch.save(torch.nn.Linear(HIDDEN, 1).state_dict(), folder / SPARSE)
    write_m3_tokenizer(folder, M3_PIECES)
    # The folder of the dense model, which the published checkpoint has too.
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [{"path": "", "type": f"sentence_transformers.models.{kind}"} for kind in kinds]
    write_json(folder / "modules.json", modules)
    return folder


@pytest.fixture
def bge(source: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bge"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def state(path: Path) -> dict[str, Any]:
    return dict(torch.load(path, weights_only=True))


def test_facts_are_those_of_the_layout_and_the_files(bge: Path) -> None:
    checkpoint = read_checkpoint(bge, ALLOWED)
    assert checkpoint.layout == "bge-m3"
    assert checkpoint.dim == DIM
    assert (checkpoint.query_marker, checkpoint.document_marker) == (None, None)
    assert not checkpoint.query_expansion
    assert not checkpoint.expansion_attended
    assert (checkpoint.skip_words, checkpoint.skip_ids) == ((), ())
    assert not checkpoint.skip_queries
    assert checkpoint.start_row_dropped
    assert checkpoint.mean_score
    assert (checkpoint.lower_case, checkpoint.strip) == (False, False)
    ids = (checkpoint.start_id, checkpoint.pad_id, checkpoint.end_id, checkpoint.mask_id)
    assert ids == (0, 1, 2, IDS["<mask>"])
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (512, 512)
    assert checkpoint.encoder.positions == POSITIONS
    assert checkpoint.encoder.model_type == "xlm-roberta"
    assert checkpoint.warnings == ()


def test_weights_are_those_of_the_torch_files(bge: Path) -> None:
    checkpoint = read_checkpoint(bge, ALLOWED)
    (layer,) = checkpoint.projection
    head = state(bge / HEAD)
    assert np.array_equal(layer.weight, head["weight"].numpy())
    assert layer.bias is not None
    assert np.array_equal(layer.bias, head["bias"].numpy())
    assert (layer.activation, layer.residual) == ("identity", False)
    stored = state(bge / WEIGHTS)
    assert checkpoint.encoder.weights.keys() == stored.keys()
    for name, tensor in stored.items():
        assert np.array_equal(checkpoint.encoder.weights[name], tensor.numpy())
    for name in (WEIGHTS, HEAD, "config.json", "tokenizer.json"):
        assert checkpoint.files[name] == digest_file(bge / name)
    assert SPARSE not in checkpoint.files


def test_token_vectors_are_those_of_the_definition(bge: Path) -> None:
    import transformers

    encoder = build_encoder(read_checkpoint(bge, ALLOWED))
    ids, mask = torch.tensor([[0, 9, 20, 31, 2]]), torch.ones(1, 5, dtype=torch.int64)
    config = transformers.AutoConfig.from_pretrained(bge)
    model = transformers.XLMRobertaModel(config).eval()
    model.load_state_dict(state(bge / WEIGHTS))
    linear = torch.nn.Linear(HIDDEN, DIM)
    linear.load_state_dict(state(bge / HEAD))
    with torch.no_grad():
        rows = linear(model(ids, mask).last_hidden_state[:, 1:])
        wanted = torch.nn.functional.normalize(rows, dim=-1)
        got = encoder(ids, mask)[:, -4:]
    # The same float32 operations, in another order where the library fuses them.
    assert torch.allclose(got, wanted, atol=1e-6)


def test_every_fact_says_where_it_comes_from(bge: Path) -> None:
    provenance = read_checkpoint(bge, ALLOWED).provenance
    assert provenance["max_query_tokens"] == "default of FlagEmbedding 1.4.0"
    assert provenance["start_id"] == "tokenizer.json: post_processor"
    assert provenance["pad_id"] == "tokenizer_config.json: pad_token"
    stated = ReadOptions(allow_pickle=True, max_query_tokens=64, max_document_tokens=600)
    checkpoint = read_checkpoint(bge, stated)
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (64, 600)
    assert checkpoint.provenance["max_document_tokens"] == "stated by the user"


def test_an_encoder_with_fewer_positions_limits_the_default_lengths(bge: Path) -> None:
    stored = state(bge / WEIGHTS)
    name = "embeddings.position_embeddings.weight"
    torch.save({**stored, name: stored[name][:102].clone()}, bge / WEIGHTS)
    edit_json(bge / "config.json", max_position_embeddings=102)
    checkpoint = read_checkpoint(bge, ALLOWED)
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (100, 100)
    assert "positions" in checkpoint.provenance["max_query_tokens"]


def test_without_the_sparse_head_the_trained_one_is_read_and_a_warning_given(bge: Path) -> None:
    (bge / SPARSE).unlink()
    checkpoint = read_checkpoint(bge, ALLOWED)
    assert np.array_equal(checkpoint.projection[0].weight, state(bge / HEAD)["weight"].numpy())
    (warning,) = checkpoint.warnings
    assert SPARSE in warning
    assert "random" in warning


def test_safetensors_alone_need_no_permission(bge: Path) -> None:
    for old, new in ((WEIGHTS, "model.safetensors"), (HEAD, "colbert_linear.safetensors")):
        save_file({name: t.contiguous() for name, t in state(bge / old).items()}, bge / new)
        (bge / old).unlink()
    checkpoint = read_checkpoint(bge)
    head = load_file(bge / "colbert_linear.safetensors")
    assert np.array_equal(checkpoint.projection[0].weight, head["weight"].numpy())
    assert "colbert_linear.safetensors" in checkpoint.files
    (warning,) = checkpoint.warnings
    assert "random projection" in warning


def test_of_two_heads_the_one_that_is_no_pickle_is_read_and_that_is_said(bge: Path) -> None:
    weight, bias = torch.randn(4, HIDDEN), torch.randn(4)
    save_file({"weight": weight, "bias": bias}, bge / "colbert_linear.safetensors")
    checkpoint = read_checkpoint(bge, ALLOWED)
    assert np.array_equal(checkpoint.projection[0].weight, weight.numpy())
    (warning,) = checkpoint.warnings
    assert "colbert_linear.safetensors is read" in warning


def test_of_two_encoders_the_one_that_is_no_pickle_is_read(bge: Path) -> None:
    stored = {name: tensor + 1 for name, tensor in state(bge / WEIGHTS).items()}
    save_file(stored, bge / "model.safetensors")
    weights = read_checkpoint(bge, ALLOWED).encoder.weights
    for name, tensor in stored.items():
        assert np.array_equal(weights[name], tensor.numpy())


@pytest.mark.parametrize("name", [HEAD, WEIGHTS])
def test_a_torch_file_needs_permission(bge: Path, name: str) -> None:
    other = {HEAD: WEIGHTS, WEIGHTS: HEAD}[name]
    safe = {HEAD: "colbert_linear.safetensors", WEIGHTS: "model.safetensors"}[other]
    save_file({key: t.contiguous() for key, t in state(bge / other).items()}, bge / safe)
    (bge / other).unlink()
    with pytest.raises(CheckpointError, match="--allow-pickle") as caught:
        read_checkpoint(bge)
    assert str(bge / name) in str(caught.value)


def head(**tensors: torch.Tensor | None) -> Damage:
    def damage(folder: Path) -> None:
        content = state(folder / HEAD) | tensors
        kept = {name: tensor for name, tensor in content.items() if tensor is not None}
        torch.save(kept, folder / HEAD)

    return damage


def spoiled(value: float) -> torch.Tensor:
    tensor = torch.ones(DIM, HIDDEN)
    tensor[2, 3] = value
    return tensor


class Touches:
    """Pickles as a command that makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def without_end_token(folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text())
    document["post_processor"] = None
    write_json(folder / "tokenizer.json", document)


def as_text(path: Path, text: bytes) -> None:
    path.write_bytes(text)


DAMAGES: dict[str, tuple[Damage, type[CheckpointError], tuple[str, ...]]] = {
    "no bias": (head(bias=None), MissingWeightError, (HEAD, "weight and bias")),
    "no weight": (head(weight=None), MissingWeightError, (HEAD, "expected the tensors weight")),
    "a tensor more": (head(scale=torch.ones(1)), MissingWeightError, (HEAD, "bias, scale, weight")),
    "NaN": (head(weight=spoiled(torch.nan)), CheckpointError, (HEAD, "weight", "(2, 3)")),
    "Inf in the bias": (
        head(bias=torch.full((DIM,), torch.inf)),
        CheckpointError,
        (HEAD, "bias", f"got {DIM} that are"),
    ),
    "zero weight": (head(weight=torch.zeros(DIM, HIDDEN)), CheckpointError, (HEAD, "zeros")),
    "head of another encoder": (
        head(weight=torch.ones(DIM, 8)),
        CheckpointError,
        (f"in_features {HIDDEN}", "got 8"),
    ),
    "bias of another width": (
        head(bias=torch.ones(3)),
        CheckpointError,
        (HEAD, f"shape ({DIM},)", "(3,)"),
    ),
    "weight a vector": (head(weight=torch.ones(DIM)), CheckpointError, (HEAD, "float matrix")),
    "weight of no rows": (
        head(weight=torch.ones(0, HIDDEN), bias=torch.ones(0)),
        CheckpointError,
        (HEAD, "float matrix", f"(0, {HIDDEN})"),
    ),
    "weight of whole numbers": (
        head(weight=torch.ones(DIM, HIDDEN).long()),
        CheckpointError,
        (HEAD, "float matrix", "int64"),
    ),
    "float64 head": (head(bias=torch.ones(DIM).double()), CheckpointError, (HEAD, "F64")),
    "empty head": (lambda f: as_text(f / HEAD, b""), CheckpointError, (HEAD, "empty file")),
    "head a git-lfs pointer": (
        lambda f: as_text(f / HEAD, b"version https://git-lfs.github.com/spec/v1\n"),
        CheckpointError,
        (HEAD, "git lfs pull"),
    ),
    "head cut": (
        lambda f: as_text(f / HEAD, (f / HEAD).read_bytes()[:-100]),
        CheckpointError,
        (HEAD, "incomplete"),
    ),
    "head a module": (
        lambda f: torch.save(torch.nn.Linear(HIDDEN, DIM), f / HEAD),
        CheckpointError,
        (HEAD, "torch.nn.modules.linear.Linear", "not imported"),
    ),
    "head that runs code": (
        lambda f: torch.save({"weight": Touches(f / "canary")}, f / HEAD),
        CheckpointError,
        (HEAD, "system", "not imported"),
    ),
    "encoder that runs code": (
        lambda f: torch.save({"weight": Touches(f / "canary")}, f / WEIGHTS),
        CheckpointError,
        (WEIGHTS, "system", "not imported"),
    ),
    "no encoder weights": (
        lambda f: (f / WEIGHTS).unlink(),
        CheckpointError,
        ("model.safetensors", "colbert_linear.pt"),
    ),
    "no tokenizer": (
        lambda f: (f / "tokenizer.json").unlink(),
        CheckpointError,
        ("fast tokenizer",),
    ),
    "no end token": (without_end_token, CheckpointError, ("post_processor",)),
    "no config": (lambda f: (f / "config.json").unlink(), CheckpointError, ("config.json",)),
    "auto_map": (
        lambda f: edit_json(f / "config.json", auto_map={"AutoModel": "evil.Model"}),
        CheckpointError,
        ("evil.Model", "not run"),
    ),
}


@pytest.mark.parametrize(("damage", "error", "fragments"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_refused_with_its_cause(
    bge: Path, damage: Damage, error: type[CheckpointError], fragments: tuple[str, ...]
) -> None:
    damage(bge)
    with pytest.raises(error) as caught:
        read_checkpoint(bge, ALLOWED)
    message = str(caught.value)
    assert str(bge) in message
    for fragment in fragments:
        assert fragment in message
    assert not (bge / "canary").exists()


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (ReadOptions(allow_pickle=True, query_marker="<mask>"), "query_marker: '<mask>' stated"),
        (ReadOptions(allow_pickle=True, query_expansion=True), "query_expansion: True stated"),
        (ReadOptions(allow_pickle=True, skip_words=(".",)), "skip_words"),
        (ReadOptions(allow_pickle=True, max_query_tokens=601), "600 positions"),
        (ReadOptions(allow_pickle=True, head=Path("head.pt")), "leave out --head"),
    ],
)
def test_what_is_stated_against_the_layout_is_refused(
    bge: Path, options: ReadOptions, fragment: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(bge, options)
    assert fragment in str(caught.value)
