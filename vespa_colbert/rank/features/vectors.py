"""``closeness`` and ``distance``: how near a document's vectors are to the query's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import (
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index.candidates import scanned_documents, united
from vespa_colbert.rank.batches import batch_numbers
from vespa_colbert.rank.features.distance import METRICS, Metric, closenesses, distances
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.run import FeatureRun, Scores
from vespa_colbert.rank.query import NearestNeighbor
from vespa_colbert.tensor import Tensor

__all__ = ["closeness", "distance", "found_by_vectors"]


def _items(run: FeatureRun, feature: FeatureName) -> list[NearestNeighbor]:
    """Return the nearestNeighbor items that a closeness or a distance measures from.

    Raises:
        UnknownFeatureError: If the query has none.
        ExpressionTypeError: If the first of two arguments is neither field nor label.
    """
    words = run.arguments(feature, 1, 2)
    kind, name = words if len(words) == 2 else ("field", words[0])
    if kind not in {"field", "label"}:
        raise ExpressionTypeError(f"{feature.text}: expected field or label, got {kind!r}")
    items = [each for each in run.query.nearest if getattr(each, kind) == name]
    if not items:
        raise UnknownFeatureError(
            f"{feature.text}: the query has no nearestNeighbor with {kind} {name!r}, and Vespa "
            f"measures from that; name its field and tensor ({run.profile.where})"
        )
    return items


def _measured(run: FeatureRun, feature: FeatureName) -> list[tuple[Scores, Metric]]:
    """Return the closeness of the documents to each nearestNeighbor item, with its metric."""
    return [_closeness(run, item, feature.text) for item in _items(run, feature)]


def _closeness(run: FeatureRun, item: NearestNeighbor, what: str) -> tuple[Scores, Metric]:
    """Return the closeness of the documents to a nearestNeighbor item, with its metric.

    Raises:
        UnknownFeatureError: If it names no tensor attribute, or a tensor that is no input.
        UnsupportedFunctionError: If the attribute has a metric that is not known.
    """
    rows = run.documents.tensors.get(item.field)
    if rows is None:
        raise UnknownFeatureError(f"{what}: {run.documents.where} has no tensor field {item.field}")
    name = run.profile.distance_metric(item.field)
    if (metric := METRICS.get(name)) is None:
        raise UnsupportedFunctionError(
            f"{what}: distance-metric {name} of field {item.field} is not reproduced"
        )
    query = run.query_value(item.tensor)
    return closenesses(rows.select(run.positions), query, metric), metric


def found_by_vectors(run: FeatureRun) -> NDArray[np.int64]:
    """Return which documents the nearestNeighbor items of the query find.

    All of them where one of the items says no number of hits, as for a query that finds documents
    by something else too.

    Returns:
        (document,) int64, positions among all documents.
    """
    if not all(item.target_hits for item in run.query.nearest):
        return run.positions
    found = []
    for item in run.query.nearest:
        values, metric = _closeness(run, item, f"nearestNeighbor({item.field}, {item.tensor})")
        hits = scanned_documents(values, item.target_hits, furthest=metric.furthest)
        found.append(run.positions[hits])
    return united(found)


def closeness(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``closeness(field,name)`` of the documents: of the nearest of several items."""
    found = [each for each, _ in _measured(run, feature)]
    return batch_numbers(np.max(found, axis=0))


def distance(run: FeatureRun, feature: FeatureName) -> Tensor:
    """Return ``distance(field,name)`` of the documents: to the nearest of several items."""
    found = [distances(each, metric) for each, metric in _measured(run, feature)]
    return batch_numbers(np.min(found, axis=0))
