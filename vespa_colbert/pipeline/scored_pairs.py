"""The pairs of query and document that two judges score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vespa_colbert.errors import ExpressionError, SpecError, TensorTypeError
from vespa_colbert.pipeline.served import Answering
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.verify.judges import ScoreCase

__all__ = ["BROKEN", "ScoredPairs", "scored_pairs"]

BROKEN = (ExpressionError, SpecError, TensorTypeError)
"""What a profile raises that cannot be ranked by, or not with these documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPairs:
    """Pairs of queries and documents.

    Attributes:
        cases: Name → pair, one after the other.
        remark: What a reader has to know of how they were chosen; empty for half by rank.
    """

    cases: tuple[tuple[str, ScoreCase], ...]
    remark: str = ""


def scored_pairs(
    source: Answering, ranker: Ranker, queries: Mapping[str, str], *, count: int, seed: int
) -> ScoredPairs:
    """Return pairs: for each query half of its best hits, half documents at random.

    All at random where the profile cannot rank: one phase is compared, and another one or a match
    feature may read what these documents lack.

    Args:
        source: Has the questions.
        ranker: Of the profile.
        queries: Name → text.
        count: How many pairs.
        seed: Of the documents at random.

    Raises:
        SpecError: If it is not known how the profile is asked.
    """
    random = np.random.default_rng(seed)
    each = -(-count // max(1, len(queries)))
    found, remark = list[tuple[str, ScoreCase]](), ""
    for name, text in queries.items():
        query = source.query(text, ranker.profile.name)
        best, why = _best(ranker, query, each - each // 2)
        if why:
            remark = f"all pairs at random, as the profile does not rank: {why}"
        others = np.setdiff1d(ranker.documents.everything, best)
        more = min(each - len(best), len(others))
        chosen = best + random.choice(others, more, replace=False).tolist() if more else best
        for position in chosen:
            case = ScoreCase(query=query, document=position)
            found.append((f"{name} with {ranker.documents.ids[position]}", case))
    return ScoredPairs(cases=tuple(found[:count]), remark=remark)


def _best(ranker: Ranker, query: RankQuery, hits: int) -> tuple[list[int], str]:
    """Return the positions of the best hits, or why there are none."""
    try:
        return [hit.position for hit in ranker.rank(query, hits=hits)], ""
    except BROKEN as error:
        return [], str(error).split("\n")[0]
