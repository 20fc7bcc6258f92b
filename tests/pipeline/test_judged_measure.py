"""The measures of rankings by which a training run is judged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.train.tiny_training import TRIPLES, options, training_data
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import CollectionError, SpecError, TrainingError
from vespa_colbert.pipeline import judged_measure as module
from vespa_colbert.pipeline.judged_measure import (
    JudgedOptions,
    JudgedTexts,
    judged_measure,
    read_judged_texts,
)
from vespa_colbert.train import Control, StoppedError
from vespa_colbert.train.log import read_log
from vespa_colbert.train.measure import TextVectors
from vespa_colbert.train.train import train

JUDGED = JudgedTexts(
    name="by hand",
    queries={"q1": "one", "q2": "two"},
    documents={"d1": "a", "d2": "b", "d3": "c"},
    qrels={"q1": {"d2": 1}, "q2": {"d3": 1, "d1": 0}},
)
ROWS: dict[str, list[list[float]]] = {
    "one": [[1.0, 0.0, 0.0]],
    "two": [[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]],
    # For "one": 0.8, 0.6, 0. For "two": 0.48 + 0.6, 0.36 + 0.8, 0.8 + 0.
    "a": [[0.8, 0.6, 0.0]],
    "b": [[0.6, 0.8, 0.0], [0.0, 0.0, -1.0]],
    "c": [[0.0, 0.0, 1.0]],
    "x": [[0.5, 0.5, 0.7]],
    "y": [[0.45, 0.0, 0.9]],
}


class Stated:
    """Token vectors that were written by hand."""

    def queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [np.array(ROWS[text], np.float32) for text in texts]

    def document_parts(self, texts: Sequence[str]) -> Iterator[list[TokenVectors]]:
        for text in texts:
            yield self.queries([text])


def measured(asked: JudgedOptions, judged: JudgedTexts = JUDGED) -> dict[str, float]:
    return judged_measure(judged, asked).values(cast("TextVectors", Stated()))


def test_measures_are_those_of_the_ranking_by_max_sim() -> None:
    # d2 is second of q1, d3 third of q2.
    found = measured(JudgedOptions(measures=("nDCG@10", "RR@10", "R@1")))
    assert found == {
        "nDCG@10": pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / 2),
        "RR@10": pytest.approx((1 / 2 + 1 / 3) / 2),
        "R@1": 0.0,
    }


def test_it_does_not_matter_how_many_queries_are_scored_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = measured(JudgedOptions())
    monkeypatch.setattr(module, "QUERIES_AT_ONCE", 1)
    assert measured(JudgedOptions()) == whole


@pytest.mark.parametrize(("normalized", "rank"), [(False, 2), (True, 1)])
def test_cut_vectors_are_measured_as_they_are_served_or_again_normalised(
    normalized: bool, rank: int
) -> None:
    """Of two components d1 leaves (0.5, 0.5) and d2 (0.45, 0): 0.5 before 0.45, or 0.707 and 1."""
    judged = replace(JUDGED, queries={"q1": "one"}, documents={"d1": "x", "d2": "y"})
    judged = replace(judged, qrels={"q1": {"d2": 1}})
    asked = JudgedOptions(measures=("RR@10", "R@1"), cuts=(2,), cut_normalized=normalized)
    found = measured(asked, judged)
    assert found["RR@10 at 2"] == 1 / rank
    assert list(found) == ["RR@10", "R@1", "RR@10 at 2"]


def test_fewer_documents_are_the_judged_ones_and_others_drawn() -> None:
    documents = {f"d{place}": f"text {place}" for place in range(50)}
    large = replace(JUDGED, documents=documents)
    some = large.limited(10, seed=1)
    assert len(some.documents) == 10
    assert {"d1", "d2", "d3"} <= some.documents.keys()
    assert list(some.documents) == sorted(some.documents, key=list(documents).index)
    assert some.documents == large.limited(10, seed=1).documents
    assert some.documents != large.limited(10, seed=2).documents
    assert large.limited(0, seed=1) is large
    assert len(large.limited(2, seed=1).documents) == 3


def write_folder(folder: Path, *splits: str) -> Path:
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{place}", "title": "t", "text": f"rose {place}"} for place in range(3)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in corpus))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "a rose"}\n')
    for split in splits:
        (folder / "qrels" / f"{split}.tsv").write_text("q1\td2\t1\n")
    return folder


@pytest.mark.parametrize(
    ("splits", "named", "taken"),
    [
        (("dev", "test", "train"), "", "dev"),
        (("validation",), "", "validation"),
        (("test", "train"), "train", "train"),
    ],
)
def test_judgements_are_those_named_or_of_dev_or_the_only_ones(
    tmp_path: Path, splits: tuple[str, ...], named: str, taken: str
) -> None:
    judged = read_judged_texts(write_folder(tmp_path / "c", *splits), split=named)
    assert judged.name.endswith(f"{taken}.tsv")
    assert judged.queries == {"q1": "a rose"}
    assert judged.documents["d2"] == "t rose 2"
    assert judged.qrels == {"q1": {"d2": 1}}


def test_a_test_is_not_taken_unasked(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "c", "test", "train")
    with pytest.raises(CollectionError, match="found test, train: name those that are no test"):
        read_judged_texts(folder)
    with pytest.raises(SpecError, match="is no folder"):
        read_judged_texts(folder / "corpus.jsonl", split="dev")


def test_every_document_of_rows_is_ranked_for_each_query(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"query": "p", "positives": ["a", "b"], "negative": "c"},
        {"query": "r", "positive": "c"},
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    judged = read_judged_texts(path)
    assert list(judged.documents.values()) == ["a", "b", "c"]
    assert judged.qrels == {"0": {"0": 1, "1": 1}, "1": {"2": 1}}


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(CollectionError, match="measures"):
        judged_measure(JUDGED, JudgedOptions(measures=("nDGC@10",)))
    with pytest.raises(CollectionError, match="two documents at least"):
        judged_measure(replace(JUDGED, documents={"d2": "b"}), JudgedOptions())


@pytest.fixture(name="checkpoint")
def checkpoint_fixture(tiny_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(tiny_checkpoint)


@pytest.fixture(name="judged")
def judged_fixture(tmp_path: Path) -> JudgedTexts:
    path = tmp_path / "judged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TRIPLES[::2]))
    return read_judged_texts(path)


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["memory", "file"])
def test_a_resumed_run_keeps_the_best_so_far_and_its_measures(
    checkpoint: Checkpoint, judged: JudgedTexts, tmp_path: Path, memory: int
) -> None:
    data = training_data(tmp_path)
    asked = options(epochs=2, evaluate_every=2, learning_rate=0.3, memory_bytes=memory)
    measure = judged_measure(judged, JudgedOptions(cuts=(4,)))
    whole = train(checkpoint, data, tmp_path / "whole", asked, measure=measure)
    parts = tmp_path / "parts"

    def stop() -> bool:
        return any(line["step"] == 7 for line in read_log(parts / "log.jsonl"))

    with pytest.raises(StoppedError, match="after step 7"):
        train(checkpoint, data, parts, asked, measure=measure, control=Control(should_stop=stop))
    other = judged_measure(judged.limited(20, 0), JudgedOptions(cuts=(4,)))
    resume = Control(resume=True)
    with pytest.raises(TrainingError, match="with other measure;"):
        train(checkpoint, data, parts, asked, measure=other, control=resume)
    resumed = train(checkpoint, data, parts, asked, measure=measure, control=resume)

    assert resumed.log.read_text() == whole.log.read_text()
    assert resumed.position == whole.position
    one, other_weights = (each.checkpoint.projection[0].weight for each in (whole, resumed))
    assert one.tobytes() == other_weights.tobytes()
    lines = [line for line in read_log(whole.log) if "measure" in line]
    assert [line["step"] for line in lines] == [0, 2, 4, 6, 8, 10, 12]
    assert set(lines[0]["others"]) == {"RR@10", "R@100", "nDCG@10 at 4"}
    values = [line["value"] for line in lines]
    assert len(set(values)) > 1
    assert whole.position.best == max(values)
    assert whole.position.best_step == lines[values.index(max(values))]["step"]


def test_weights_that_no_step_made_better_stay(
    checkpoint: Checkpoint, judged: JudgedTexts, tmp_path: Path
) -> None:
    values: Any = iter([0.5, *[0.4] * 20])
    measure = replace(judged_measure(judged, JudgedOptions()), value=lambda _vectors: next(values))
    asked = options(epochs=9, evaluate_every=1, patience=3)
    trained = train(checkpoint, training_data(tmp_path), tmp_path / "run", asked, measure=measure)
    assert (trained.position.step, trained.position.best_step) == (3, 0)
    before = checkpoint.projection[0].weight
    assert np.array_equal(trained.checkpoint.projection[0].weight, before)
