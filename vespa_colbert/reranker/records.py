"""What is logged of each query that was reranked: how long it took, and how its scores lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["RerankRecord", "distribution", "summary_record"]

TOP = 5
"""Best scores that a record lists."""
PERCENTILES = (5, 50, 95)


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankRecord:
    """One query.

    Attributes:
        query: Its id, or its place in the input.
        model: The folder of the model.
        scores: Of all its documents, best first.
        cached: How many of them were computed before.
        cut: How many pairs were too long and lost tokens; of those that were computed now.
        tokens: Tokens that the model read for it, padding not counted.
        seconds: From the texts to the scores.
    """

    query: str
    model: str
    scores: tuple[float, ...]
    cached: int
    cut: int
    tokens: int
    seconds: float

    def line(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return {
            "event": "rerank",
            "query": self.query,
            "model": self.model,
            "documents": len(self.scores),
            "cached": self.cached,
            "cut": self.cut,
            "tokens": self.tokens,
            "milliseconds": round(self.seconds * 1000, 3),
            "scores": {**distribution(self.scores), "top": list(self.scores[:TOP])},
        }


def distribution(values: Sequence[float]) -> dict[str, float]:
    """Return least, largest, mean and percentiles of numbers; nothing of none."""
    if not len(values):
        return {}
    array = np.asarray(values, np.float64)
    percentiles = np.percentile(array, PERCENTILES)
    return {
        "min": float(array.min()),
        **{f"p{at}": float(each) for at, each in zip(PERCENTILES, percentiles, strict=True)},
        "max": float(array.max()),
        "mean": float(array.mean()),
        "deviation": float(array.std()),
    }


def summary_record(records: Sequence[RerankRecord]) -> dict[str, Any]:
    """Return what there is to say of all queries together."""
    seconds = sum(each.seconds for each in records)
    tokens = sum(each.tokens for each in records)
    return {
        "event": "summary",
        "queries": len(records),
        "documents": sum(len(each.scores) for each in records),
        "cached": sum(each.cached for each in records),
        "cut": sum(each.cut for each in records),
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
        "milliseconds": distribution([each.seconds * 1000 for each in records]),
        "scores": distribution([score for each in records for score in each.scores]),
    }
