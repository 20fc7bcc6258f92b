"""Training rows in batches: shuffled by a seed, the same in every run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import SpecError
from vespa_colbert.train.rows import TrainingData, TrainingRow

__all__ = ["ABSENT", "Batch", "BatchOptions", "batch_count", "epoch_batches"]

ABSENT = -1
"""Stands in ``Batch.candidates`` where a row has fewer documents than others."""

WINDOW = 32
"""Batches whose examples are sorted by length together: enough for even lengths, few enough that
an example still meets others in every epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How rows become batches.

    Attributes:
        size: Examples a batch, each a query with one of its positives.
        negatives: Negatives an example at most; drawn anew in every epoch where a row has more.
        seed: Of every draw.
        by_length: Whether texts of like length are put together, which saves padding.
    """

    size: int = 32
    negatives: int = 7
    seed: int = 0
    by_length: bool = True

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SpecError: If the size is below 1, or another number below 0.
        """
        least = {"size": 1, "negatives": 0, "seed": 0}
        faults = tuple(
            f"{name}: expected {low} at least, got {getattr(self, name)}"
            for name, low in least.items()
            if getattr(self, name) < low
        )
        if faults:
            raise SpecError("batches cannot be made", faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Examples whose texts are embedded together, no document twice.

    Attributes:
        queries: (example,) int64, places in ``TrainingData.queries``.
        documents: (document,) int64, places in ``TrainingData.documents``, each once.
        candidates: (example, candidate) int64, places in ``documents``; the first is the positive,
            ``ABSENT`` where an example has fewer.
        known_positives: (example, document) bool, true where any row of the training data says that
            the document answers the example's query.
        teacher: (example, candidate) float32 scores, NaN where a candidate is absent; ``None`` if
            rows carry none.
    """

    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    candidates: NDArray[np.int64]
    known_positives: NDArray[np.bool_]
    teacher: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    """A query with one positive.

    Attributes:
        row: The row it comes from.
        positive: Which of the row's positives.
    """

    row: TrainingRow
    positive: int


def batch_count(data: TrainingData, options: BatchOptions) -> int:
    """Return how many batches an epoch has."""
    return -(-sum(len(row.positives) for row in data.rows) // options.size)


def epoch_batches(
    data: TrainingData,
    options: BatchOptions,
    epoch: int,
    lengths: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Yield the batches of an epoch: every example once, batches as even in size as can be.

    The same data, options and epoch give the same batches, whatever was drawn before.

    Args:
        data: The rows.
        options: The choices.
        epoch: From 0.
        lengths: Of each of ``data.documents``, for batching by length; by default in characters.
    """
    draw = np.random.default_rng([options.seed, epoch])
    examples = [
        _Example(row=row, positive=place)
        for row in data.rows
        for place in range(len(row.positives))
    ]
    order = draw.permutation(len(examples))
    groups = np.array_split(order, batch_count(data, options))
    if options.by_length:
        sizes = [len(text) for text in data.documents] if lengths is None else lengths
        longest = [max(sizes[each] for each in example.row.documents) for example in examples]
        groups = _by_length(groups, np.array(longest), draw)
    for group in groups:
        yield _batch([examples[place] for place in group], data.positives, options.negatives, draw)


def _by_length(
    groups: Sequence[NDArray[np.int64]], longest: NDArray[np.int64], draw: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return groups of the same sizes whose texts are of like length, in random order.

    Args:
        groups: Places of examples.
        longest: (example,) length of each example's longest text.
        draw: Puts them in order.
    """
    made: list[NDArray[np.int64]] = []
    for first in range(0, len(groups), WINDOW):
        window = groups[first : first + WINDOW]
        together = np.concatenate(window)
        together = together[np.argsort(longest[together], kind="stable")]
        made += np.split(together, np.cumsum([len(group) for group in window])[:-1])
    return [made[place] for place in draw.permutation(len(made))]


def _batch(
    examples: Sequence[_Example],
    positives: Mapping[int, frozenset[int]],
    most: int,
    draw: np.random.Generator,
) -> Batch:
    """Return a batch of examples, negatives drawn.

    Args:
        examples: What it holds.
        positives: Query → every document known to answer it.
        most: Negatives an example.
        draw: Draws them.
    """
    chosen = [_candidates(example, most, draw) for example in examples]
    named = [
        [example.row.documents[place] for place in places]
        for example, places in zip(examples, chosen, strict=True)
    ]
    documents = list(dict.fromkeys(each for row in named for each in row))
    places = {document: place for place, document in enumerate(documents)}
    candidates = np.full((len(examples), max(map(len, named))), ABSENT, np.int64)
    known = np.zeros((len(examples), len(documents)), np.bool_)
    scored = all(example.row.scores for example in examples)
    teacher = np.full(candidates.shape, np.nan, np.float32) if scored else None
    for number, (example, row) in enumerate(zip(examples, named, strict=True)):
        candidates[number, : len(row)] = [places[each] for each in row]
        answers = positives[example.row.query]
        known[number] = [each in answers for each in documents]
        if teacher is not None:
            teacher[number, : len(row)] = [example.row.scores[place] for place in chosen[number]]
    queries = np.array([example.row.query for example in examples], np.int64)
    return Batch(
        queries=queries,
        documents=np.array(documents, np.int64),
        candidates=candidates,
        known_positives=known,
        teacher=teacher,
    )


def _candidates(example: _Example, most: int, draw: np.random.Generator) -> list[int]:
    """Return places in the row's documents: the positive, then negatives in the row's order."""
    first = len(example.row.positives)
    count = len(example.row.negatives)
    drawn = range(count) if count <= most else sorted(draw.permutation(count)[:most].tolist())
    return [example.positive, *(first + place for place in drawn)]
