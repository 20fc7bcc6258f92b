from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_checkpoint import DIM, HIDDEN, IDS, edit_json
from vespa_colbert.checkpoint import Checkpoint, Marker, ReadOptions, read_checkpoint
from vespa_colbert.errors import CheckpointError, MissingWeightError, UnknownLayoutError
from vespa_colbert.files import digest_file
from vespa_colbert.model import build_encoder

Copy = Callable[[], Path]


def options(head: Path) -> ReadOptions:
    return ReadOptions(
        head=head,
        query_marker="[unused0]",
        document_marker="[unused1]",
        max_query_tokens=10,
        max_document_tokens=20,
    )


@pytest.fixture
def encoder(copy: Copy) -> Path:
    """The folder of the encoder alone: nothing in it says that it is half of a ColBERT model."""
    folder = copy()
    for name in ("modules.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    for path in (folder / "1_Dense").iterdir():
        path.unlink()
    (folder / "1_Dense").rmdir()
    return folder


@pytest.fixture
def head(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The projection of the tiny checkpoint in a file of its own."""
    path = tmp_path / "heads" / "head.safetensors"
    path.parent.mkdir()
    path.write_bytes((tiny_checkpoint / "1_Dense" / "model.safetensors").read_bytes())
    return path


def test_what_the_user_states_is_used(encoder: Path, head: Path) -> None:
    checkpoint = read_checkpoint(encoder, options(head))
    assert checkpoint.layout == "plain"
    assert checkpoint.dim == DIM
    assert checkpoint.query_marker == Marker(text="[unused0]", id=IDS["[unused0]"])
    assert checkpoint.document_marker == Marker(text="[unused1]", id=IDS["[unused1]"])
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (10, 20)
    ids = (checkpoint.start_id, checkpoint.end_id, checkpoint.mask_id, checkpoint.pad_id)
    assert ids == tuple(IDS[token] for token in ("[CLS]", "[SEP]", "[MASK]", "[PAD]"))
    assert checkpoint.query_expansion
    assert not checkpoint.expansion_attended
    assert checkpoint.skip_words == tuple(string.punctuation)
    assert checkpoint.skip_ids == tuple(IDS[c] for c in string.punctuation)
    assert not checkpoint.start_row_dropped
    assert not checkpoint.mean_score
    assert checkpoint.provenance["query_marker"] == "stated by the user"
    assert checkpoint.provenance["skip_words"] == "default of ColBERT"
    assert checkpoint.warnings == ()


def test_the_model_is_that_of_the_two_parts(
    tiny_checkpoint: Path, encoder: Path, head: Path
) -> None:
    whole, parts = read_checkpoint(tiny_checkpoint), read_checkpoint(encoder, options(head))
    ids, mask = torch.tensor([[4, 1, 50, 60, 5]]), torch.ones(1, 5, dtype=torch.int64)
    with torch.no_grad():
        assert torch.equal(build_encoder(parts)(ids, mask), build_encoder(whole)(ids, mask))
    assert parts.files["head: head.safetensors"] == digest_file(head)
    assert parts.files["model.safetensors"] == digest_file(encoder / "model.safetensors")


def test_options_replace_the_defaults(encoder: Path, head: Path) -> None:
    stated = replace(
        options(head), query_expansion=True, expansion_attended=True, skip_words=(".", "rose")
    )
    checkpoint = read_checkpoint(encoder, stated)
    assert checkpoint.expansion_attended
    assert checkpoint.skip_ids == (IDS["."], IDS["rose"])
    assert checkpoint.provenance["skip_words"] == "stated by the user"
    none = replace(
        options(head), query_marker="", document_marker="", query_expansion=False, skip_words=()
    )
    checkpoint = read_checkpoint(encoder, none)
    assert (checkpoint.query_marker, checkpoint.document_marker) == (None, None)
    assert not checkpoint.query_expansion
    assert checkpoint.skip_ids == ()


@pytest.mark.parametrize("prefix", ["", "linear."])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_heads_of_every_form_are_read(
    encoder: Path, tmp_path: Path, prefix: str, biased: bool, suffix: str
) -> None:
    tensors = {f"{prefix}weight": torch.randn(6, HIDDEN)}
    if biased:
        tensors[f"{prefix}bias"] = torch.randn(6)
    path = tmp_path / f"head{suffix}"
    if suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    stated = replace(options(path), allow_pickle=suffix != ".safetensors")
    (layer,) = read_checkpoint(encoder, stated).projection
    assert np.array_equal(layer.weight, tensors[f"{prefix}weight"].numpy())
    assert (layer.bias is not None) == biased
    if layer.bias is not None:
        assert np.array_equal(layer.bias, tensors[f"{prefix}bias"].numpy())
    assert (layer.activation, layer.residual) == ("identity", False)


def test_a_head_in_the_folder_goes_by_its_name(encoder: Path, head: Path) -> None:
    inside = encoder / "head.safetensors"
    inside.write_bytes(head.read_bytes())
    assert "head.safetensors" in read_checkpoint(encoder, options(inside)).files


def test_an_encoder_in_a_torch_file_is_read_where_that_is_allowed(
    encoder: Path, head: Path
) -> None:
    stored = load_file(encoder / "model.safetensors")
    torch.save(stored, encoder / "pytorch_model.bin")
    (encoder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        read_checkpoint(encoder, options(head))
    checkpoint = read_checkpoint(encoder, replace(options(head), allow_pickle=True))
    assert checkpoint.encoder.weights.keys() == stored.keys()


def test_all_that_is_missing_is_said_together(encoder: Path, head: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(encoder, ReadOptions(head=head, document_marker="[unused1]"))
    message = str(caught.value)
    for flag in ("--query-marker", "--max-query-tokens", "--max-document-tokens"):
        assert flag in message
    assert "--document-marker" not in message
    assert str(encoder) in message


def test_without_a_head_no_layout_fits_and_the_flag_is_named(encoder: Path) -> None:
    with pytest.raises(UnknownLayoutError, match=r"plain: no head is named \(--head FILE\)"):
        read_checkpoint(encoder)


def test_a_head_beside_a_checkpoint_that_has_its_own_is_refused(
    tiny_checkpoint: Path, head: Path
) -> None:
    with pytest.raises(CheckpointError, match="pylate checkpoint, which has its own"):
        read_checkpoint(tiny_checkpoint, options(head))


def test_what_is_stated_otherwise_than_a_checkpoint_says_is_refused(tiny_checkpoint: Path) -> None:
    stated = ReadOptions(query_marker="[unused1]", max_query_tokens=32, max_document_tokens=20)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tiny_checkpoint, stated)
    message = str(caught.value)
    assert "query_marker: '[unused1]' stated, '[unused0]' in the checkpoint" in message
    assert "max_query_tokens: 32 stated, 10 in the checkpoint" in message
    assert "config_sentence_transformers.json: query_length" in message
    assert "max_document_tokens" not in message


def test_what_is_stated_as_a_checkpoint_says_it_changes_nothing(tiny_checkpoint: Path) -> None:
    stated = ReadOptions(
        query_marker="[unused0]",
        max_query_tokens=10,
        query_expansion=True,
        expansion_attended=False,
        skip_words=tuple(string.punctuation),
    )

    def facts(checkpoint: Checkpoint) -> tuple[object, ...]:
        return checkpoint.query_marker, checkpoint.skip_ids, checkpoint.provenance

    assert facts(read_checkpoint(tiny_checkpoint, stated)) == facts(
        read_checkpoint(tiny_checkpoint)
    )


HeadDamage = Callable[[Path], object]

DAMAGES: dict[str, tuple[HeadDamage, type[CheckpointError], tuple[str, ...]]] = {
    "missing": (lambda path: path.unlink(), CheckpointError, ("head.safetensors", "got none")),
    "empty": (lambda path: path.write_bytes(b""), CheckpointError, ("empty file",)),
    "cut": (
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        CheckpointError,
        ("incomplete",),
    ),
    "no tensors": (lambda path: save_file({}, path), MissingWeightError, ("weight",)),
    "other names": (
        lambda path: save_file({"proj.weight": torch.ones(DIM, HIDDEN)}, path),
        MissingWeightError,
        ("got proj.weight",),
    ),
    "two layers": (
        lambda path: save_file(
            {"weight": torch.ones(DIM, HIDDEN), "linear.weight": torch.ones(DIM, HIDDEN)}, path
        ),
        MissingWeightError,
        ("got linear.weight, weight",),
    ),
    "NaN": (
        lambda path: save_file({"weight": torch.full((DIM, HIDDEN), torch.nan)}, path),
        CheckpointError,
        ("weight", "(0, 0)"),
    ),
    "zeros": (
        lambda path: save_file({"weight": torch.zeros(DIM, HIDDEN)}, path),
        CheckpointError,
        ("zeros",),
    ),
    "another width": (
        lambda path: save_file({"weight": torch.ones(DIM, HIDDEN + 1)}, path),
        CheckpointError,
        (f"in_features {HIDDEN}", f"got {HIDDEN + 1}"),
    ),
    "bias of another width": (
        lambda path: save_file({"weight": torch.ones(DIM, HIDDEN), "bias": torch.ones(1)}, path),
        CheckpointError,
        ("bias", f"({DIM},)"),
    ),
}


@pytest.mark.parametrize(("damage", "error", "fragments"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_head_is_refused_with_its_cause(
    encoder: Path,
    head: Path,
    damage: HeadDamage,
    error: type[CheckpointError],
    fragments: tuple[str, ...],
) -> None:
    damage(head)
    with pytest.raises(error) as caught:
        read_checkpoint(encoder, options(head))
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"query_marker": "[Q] "}, "query marker '[Q] '"),
        ({"document_marker": "[UNK]"}, "document marker '[UNK]'"),
        ({"max_query_tokens": 3}, "got 3"),
        ({"max_document_tokens": 65}, "64 positions"),
        ({"query_expansion": False, "expansion_attended": True}, "expansion_attended: True stated"),
        ({"head": Path("nowhere.pt")}, "--allow-pickle"),
    ],
)
def test_what_cannot_be_is_refused(
    encoder: Path, head: Path, changes: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(encoder, replace(options(head), **changes))
    assert fragment in str(caught.value)
    assert str(encoder) in str(caught.value)


def test_code_that_the_encoder_names_is_not_run(encoder: Path, head: Path) -> None:
    edit_json(encoder / "config.json", auto_map={"AutoModel": "evil.Model"})
    with pytest.raises(CheckpointError, match=r"evil\.Model"):
        read_checkpoint(encoder, options(head))
