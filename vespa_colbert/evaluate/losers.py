"""The queries that lose most between two systems: what was asked, and where the answers stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from vespa_colbert.evaluate.judged import JudgedCollection
from vespa_colbert.evaluate.run_file import Run

__all__ = ["JudgedDocument", "Loser", "losers"]

ANSWERS_SHOWN = 10
CHARACTERS = 120
"""Of a title or a text."""

Ranks: TypeAlias = tuple[Mapping[str, int], Mapping[str, int]]
"""Document id → place, in the system and in the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedDocument:
    """A judged document and its places.

    Attributes:
        id: Its id.
        title: Its title, or the beginning of its text.
        grade: As judged; ``None`` where it is not.
        rank: Its place, from 1; ``None`` where it was not found.
        baseline_rank: Its place in the baseline.
    """

    id: str
    title: str
    grade: int | None
    rank: int | None
    baseline_rank: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loser:
    """A query that does worse than in the baseline.

    Attributes:
        query: Its id.
        text: Its text.
        value: Of the measure.
        baseline_value: Of the measure, in the baseline.
        judged: Its documents of grade 1 or more, the best graded first.
        first: What stands first now.
    """

    query: str
    text: str
    value: float
    baseline_value: float
    judged: tuple[JudgedDocument, ...]
    first: JudgedDocument | None


def losers(
    collection: JudgedCollection,
    values: Mapping[str, float],
    baseline_values: Mapping[str, float],
    runs: tuple[Run, Run],
    count: int,
) -> tuple[Loser, ...]:
    """Return the queries that lose most, the largest loss first, equal ones by the collection.

    Args:
        collection: With the texts.
        values: Query id → value of a measure.
        baseline_values: The same of the baseline.
        runs: That of the system, then that of the baseline.
        count: How many.
    """
    change = {name: values[name] - baseline_values[name] for name in collection.queries}
    lost = [name for name in sorted(change, key=change.__getitem__) if change[name] < 0]
    chosen = lost[:count]
    if not chosen:
        return ()
    titles = _titles(collection)
    return tuple(
        Loser(
            query=name,
            text=collection.queries[name],
            value=values[name],
            baseline_value=baseline_values[name],
            judged=_judged(collection.qrels[name], titles, _ranks(runs, name)),
            first=_first(collection.qrels[name], titles, _ranks(runs, name)),
        )
        for name in chosen
    )


def _titles(collection: JudgedCollection) -> dict[str, str]:
    """Return document id → its title, or the beginning of its text."""
    shown = {}
    for document in collection.documents:
        texts = (document.text(name) for name in ("title", "text", "contexts"))
        said = next((text for text in texts if text.strip()), "")
        shown[document.id] = " ".join(said[: 2 * CHARACTERS].split())[:CHARACTERS]
    return shown


def _judged(
    grades: Mapping[str, int], titles: Mapping[str, str], ranks: Ranks
) -> tuple[JudgedDocument, ...]:
    answers = sorted((name for name in grades if grades[name] > 0), key=lambda name: -grades[name])
    return tuple(_document(name, grades, titles, ranks) for name in answers[:ANSWERS_SHOWN])


def _first(
    grades: Mapping[str, int], titles: Mapping[str, str], ranks: Ranks
) -> JudgedDocument | None:
    first = next((name for name, rank in ranks[0].items() if rank == 1), None)
    return None if first is None else _document(first, grades, titles, ranks)


def _document(
    name: str, grades: Mapping[str, int], titles: Mapping[str, str], ranks: Ranks
) -> JudgedDocument:
    return JudgedDocument(
        id=name,
        title=titles[name],
        grade=grades.get(name),
        rank=ranks[0].get(name),
        baseline_rank=ranks[1].get(name),
    )


def _ranks(runs: tuple[Run, Run], query: str) -> Ranks:
    """Return document id → place from 1, in the system and in the baseline."""
    first, second = (
        {name: rank for rank, name in enumerate(run.get(query, ()), start=1)} for run in runs
    )
    return first, second
