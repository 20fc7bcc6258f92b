"""The codec's folder: what is written is read, what is damaged or another's is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.codec.codec_cases import trained
from vespa_colbert.codec import read_codec, require_model, write_codec
from vespa_colbert.errors import OutputError, SpecError


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_codec_is_read_as_it_was_written(tmp_path: Path, bits: int) -> None:
    codec = trained(bits, 32, model="abc")
    write_codec(codec, tmp_path / "codec")
    found = read_codec(tmp_path / "codec")
    for name in ("centroids", "cutoffs", "weights"):
        assert getattr(found, name).tobytes() == getattr(codec, name).tobytes()
    assert (found.average_residual, found.model) == (codec.average_residual, "abc")


def test_every_flipped_bit_of_the_centroids_is_found(tmp_path: Path) -> None:
    write_codec(trained(2, 16), tmp_path / "codec")
    path = tmp_path / "codec" / "centroids.tbf"
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 50).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(damaged))
        with pytest.raises(SpecError, match="damaged"):
            read_codec(tmp_path / "codec")


def test_a_manifest_that_says_something_else_is_refused(tmp_path: Path) -> None:
    write_codec(trained(2, 16), tmp_path / "codec")
    path = tmp_path / "codec" / "codec.json"
    said = json.loads(path.read_text())
    for change, fault in (
        ({"format": 2}, "format 1, got 2"),
        ({"bits": 4}, "as it says"),
        ({"dim": 32}, "expected tensor"),
        ({"weights": [1.0]}, "2, 4 or 16"),
        ({"cutoffs": "many"}, "not a valid manifest"),
        ({"files": {}}, "expected format 1"),
    ):
        path.write_text(json.dumps(said | change))
        with pytest.raises(SpecError, match=fault):
            read_codec(tmp_path / "codec")
    path.write_text("[]")
    with pytest.raises(SpecError, match="not a valid manifest"):
        read_codec(tmp_path / "codec")


def test_no_codec_is_said_to_be_none_and_another_s_folder_stays(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="train-codec"):
        read_codec(tmp_path / "nothing")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="left alone"):
        write_codec(trained(2, 16), tmp_path / "mine")


def test_vectors_of_another_model_are_refused_with_both_named() -> None:
    codec = trained(2, 16, model="1" * 64)
    require_model(codec, "1" * 64, "index")
    require_model(codec, "", "index")
    with pytest.raises(SpecError, match="index: made with model 222222222222….*model 111111111111"):
        require_model(codec, "2" * 64, "index")
