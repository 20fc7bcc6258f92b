"""A tiny training set on the tiny checkpoint's letters, and options for a run of seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vespa_colbert.train import BatchOptions, TrainingData, TrainingOptions, read_training_data
from vespa_colbert.train.losses import LossKind, LossOptions

__all__ = ["SCORED", "TRIPLES", "options", "training_data"]

WORDS = ("rose", "is", "a", "b", "c", "d", "abc", "hello", "x y z", "ivy")


def _row(place: int) -> dict[str, Any]:
    word, other = WORDS[place % len(WORDS)], WORDS[(place + 3) % len(WORDS)]
    return {
        "query": f"{word} is {place}",
        "positive": f"{word} a {word}, number {place}",
        "negatives": [f"{other} {place} !", f"{other} a rose"],
    }


TRIPLES = tuple(_row(place) for place in range(23))
SCORED = tuple({**row, "scores": [2.0, 0.5 * place % 2, -1.0]} for place, row in enumerate(TRIPLES))


def training_data(folder: Path, rows: Sequence[dict[str, Any]] = TRIPLES) -> TrainingData:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_training_data(path)


def options(kind: LossKind = LossKind.SOFTMAX, **changes: Any) -> TrainingOptions:
    values: dict[str, Any] = {
        "loss": LossOptions(kind=kind, temperature=1.0),
        "batch": BatchOptions(size=4, negatives=2, seed=3),
        "learning_rate": 0.01,
        "device": "cpu",
        **changes,
    }
    return TrainingOptions(**values)
