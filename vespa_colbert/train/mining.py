"""Hard negatives: documents that a search takes for answers and that nobody says answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np

from vespa_colbert.errors import CollectionError, SpecError
from vespa_colbert.files import atomic_file

__all__ = ["Found", "MinedRow", "MiningOptions", "Pick", "Search", "mine_rows", "write_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A document that a search found.

    Attributes:
        id: Its id.
        score: By which it was found.
    """

    id: str
    score: float


Search: TypeAlias = Callable[[str, int], Sequence[Found]]
"""Query text and a number of documents → the best that many, best first."""


class Pick(StrEnum):
    """Which of the candidates become negatives; the values are those of the flag."""

    HARDEST = "hardest"
    RANDOM = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningOptions:
    """Which documents are taken.

    Ranks are counted from 1 among the documents that may be negatives at all.

    Attributes:
        negatives: Of a row at most.
        first: Best rank that is taken; a little above 1 leaves out likely answers nobody judged.
        last: Worst rank that is taken.
        margin: By how much the row's positive must score higher; ``None`` for no matter how much.
        relative_margin: The same as a share of the positive's score.
        pick: Which of more than ``negatives`` candidates.
        seed: Of random picks.
    """

    negatives: int = 7
    first: int = 2
    last: int = 50
    margin: float | None = None
    relative_margin: float | None = None
    pick: Pick = Pick.HARDEST
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SpecError: If one is out of range.
        """
        margins = {"margin": self.margin, "relative_margin": self.relative_margin}
        faults = [
            f"{name}: expected a number of 0 or more, got {value}"
            for name, value in margins.items()
            if value is not None and not 0 <= value < float("inf")
        ]
        if self.negatives < 1:
            faults.append(f"negatives: expected 1 at least, got {self.negatives}")
        if not 1 <= self.first <= self.last:
            faults.append(f"ranks: expected 1 ≤ first ≤ last, got {self.first} and {self.last}")
        if self.seed < 0:
            faults.append(f"seed: expected 0 at least, got {self.seed}")
        if faults:
            raise SpecError("negatives cannot be mined", tuple(faults))

    @property
    def has_margin(self) -> bool:
        """Whether the positive's score matters."""
        return self.margin is not None or self.relative_margin is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedRow:
    """A training row: ids of a query, of a document that answers it, and of some that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the row as ``read_training_data`` reads it."""
        return {"query_id": self.query, "pos_id": self.positive, "neg_ids": list(self.negatives)}


def mine_rows(
    queries: Mapping[str, str],
    answers: Mapping[str, Collection[str]],
    documents: Mapping[str, str],
    search: Search,
    options: MiningOptions,
) -> Iterator[tuple[str, list[MinedRow]]]:
    """Yield each query with a row for each of its positives, some perhaps without a negative.

    No negative is a positive of the query, has the same text as one or as another negative, up to
    space, or is the query itself.

    Args:
        queries: Id → text; all that are in ``answers``.
        answers: Query id → ids of all documents that answer it, in the order of the rows.
        documents: Id → text.
        search: Finds candidates.
        options: Which are taken.

    Raises:
        CollectionError: If an id is not known, or the search finds a document that is not there.
    """
    texts = {name: _folded(text) for name, text in documents.items()}
    for number, (query, positives) in enumerate(answers.items()):
        _require_known(query, positives, queries, documents)
        others = {_folded(queries[query]), *(texts[each] for each in positives)}
        found, candidates = _search(queries[query], search, options, texts, others)
        of_ranks = candidates[options.first - 1 : options.last]
        scores = {each.id: each.score for each in found}
        draw = np.random.default_rng([options.seed, number])
        picks = (_picked(of_ranks, scores.get(each), options, draw) for each in positives)
        yield (
            query,
            [
                MinedRow(query=query, positive=positive, negatives=picked)
                for positive, picked in zip(positives, picks, strict=True)
            ],
        )


def _require_known(
    query: str,
    positives: Collection[str],
    queries: Mapping[str, str],
    documents: Mapping[str, str],
) -> None:
    """Return nothing if a query and what answers it are in the collection.

    Raises:
        CollectionError: If one of them is not.
    """
    unknown = [each for each in positives if each not in documents]
    if query not in queries or unknown:
        what = f"document {unknown[0]!r}" if unknown else f"query {query!r}"
        raise CollectionError(f"mining: {what} is judged and is not in the collection")


def _folded(text: str) -> str:
    return " ".join(text.split())


def _search(
    text: str,
    search: Search,
    options: MiningOptions,
    texts: Mapping[str, str],
    others: set[str],
) -> tuple[Sequence[Found], Sequence[Found]]:
    """Return what a search finds, deep enough for the ranks, and of that what may be a negative.

    Args:
        text: Of the query.
        search: Finds documents.
        options: The ranks; all documents are asked for where the positive's score must be known.
        texts: Id → text.
        others: Texts that are no negative.
    """
    depth = len(texts) if options.has_margin else options.last + len(others)
    while True:
        found = search(text, min(depth, len(texts)))
        candidates = _candidates(found, texts, set(others))
        if len(candidates) >= options.last or len(found) < depth or depth >= len(texts):
            return found, candidates
        depth *= 2


def _candidates(found: Sequence[Found], texts: Mapping[str, str], seen: set[str]) -> list[Found]:
    """Return what may be a negative, in the order of the search.

    Args:
        found: What the search found.
        texts: Id → text.
        seen: Texts that are none; those of the candidates are added.

    Raises:
        CollectionError: If a document is not known.
    """
    candidates = []
    for each in found:
        if each.id not in texts:
            raise CollectionError(
                f"mining: the search finds document {each.id!r}, which is not in the corpus; "
                "make the index from this corpus"
            )
        if texts[each.id] not in seen:
            seen.add(texts[each.id])
            candidates.append(each)
    return candidates


def _picked(
    candidates: Sequence[Found],
    positive: float | None,
    options: MiningOptions,
    draw: np.random.Generator,
) -> tuple[str, ...]:
    """Return the negatives of a row, in the order of the search.

    Args:
        candidates: Of the ranks that are taken.
        positive: Score of the row's positive; ``None`` if the search did not find it.
        options: How far below they must score, and which are taken of more.
        draw: Draws them.
    """
    if options.has_margin:
        below = -np.inf if positive is None else _highest(positive, options)
        candidates = [each for each in candidates if each.score <= below]
    places: Sequence[int] = range(min(options.negatives, len(candidates)))
    if options.pick is Pick.RANDOM:
        places = sorted(draw.permutation(len(candidates))[: options.negatives].tolist())
    return tuple(candidates[place].id for place in places)


def _highest(positive: float, options: MiningOptions) -> float:
    """Return the score above which a document is too close to the positive."""
    margin = max(options.margin or 0.0, (options.relative_margin or 0.0) * abs(positive))
    return positive - margin


def write_rows(rows: Sequence[MinedRow], path: Path) -> None:
    """Write training rows as JSON lines; the file is complete or absent.

    Raises:
        OutputError: If it cannot be written.
    """
    lines = (json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows)
    with atomic_file(path) as part, part.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)
