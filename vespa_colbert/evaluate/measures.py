"""Measures of a run, by ir_measures: ``R@10``, ``RR@10``, ``nDCG@10`` and whatever it knows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vespa_colbert.errors import CollectionError, MissingExtraError

__all__ = ["Evaluated", "cutoff", "evaluate_run", "parse_measures"]

CUTOFF = re.compile(r"@([1-9][0-9]*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Measures of one run.

    Attributes:
        means: Measure → mean over all judged queries, those without a hit counted as 0.
        by_query: Measure → query id → value.
    """

    means: Mapping[str, float]
    by_query: Mapping[str, Mapping[str, float]]


def evaluate_run(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Sequence[str]],
    measures: Sequence[str],
) -> Evaluated:
    """Return measures of a run.

    Args:
        qrels: Query id → document id → grade.
        run: Query id → document ids, best first. Their order counts, whatever the scores were:
            ties were decided by the ranker.
        measures: Names as ir_measures writes them, such as ``nDCG@10``.

    Raises:
        MissingExtraError: If ir_measures is not installed.
        CollectionError: If a measure is unknown, or no query of the run is judged.
    """
    parsed = parse_measures(measures)
    import ir_measures

    if not qrels.keys() & run.keys():
        raise CollectionError("no query of the run has a judgement: check the ids of both files")
    judged = [
        ir_measures.Qrel(query, document, grade)
        for query, grades in qrels.items()
        for document, grade in grades.items()
    ]
    ranked = [
        ir_measures.ScoredDoc(query, document, float(len(documents) - rank))
        for query, documents in run.items()
        for rank, document in enumerate(documents)
    ]
    by_query: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    names = {str(measure): name for name, measure in parsed.items()}
    for found in ir_measures.iter_calc(list(parsed.values()), judged, ranked):
        by_query[names[str(found.measure)]][found.query_id] = float(found.value)
    means = {name: sum(values.values()) / len(values) for name, values in by_query.items()}
    return Evaluated(means=means, by_query=by_query)


def parse_measures(names: Sequence[str]) -> dict[str, Any]:
    """Return measures as ir_measures has them, by the names given.

    Raises:
        MissingExtraError: If ir_measures is not installed.
        CollectionError: If one is unknown, or two are the same.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ir_measures
    except ImportError:
        raise MissingExtraError("eval", "ir_measures") from None
    try:
        parsed = {name: ir_measures.parse_measure(name) for name in names}
    except (ValueError, NameError) as error:
        raise CollectionError(f"measures: {error}; expected names such as nDCG@10") from None
    if not parsed or len(set(map(str, parsed.values()))) < len(names):
        raise CollectionError(f"measures: expected at least one, each once, got {list(names)}")
    return parsed


def cutoff(measure: str) -> int | None:
    """Return how many hits a measure looks at; ``None`` for all of them."""
    found = CUTOFF.search(measure)
    return int(found[1]) if found else None
