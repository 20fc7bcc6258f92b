"""Measures of a run, by ir_measures: ``R@10``, ``RR@10``, ``nDCG@10`` and whatever it knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vespa_colbert.errors import CollectionError, MissingExtraError

__all__ = ["Evaluated", "evaluate_run"]


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ir_measures
    except ImportError:
        raise MissingExtraError("eval", "ir_measures") from None
    try:
        parsed = {name: ir_measures.parse_measure(name) for name in measures}
    except (ValueError, NameError) as error:
        raise CollectionError(f"measures: {error}; expected names such as nDCG@10") from None
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
