from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.tiny_checkpoint import DIM, HIDDEN, IDS
from vespa_colbert.checkpoint import (
    ProjectionLayer,
    PyLateSettings,
    read_checkpoint,
    read_checksums,
    write_pylate_checkpoint,
)
from vespa_colbert.checkpoint.folder import CHECKSUMS_FILE
from vespa_colbert.errors import CheckpointError, OutputError
from vespa_colbert.files import digest_file

SETTINGS = PyLateSettings(
    query_prefix="[unused1]",
    document_prefix="[unused0]",
    query_length=12,
    document_length=30,
    do_query_expansion=False,
    skiplist_words=(".", ","),
)


def layers() -> tuple[ProjectionLayer, ...]:
    generator = np.random.default_rng(3)

    def matrix(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return generator.standard_normal(shape).astype(np.float32)

    return (
        ProjectionLayer(
            weight=matrix(DIM, HIDDEN),
            bias=matrix(DIM),
            activation="tanh",
            residual=True,
            residual_weight=matrix(DIM, HIDDEN),
        ),
        ProjectionLayer(weight=matrix(DIM, DIM), residual=True),
    )


def test_what_is_written_is_read_back(tiny_checkpoint: Path, tmp_path: Path) -> None:
    projection = layers()
    folder = write_pylate_checkpoint(
        tmp_path / "out", encoder=tiny_checkpoint, projection=projection, settings=SETTINGS
    )
    read = read_checkpoint(folder)
    assert read.query_marker is not None
    assert read.document_marker is not None
    assert (read.query_marker.id, read.document_marker.id) == (IDS["[unused1]"], IDS["[unused0]"])
    assert (read.max_query_tokens, read.max_document_tokens) == (12, 30)
    assert not read.query_expansion
    assert read.skip_words == (".", ",")
    source = read_checkpoint(tiny_checkpoint)
    assert read.tokenizer.text == source.tokenizer.text
    for name, array in source.encoder.weights.items():
        assert np.array_equal(read.encoder.weights[name], array)
    for wanted, got in zip(projection, read.projection, strict=True):
        assert (wanted.activation, wanted.residual) == (got.activation, got.residual)
        for field in ("weight", "bias", "residual_weight"):
            assert np.array_equal(getattr(wanted, field), getattr(got, field))


def test_given_weights_take_the_place_of_the_encoders(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    weights = load_file(tiny_checkpoint / "model.safetensors")
    weights["embeddings.LayerNorm.bias"] += np.float32(1)
    folder = write_pylate_checkpoint(
        tmp_path / "out",
        encoder=tiny_checkpoint,
        projection=layers(),
        settings=SETTINGS,
        weights=weights,
    )
    read = read_checkpoint(folder).encoder.weights["embeddings.LayerNorm.bias"]
    assert np.array_equal(read, weights["embeddings.LayerNorm.bias"])


def test_the_same_arguments_give_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        folder = write_pylate_checkpoint(
            tmp_path / name, encoder=tiny_checkpoint, projection=layers(), settings=SETTINGS
        )
        digests.append({
            p.relative_to(folder): digest_file(p) for p in folder.rglob("*") if p.is_file()
        })
    assert digests[0] == digests[1]
    assert len(digests[0]) >= 8


def test_checksums_tell_whether_anything_changed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = write_pylate_checkpoint(
        tmp_path / "out",
        encoder=tiny_checkpoint,
        projection=layers(),
        settings=SETTINGS,
        origin={"seed": 5},
    )
    written = read_checksums(folder)
    assert written is not None
    assert written.origin == {"seed": 5}
    head = folder / "1_Dense" / "model.safetensors"
    whole = head.read_bytes()
    head.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert read_checksums(folder) is None


def test_a_folder_of_somebody_elses_files_is_left_alone(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="left alone"):
        write_pylate_checkpoint(
            tmp_path / "out", encoder=tiny_checkpoint, projection=layers(), settings=SETTINGS
        )
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("settings", "projection", "fragment"),
    [
        (replace(SETTINGS, query_prefix="[Q] "), layers(), "query marker"),
        (replace(SETTINGS, document_length=999), layers(), "document_length"),
        (SETTINGS, layers()[1:], "in_features"),
        (SETTINGS, (), "projection"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    tiny_checkpoint: Path,
    tmp_path: Path,
    settings: PyLateSettings,
    projection: tuple[ProjectionLayer, ...],
    fragment: str,
) -> None:
    with pytest.raises(CheckpointError, match=fragment) as caught:
        write_pylate_checkpoint(
            tmp_path / "out", encoder=tiny_checkpoint, projection=projection, settings=settings
        )
    assert str(tmp_path / "out") in str(caught.value)
    assert ".part" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_without_weights_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (bare / name).write_bytes((tiny_checkpoint / name).read_bytes())
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        write_pylate_checkpoint(
            tmp_path / "out", encoder=bare, projection=layers(), settings=SETTINGS
        )
    assert not (tmp_path / "out").exists()


def test_no_checksums_where_nothing_was_written(tiny_checkpoint: Path) -> None:
    assert not (tiny_checkpoint / CHECKSUMS_FILE).exists()
    assert read_checksums(tiny_checkpoint) is None
