"""Differences that were put there are found; where there is none, none is."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.diagnose.conftest import Made
from tests.diagnose.planted import (
    MODELS,
    PROMPTED,
    TEXTS,
    WHITE,
    Plant,
    copied,
    edit_weights,
    foreign,
)
from vespa_colbert.checkpoint import ReadOptions, StatedFacts
from vespa_colbert.diagnose import Diagnosis, Side, black_box, diagnose, open_side
from vespa_colbert.diagnose.closeness import FLOAT32

pytestmark = pytest.mark.filterwarnings("default")

CLS, MEAN, XLM = MODELS


def side(given: Any) -> Side:
    """Return a side from a folder, a function or vectors."""
    if isinstance(given, Path):
        options, stated = ReadOptions(), StatedFacts()
        return open_side(str(given), TEXTS, "document", options=options, stated=stated)
    if isinstance(given, np.ndarray):
        return black_box("stored.npy", given, len(TEXTS))
    return black_box(
        "hand-written",
        np.asarray(given(list(TEXTS))),
        len(TEXTS),
        lambda place: np.asarray(given([TEXTS[place]]))[0],
    )


def compared(a: Any, b: Any) -> Diagnosis:
    return diagnose(side(a), side(b), TEXTS)


def check_found(found: Diagnosis, setting: str, stage: str | None = None) -> None:
    """Assert that one cause is named, and that it was shown."""
    assert not found.agree
    assert [each.setting for each in found.causes] == [setting]
    (cause,) = found.causes
    assert stage in {None, cause.stage}
    assert found.explained
    assert cause.left == found.after
    assert cause.without > FLOAT32
    assert cause.evidence.texts > 0 or cause.evidence.notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Black:
    """A hand-written vectoriser that does one thing otherwise.

    Attributes:
        setting: What a diagnosis must call it.
        otherwise: What it does, by model.
        plant: A change of the folder that it reads.
        stored: What becomes of its vectors in a file; None for a function.
    """

    setting: str
    otherwise: Callable[[str], Mapping[str, Any]] = lambda _name: {}
    plant: Plant | None = None
    stored: Callable[[Any], Any] | None = None


def _int8(vectors: Any) -> Any:
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.round(127 * vectors / largest).astype(np.int8)


BLACK: Mapping[str, Black] = {
    "padding": Black(setting="padding", otherwise=lambda _name: {"masked": False}),
    "truncation side": Black(
        setting="truncation side",
        otherwise=lambda _name: {"side": "left"},
        stored=lambda each: each,
    ),
    "max length": Black(
        setting="max length", otherwise=lambda _name: {"max_length": 21}, stored=lambda each: each
    ),
    "special tokens": Black(setting="special tokens", otherwise=lambda _name: {"specials": False}),
    "lower-casing": Black(setting="lower-casing", plant=WHITE["lower-casing"]),
    "instruction": Black(
        setting="instruction",
        otherwise=lambda name: {"instruction": "" if name == PROMPTED else "query: "},
        stored=lambda each: each,
    ),
    "pooling": Black(
        setting="pooling",
        otherwise=lambda name: {"pooling": "mean" if name == CLS else "cls"},
        stored=lambda each: each,
    ),
    "normalisation": Black(setting="normalisation", otherwise=lambda name: {"unit": name == MEAN}),
    "float16": Black(setting="dtype", stored=lambda each: each.astype(np.float16)),
    "int8": Black(setting="dtype", stored=_int8),
}

QUICK_WHITE = {
    (CLS, "special tokens"),
    (CLS, "dtype"),
    (MEAN, "pooling"),
    (XLM, "vocabulary"),
    (XLM, "instruction"),
    (CLS, "layers"),
}
QUICK_BLACK = {(MEAN, "padding"), (XLM, "max length"), (CLS, "int8"), (CLS, "pooling")}


def every_pair(kinds: Iterable[str], quick: Container[tuple[str, str]]) -> list[Any]:
    """Return every model with every kind of difference, slow but for a few."""
    return [
        pytest.param(name, kind, marks=() if (name, kind) in quick else pytest.mark.slow)
        for name in MODELS
        for kind in kinds
    ]


@pytest.mark.parametrize(("name", "kind"), every_pair(WHITE, QUICK_WHITE))
def test_a_planted_difference_of_two_folders_is_found(
    name: str, kind: str, made: Made, tmp_path: Path
) -> None:
    checkpoint, folder = made(name)
    plant = WHITE[kind]
    bad = copied(folder if plant.in_export else checkpoint, tmp_path / "bad")
    plant.plant(bad)
    check_found(compared(checkpoint, bad), plant.setting, plant.stage)
    check_found(compared(bad, checkpoint), plant.setting, plant.stage)


@pytest.mark.parametrize(("name", "kind"), every_pair(BLACK, QUICK_BLACK))
def test_a_planted_difference_is_found_from_vectors_alone(
    name: str, kind: str, made: Made, tmp_path: Path
) -> None:
    checkpoint, _folder = made(name)
    black = BLACK[kind]
    read = checkpoint
    if black.plant is not None:
        read = copied(checkpoint, tmp_path / "bad")
        black.plant.plant(read)
    embed = foreign(name, read, **black.otherwise(name))
    given = embed if black.stored is None else black.stored(embed(list(TEXTS)))
    check_found(compared(checkpoint, given), black.setting)


def _saved_again(checkpoint: Path, to: Path) -> Path:
    again = copied(checkpoint, to)
    edit_weights(again, lambda _name, each: each.clone())
    return again


def _library(checkpoint: Path) -> Callable[[list[str]], Any]:
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(checkpoint), device="cpu")
    return lambda texts: library.encode_document(texts, batch_size=4)


Pair = Callable[[str, Path, Path, Path], tuple[Any, Any]]

AGREEING: Mapping[str, Pair] = {
    "itself": lambda _name, one, _folder, _place: (one, one),
    "its export": lambda _name, one, folder, _place: (one, folder),
    "export first": lambda _name, one, folder, _place: (folder, one),
    "saved again": lambda _name, one, _folder, place: (one, _saved_again(one, place)),
    "the library": lambda _name, one, _folder, _place: (one, _library(one)),
    "export and library": lambda _name, one, folder, _place: (folder, _library(one)),
    "by hand": lambda name, one, _folder, _place: (one, foreign(name, one, batch=32)),
    "batches of 1": lambda name, one, folder, _place: (folder, foreign(name, one, batch=1)),
    "batches of 3": lambda name, one, _folder, _place: (foreign(name, one, batch=3), one),
    "stored": lambda name, one, _folder, _place: (
        one,
        foreign(name, one, batch=2)(list(TEXTS)),
    ),
}


QUICK_AGREEING = {
    (CLS, "its export"),
    (XLM, "the library"),
    (MEAN, "batches of 3"),
    (CLS, "saved again"),
}


@pytest.mark.parametrize(("name", "kind"), every_pair(AGREEING, QUICK_AGREEING))
def test_none_is_found_where_there_is_none(
    name: str, kind: str, made: Made, tmp_path: Path
) -> None:
    found = compared(*AGREEING[kind](name, *made(name), tmp_path / "again"))
    assert found.agree
    assert found.before <= FLOAT32
    assert not found.causes
    assert not found.without_effect
