from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import ArrayError, IndexFolderError, OutputError
from vespa_colbert.evaluate import StoredVectors, missing_texts, open_vectors, store_vectors

ORIGIN = {"model": "a", "tokenizer": "b"}
DIM = 4
TEXTS = ["one", "two two", "", "four 🦊"]


class Embedder:
    """Gives a row for each character, and remembers what it was asked."""

    def __init__(self, *, dies_at: str = "") -> None:
        self.asked: list[str] = []
        self.dies_at = dies_at

    def __call__(self, text: str) -> TokenVectors:
        if self.dies_at and text == self.dies_at:
            raise KeyboardInterrupt
        self.asked.append(text)
        return rows_of(text)


def rows_of(text: str) -> TokenVectors:
    codes = np.array([ord(each) for each in text], np.float32)
    return (codes[:, np.newaxis] + np.arange(DIM) / 8).astype(np.float32)


def opened(path: Path, origin: dict[str, str] = ORIGIN) -> StoredVectors:
    return open_vectors(path, dim=DIM, origin=origin)


def stored(path: Path, texts: Iterable[str], embed: Embedder) -> StoredVectors:
    before = opened(path)
    return store_vectors(before, missing_texts(before, texts), embed, origin=ORIGIN)


def test_vectors_come_back_to_the_last_bit(tmp_path: Path) -> None:
    found = stored(tmp_path / "v.bin", TEXTS, Embedder())

    for text in TEXTS:
        assert np.array_equal(found.embed(text), rows_of(text))
        assert found.embed(text).dtype == np.float32
    assert found.embed("").shape == (0, DIM)


def test_a_text_is_embedded_once_and_kept_for_the_next_run(tmp_path: Path) -> None:
    first, second = Embedder(), Embedder()

    stored(tmp_path / "v.bin", ["one", "one", "two two"], first)
    stored(tmp_path / "v.bin", TEXTS, second)

    assert first.asked == ["one", "two two"]
    assert second.asked == ["", "four 🦊"]
    assert missing_texts(opened(tmp_path / "v.bin"), TEXTS) == []


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    with pytest.raises(KeyboardInterrupt):
        stored(path, TEXTS, Embedder(dies_at="four 🦊"))
    assert not path.exists()
    again = Embedder()

    found = stored(path, TEXTS, again)

    assert again.asked == ["four 🦊"]
    assert all(text in found for text in TEXTS)


@pytest.mark.parametrize("lost", [1, 7, 16, 30, 65])
def test_a_file_that_was_cut_keeps_its_whole_records(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "v.bin"
    stored(path, TEXTS, Embedder())
    path.write_bytes(path.read_bytes()[:-lost])

    left = opened(path)
    again = Embedder()
    found = stored(path, TEXTS, again)

    assert "four 🦊" not in left
    assert "two two" in left
    assert "four 🦊" in again.asked
    assert all(np.array_equal(found.embed(text), rows_of(text)) for text in TEXTS)


def test_a_changed_byte_is_found_and_embedded_again(tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    first = stored(path, TEXTS, Embedder())
    start, _rows = list(first.places.values())[1]
    damaged = bytearray(path.read_bytes())
    damaged[start + 5] ^= 1
    path.write_bytes(bytes(damaged))
    again = Embedder()

    found = stored(path, TEXTS, again)

    assert again.asked == TEXTS[1:]
    assert all(np.array_equal(found.embed(text), rows_of(text)) for text in TEXTS)


def test_vectors_of_another_model_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    stored(path, TEXTS, Embedder())

    assert not opened(path, {**ORIGIN, "model": "c"}).places
    assert not open_vectors(path, dim=DIM + 1, origin=ORIGIN).places


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    path.write_bytes(b"my thesis\n" * 300)

    with pytest.raises(OutputError, match="another kind"):
        opened(path)

    assert path.read_bytes().startswith(b"my thesis")


def test_a_text_that_was_not_embedded_is_an_error(tmp_path: Path) -> None:
    found = stored(tmp_path / "v.bin", ["one"], Embedder())

    with pytest.raises(IndexFolderError, match="'else'"):
        found.embed("else")


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    before = opened(tmp_path / "v.bin")

    with pytest.raises(ArrayError, match="token vectors"):
        store_vectors(before, ["one"], lambda _text: np.zeros((1, 5), np.float32), origin=ORIGIN)
