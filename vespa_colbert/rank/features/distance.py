"""Distances between a query vector and the vectors of an attribute, and the closeness they give.

The content node computes them in the cell type of the attribute; here sums are in double, so that
float attributes may differ by a few parts in 10⁷.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ExpressionTypeError, UnsupportedFunctionError
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.documents import FieldTensors
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = ["METRICS", "Metric", "closenesses", "distances"]

Numbers: TypeAlias = NDArray[np.float64]

EARTH_RADIUS = 6371.0088
"""Kilometres. Source: geo_degrees_distance.cpp, Vespa 8.700.24."""

FURTHEST = float(np.finfo(np.float64).max)
"""Distance of a document without a vector. Source: ConvertRawscoreToDistance, Vespa 8.700.24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A distance metric of an attribute.

    Attributes:
        name: As after ``distance-metric:``.
        closeness: Query vector (dim,) and rows (row, dim), both float64, and whether cells are
            int8 → closeness of each row, the larger the nearer.
        distance: Closeness → distance.
        furthest: Closeness of a document without a vector.
        source: Where its behaviour is taken from.
    """

    name: str
    closeness: Callable[[Numbers, Numbers, bool], Numbers]
    distance: Callable[[Numbers], Numbers]
    furthest: float = 0.0
    source: str


def _inverse(closeness: Numbers) -> Numbers:
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / closeness - 1.0, np.float64)


def _euclidean(query: Numbers, rows: Numbers, _is_int8: bool) -> Numbers:  # noqa: FBT001 - positional by protocol
    return np.asarray(1.0 / (1.0 + np.sqrt(np.square(rows - query).sum(axis=1))), np.float64)


def _angular(query: Numbers, rows: Numbers, _is_int8: bool) -> Numbers:  # noqa: FBT001
    norms = (query @ query) * np.square(rows).sum(axis=1)
    cosine = (rows @ query) / np.where(norms > 0, np.sqrt(norms), 1.0)
    return np.asarray(1.0 / (1.0 + np.arccos(np.clip(cosine, -1.0, 1.0))), np.float64)


def _prenormalized(query: Numbers, rows: Numbers, _is_int8: bool) -> Numbers:  # noqa: FBT001
    norm = float(query @ query) or 1.0
    cosine = np.clip((rows @ query) / norm, -1.0, 1.0)
    return np.asarray(1.0 / (2.0 - cosine), np.float64)


def _dotproduct(query: Numbers, rows: Numbers, _is_int8: bool) -> Numbers:  # noqa: FBT001
    return np.asarray(rows @ query, np.float64)


def _hamming(query: Numbers, rows: Numbers, is_int8: bool) -> Numbers:  # noqa: FBT001
    if is_int8:
        bits = query.astype(np.int8).view(np.uint8) ^ rows.astype(np.int8).view(np.uint8)
        different = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    else:
        different = (rows != query).sum(axis=1)
    return np.asarray(1.0 / (1.0 + different), np.float64)


def _geodegrees(query: Numbers, rows: Numbers, _is_int8: bool) -> Numbers:  # noqa: FBT001
    here, there = np.deg2rad(query), np.deg2rad(rows)
    latitude = np.square(np.sin(0.5 * (here[0] - there[:, 0])))
    longitude = np.square(np.sin(0.5 * (here[1] - there[:, 1])))
    haversine = latitude + np.cos(here[0]) * np.cos(there[:, 0]) * longitude
    kilometres = 2 * np.arcsin(np.sqrt(haversine)) * EARTH_RADIUS
    return np.asarray(1.0 / (1.0 + kilometres), np.float64)


METRICS = {
    row.name: row
    for row in (
        Metric(
            name="euclidean",
            closeness=_euclidean,
            distance=_inverse,
            source="euclidean_distance.cpp, Vespa 8.700.24",
        ),
        Metric(
            name="angular",
            closeness=_angular,
            distance=_inverse,
            source="angular_distance.cpp, Vespa 8.700.24: the angle in radians",
        ),
        Metric(
            name="prenormalized-angular",
            closeness=_prenormalized,
            distance=_inverse,
            source="prenormalized_angular_distance.cpp, Vespa 8.700.24: 1 - cosine, both vectors "
            "taken to be as long as the query",
        ),
        Metric(
            name="innerproduct",
            closeness=_prenormalized,
            distance=_inverse,
            source="make_distance_function_factory, Vespa 8.700.24: as prenormalized-angular",
        ),
        Metric(
            name="dotproduct",
            closeness=_dotproduct,
            distance=np.negative,
            furthest=-FURTHEST,
            source="mips_distance_transform.cpp, Vespa 8.700.24: closeness is the dot product",
        ),
        Metric(
            name="hamming",
            closeness=_hamming,
            distance=_inverse,
            source="hamming_distance.cpp, Vespa 8.700.24: bits of int8 cells, else unequal cells",
        ),
        Metric(
            name="geodegrees",
            closeness=_geodegrees,
            distance=_inverse,
            source="geo_degrees_distance.cpp, Vespa 8.700.24: haversine, in kilometres",
        ),
    )
}
"""Name of a ``distance-metric`` → how it is computed."""


def closenesses(field: DocumentRows | FieldTensors, query: Tensor, metric: Metric) -> Numbers:
    """Return the closeness of each document: that of its nearest vector.

    Args:
        field: Vectors of the documents: one indexed dimension, any mapped ones.
        query: A dense tensor of that one dimension.
        metric: The attribute's distance metric.

    Returns:
        (document,) float64; ``metric.furthest`` for a document without a vector.

    Raises:
        ExpressionTypeError: If the types do not fit each other.

    Source: DistanceCalculator::calc_raw_score and make_with_validation, Vespa 8.700.24.
    """
    _require_vectors(field.type, query.type, metric)
    # The query is converted to the cells of the attribute, as TemporaryVectorStore does.
    kind = TensorType(field.type.cell_type, query.type.dimensions)
    vector = Tensor.dense(kind, query.values[0]).values[0].astype(np.float64)
    is_int8 = field.type.cell_type is CellType.INT8
    with np.errstate(invalid="ignore", over="ignore"):
        found = metric.closeness(vector, field.cells.astype(np.float64), is_int8)
    lengths = np.diff(field.offsets)
    best = np.full(len(lengths), metric.furthest)
    documents = np.repeat(np.arange(len(lengths)), lengths)
    has_vector = np.ones(len(lengths), np.bool_)
    if isinstance(field, FieldTensors) and not field.type.mapped:
        has_vector = field.present
    counted = has_vector[documents] & ~np.isnan(found)
    np.maximum.at(best, documents[counted], found[counted])
    return best


def distances(closeness: Numbers, metric: Metric) -> Numbers:
    """Return distances from closenesses: (document,) float64.

    Source: DistanceConverter::to_distance and ConvertRawscoreToDistance, Vespa 8.700.24.
    """
    return np.minimum(metric.distance(closeness), FURTHEST)


def _require_vectors(field: TensorType, query: TensorType, metric: Metric) -> None:
    """Check that a query tensor can be compared with a field.

    Raises:
        ExpressionTypeError: If it cannot: Vespa would give every document closeness 0.
        UnsupportedFunctionError: If no distance is defined for such a field.
    """
    indexed = tuple(each for each in field.dimensions if not each.is_mapped)
    if len(indexed) != 1:
        raise UnsupportedFunctionError(f"distance to {field}: expected one indexed dimension")
    if query.dimensions != indexed:
        wanted = TensorType(field.cell_type, indexed)
        raise ExpressionTypeError(f"distance to {field}: expected a query {wanted}, got {query}")
    if metric.name == "geodegrees" and indexed != (Dimension(indexed[0].name, 2),):
        raise ExpressionTypeError(
            f"distance to {field}: geodegrees takes latitude and longitude, expected 2 cells"
        )
