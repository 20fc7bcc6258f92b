"""Single bits turned over in the files of an exported model and of a checkpoint.

A model folder has checksums: every flip is found. A checkpoint has none. There a flip in a header
or a config is refused or changes a value that another checkpoint might well have; one in the
values of a tensor cannot be told from another training run, unless it makes a NaN.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.bare_model_folders import FACTS
from tests.checkpoint.conftest import Fresh
from tests.checkpoint.layout_folders import (
    BGE_M3,
    LAYOUTS,
    METADATA,
    MULTI,
    PYLATE,
    STANFORD,
    WEIGHTS,
    LayoutFiles,
)
from tests.checkpoint.test_damage import facts
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import ExportError, VespaColbertError
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    ModelFolder,
    read_model_folder,
)
from vespa_colbert.files import digest_file
from vespa_colbert.model import build_encoder

FLIPS = 1000
FLIPS_OF_A_LAYOUT = 100
"""Each reads a whole checkpoint."""
TRUNCATIONS = 100


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as export leaves it; for checksums it is all one what the graph computes."""
    random = np.random.default_rng(5)
    path = tmp_path / "model"
    path.mkdir()
    (path / MODEL_FILE).write_bytes(random.bytes(3000))
    (path / TOKENIZER_FILE).write_text(json.dumps({"model": {"vocab": {"rose": 1}}}) * 40)
    folder = ModelFolder(
        path=path,
        embedder=FACTS,
        packaging="native",
        checkpoint={"name": "tiny", "layout": "pylate"},
        versions={"torch": "2.15.0"},
        graph={"opset": 17, "inputs": ["input_ids", "attention_mask"]},
        verification={"cases": [{"worst": 1e-7}], "tolerance": 1e-05},
        files={name: digest_file(path / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    (path / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    return path


def flips(path: Path, count: int, seed: int, *, end: int | None = None) -> Iterator[str]:
    """Turn one bit of a file over, yield where, and turn it back; ``end`` limits the bytes."""
    whole = path.read_bytes()
    random = np.random.default_rng(seed)
    for _ in range(count):
        place, bit = int(random.integers(end or len(whole))), int(random.integers(8))
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        path.write_bytes(changed)
        yield f"{path.name}: byte {place}, bit {bit}"
    path.write_bytes(whole)


def refusal(read: Callable[[], object]) -> str:
    """Return the message of the package's own error, empty if there is none."""
    try:
        read()
    except VespaColbertError as error:
        return str(error)
    return ""


def leaves(document: object) -> int:
    """Return how many values a JSON document says."""
    if isinstance(document, dict):
        return sum(leaves(each) for each in document.values())
    if isinstance(document, list):
        return sum(leaves(each) for each in document)
    return 1


def values(checkpoint: Checkpoint) -> list[tuple[tuple[int, ...], bytes]]:
    """Return shape and bytes of every tensor, whatever its name."""
    layers = [layer.weight for layer in checkpoint.projection]
    arrays = [*checkpoint.encoder.weights.values(), *layers]
    return sorted((array.shape, array.tobytes()) for array in arrays)


def parameters(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return every number of the module by its name there."""
    state = build_encoder(checkpoint).state_dict()
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}


def test_every_flipped_bit_of_a_model_folder_is_found(model: Path) -> None:
    assert read_model_folder(model).embedder == FACTS
    names = (MODEL_FILE, TOKENIZER_FILE, EMBEDDER_FILE)
    for seed, name in enumerate(names):
        count = FLIPS // len(names) + (name == MODEL_FILE)
        for where in flips(model / name, count, seed):
            assert str(model / name) in refusal(lambda: read_model_folder(model)), where
    assert read_model_folder(model).embedder == FACTS


@pytest.mark.parametrize("name", [MODEL_FILE, TOKENIZER_FILE, EMBEDDER_FILE])
def test_every_truncation_of_a_model_folder_is_found(model: Path, name: str) -> None:
    whole = (model / name).read_bytes()
    for size in {*range(0, len(whole), len(whole) // TRUNCATIONS), len(whole) - 1}:
        (model / name).write_bytes(whole[:size])
        with pytest.raises(ExportError, match=name):
            read_model_folder(model)


def test_a_manifest_edited_by_hand_is_found(model: Path) -> None:
    text, stated = (model / EMBEDDER_FILE).read_text(), f'"max_tokens": {FACTS.max_tokens}'
    assert stated in text
    (model / EMBEDDER_FILE).write_text(text.replace(stated, '"max_tokens": 63'))
    with pytest.raises(ExportError, match="checksum"):
        read_model_folder(model)


CONFIGS = {
    PYLATE: ("config.json", "modules.json", "config_sentence_transformers.json", "tokenizer.json"),
    STANFORD: ("config.json", METADATA, "tokenizer_config.json", "tokenizer.json"),
    MULTI: ("modules.json", "sentence_bert_config.json", "1_Dense/config.json", "tokenizer.json"),
    BGE_M3: ("config.json", "tokenizer_config.json", "tokenizer.json"),
}


@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_a_flipped_bit_of_a_config_is_refused_or_changes_a_value(
    fresh: Fresh, files: LayoutFiles
) -> None:
    folder, refused = fresh(files), 0
    for seed, name in enumerate(CONFIGS[files]):
        before = leaves(json.loads((folder / name).read_text()))
        for where in flips(folder / name, FLIPS_OF_A_LAYOUT // len(CONFIGS[files]), seed):
            if message := refusal(lambda: read_checkpoint(folder)):
                assert str(folder) in message, where
                refused += 1
            else:
                # Another key or value then: no more and no less is said.
                assert leaves(json.loads((folder / name).read_text())) == before, where
    assert refused > FLIPS_OF_A_LAYOUT // 3


@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_a_flipped_bit_of_a_weights_header_changes_no_value(
    fresh: Fresh, files: LayoutFiles
) -> None:
    folder = fresh(files)
    end = 8 + int.from_bytes((folder / WEIGHTS).read_bytes()[:8], "little")
    wanted, refused = read_checkpoint(folder), 0
    for where in flips(folder / WEIGHTS, FLIPS_OF_A_LAYOUT, 7, end=end):
        if message := refusal(lambda: read_checkpoint(folder)):
            assert str(folder) in message, where
            refused += 1
            continue
        found = read_checkpoint(folder)
        assert values(found) == values(wanted), where
        if found.encoder.weights.keys() != wanted.encoder.weights.keys():
            # Another name for a tensor: the module lacks it, or it is one that no row depends on.
            message = refusal(partial(build_encoder, found))
            assert "exactly those" in message or parameters(found) == parameters(wanted), where
    assert refused > FLIPS_OF_A_LAYOUT // 3


def test_a_flipped_bit_of_the_values_is_not_found_without_checksums(fresh: Fresh) -> None:
    folder = fresh(PYLATE)
    path = folder / WEIGHTS
    wanted, whole = facts(read_checkpoint(folder)), path.read_bytes()
    path.write_bytes(whole[:-4] + bytes([whole[-4] ^ 1]) + whole[-3:])
    assert len(safetensors.numpy.load_file(path)) > 0
    assert facts(read_checkpoint(folder)) != wanted
