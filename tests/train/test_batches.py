from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vespa_colbert.errors import SpecError
from vespa_colbert.train import (
    Batch,
    BatchOptions,
    TrainingData,
    TrainingRow,
    batch_count,
    epoch_batches,
)
from vespa_colbert.train.batches import ABSENT

ROWS = 50


def training_data(*, scored: bool = False, rows: int = ROWS) -> TrainingData:
    """Query i is answered by documents i and i + 1, not by the three after; lengths vary."""
    documents = tuple(f"{place} " + "x" * (place * 37 % 101) for place in range(rows + 5))
    made = tuple(
        TrainingRow(
            query=place,
            positives=(place, place + 1),
            negatives=tuple(range(place + 2, place + 5))[: 1 + place % 3],
            scores=tuple(range(3 + place % 3)) if scored else (),
            line=place + 1,
        )
        for place in range(rows)
    )
    return TrainingData(
        queries=tuple(f"query {place}" for place in range(rows)),
        documents=documents,
        rows=made,
        positives={place: frozenset({place, place + 1}) for place in range(rows)},
    )


def same(one: Batch, other: Batch) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("queries", "documents", "candidates", "known_positives")
    )


def pairs(batch: Batch) -> list[tuple[int, int]]:
    return [
        (int(query), int(batch.documents[row[0]]))
        for query, row in zip(batch.queries, batch.candidates, strict=True)
    ]


@pytest.mark.parametrize("by_length", [False, True])
def test_an_epoch_has_every_query_with_every_positive_once(*, by_length: bool) -> None:
    options = BatchOptions(size=8, by_length=by_length)
    batches = list(epoch_batches(training_data(), options, 0))

    seen = Counter(pair for batch in batches for pair in pairs(batch))
    assert seen == Counter((place, place + more) for place in range(ROWS) for more in (0, 1))
    assert len(batches) == batch_count(training_data(), options) == 13
    assert {len(batch.queries) for batch in batches} == {7, 8}


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not() -> None:
    data, options = training_data(), BatchOptions(size=8, negatives=1)
    first = list(epoch_batches(data, options, 3))

    assert all(map(same, first, epoch_batches(data, options, 3)))
    assert not all(map(same, first, epoch_batches(data, options, 4)))
    other = BatchOptions(size=8, negatives=1, seed=1)
    assert not all(map(same, first, epoch_batches(data, other, 3)))


def test_a_batch_holds_no_document_twice_and_knows_what_answers() -> None:
    data = training_data(scored=True)
    for batch in epoch_batches(data, BatchOptions(size=16), 0):
        assert len(set(batch.documents.tolist())) == len(batch.documents)
        assert batch.teacher is not None
        for number, query in enumerate(batch.queries):
            row = data.rows[int(query)]
            named = [int(batch.documents[p]) for p in batch.candidates[number] if p != ABSENT]
            assert named[0] in row.positives
            assert tuple(named[1:]) == row.negatives
            answers = batch.documents[batch.known_positives[number]].tolist()
            assert set(answers) == set(row.positives) & set(batch.documents.tolist())
            wanted = [row.scores[row.documents.index(each)] for each in named]
            assert batch.teacher[number, : len(named)].tolist() == wanted
            assert np.isnan(batch.teacher[number, len(named) :]).all()


def test_negatives_are_drawn_anew_in_every_epoch_and_no_more_than_asked_for() -> None:
    data, options = training_data(rows=3), BatchOptions(size=6, negatives=1, by_length=False)
    drawn = {
        int(batch.documents[row[1]])
        for epoch in range(20)
        for batch in epoch_batches(data, options, epoch)
        for query, row in zip(batch.queries, batch.candidates, strict=True)
        if query == 2
    }

    assert drawn == set(data.rows[2].negatives)
    none = BatchOptions(size=6, negatives=0)
    assert {batch.candidates.shape[1] for batch in epoch_batches(data, none, 0)} == {1}


def test_texts_of_like_length_are_put_together() -> None:
    data = training_data()
    lengths = [len(text) for text in data.documents]

    def padding(options: BatchOptions) -> int:
        return sum(
            max(lengths[place] for place in batch.documents) * len(batch.documents)
            for batch in epoch_batches(data, options, 0)
        )

    assert padding(BatchOptions(size=4)) < padding(BatchOptions(size=4, by_length=False))
    even = epoch_batches(data, BatchOptions(size=4), 0, lengths=[1] * len(lengths))
    assert sum(len(batch.queries) for batch in even) == 2 * ROWS


def test_numbers_that_make_no_batches_are_listed_together() -> None:
    with pytest.raises(SpecError) as caught:
        BatchOptions(size=0, negatives=-1)

    assert len(caught.value.faults) == 2
