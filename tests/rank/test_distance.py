from __future__ import annotations

import math

import numpy as np
import pytest

from vespa_colbert.errors import ArrayError, ExpressionTypeError, UnsupportedFunctionError
from vespa_colbert.rank.documents import field_tensors
from vespa_colbert.rank.features.distance import METRICS, closenesses, distances
from vespa_colbert.tensor import Tensor, TensorType

SUMS_IN_DOUBLE = 1e-12
"""Both sides are computed in double, in another order."""


def tensor(spec: str, *cells: float) -> Tensor:
    kind = TensorType.parse(spec)
    return Tensor.dense(kind, np.array(cells, kind.cell_type.dtype))


@pytest.mark.parametrize(
    ("metric", "spec", "query", "cells", "distance"),
    [
        ("euclidean", "tensor<float>(x[2])", (0, 0), (3, 4), 5.0),
        ("angular", "tensor<float>(x[2])", (1, 0), (0, 2), math.pi / 2),
        ("angular", "tensor<float>(x[2])", (2, 0), (-1, 0), math.pi),
        ("prenormalized-angular", "tensor<float>(x[2])", (1, 0), (0.6, 0.8), 0.4),
        # A longer query divides by its own length squared: 1 - 2 * 0.6 / 4.
        ("prenormalized-angular", "tensor<float>(x[2])", (2, 0), (0.6, 0.8), 0.7),
        ("innerproduct", "tensor<float>(x[2])", (1, 0), (0.6, 0.8), 0.4),
        ("dotproduct", "tensor<float>(x[2])", (1, 2), (3, 4), -11.0),
        ("hamming", "tensor<int8>(x[2])", (0, 1), (-1, 0), 9.0),
        ("hamming", "tensor<float>(x[3])", (1, 2, 3), (1, 5, 6), 2.0),
        # A quarter of the equator.
        ("geodegrees", "tensor<double>(x[2])", (0, 0), (0, 90), math.pi / 2 * 6371.0088),
    ],
)
def test_a_metric_gives_its_distance(
    metric: str, spec: str, query: tuple[float, ...], cells: tuple[float, ...], distance: float
) -> None:
    kind = TensorType.parse(spec)
    field = field_tensors(kind, [tensor(spec, *cells)])

    closeness = closenesses(field, tensor(spec, *query), METRICS[metric])

    near = -distance if metric == "dotproduct" else 1 / (1 + distance)
    tolerance = 1e-6 if kind.cell_type.value == "float" else SUMS_IN_DOUBLE
    assert closeness[0] == pytest.approx(near, rel=tolerance)
    assert distances(closeness, METRICS[metric])[0] == pytest.approx(distance, rel=tolerance)


def test_the_distance_between_two_airports_is_the_one_on_the_map() -> None:
    kind = TensorType.parse("tensor<double>(x[2])")
    sydney = field_tensors(kind, [tensor(str(kind), -33.95, 151.17)])
    san_francisco = tensor(str(kind), 37.61, -122.38)

    closeness = closenesses(sydney, san_francisco, METRICS["geodegrees"])

    # 7417 miles by an ellipsoid; a sphere may be off by 1 %.
    assert distances(closeness, METRICS["geodegrees"])[0] == pytest.approx(11_936, rel=0.01)


def test_the_nearest_of_several_vectors_counts() -> None:
    kind = TensorType.parse("tensor<float>(p{},x[2])")
    several = Tensor.from_subspaces(kind, {("a",): [5, 0], ("b",): [0, 1]})
    field = field_tensors(kind, [several, Tensor.empty(kind), None])

    found = closenesses(field, tensor("tensor<float>(x[2])", 0, 0), METRICS["euclidean"])

    assert found.tolist() == [0.5, 0.0, 0.0]
    assert distances(found, METRICS["euclidean"])[1] == np.finfo(np.float64).max


def test_a_document_without_a_dense_vector_is_furthest_and_not_at_0() -> None:
    kind = TensorType.parse("tensor<float>(x[2])")
    field = field_tensors(kind, [None, tensor("tensor<float>(x[2])", 0, 0)])

    near = closenesses(field, tensor("tensor<float>(x[2])", 0, 0), METRICS["euclidean"])
    dot = closenesses(field, tensor("tensor<float>(x[2])", 1, 0), METRICS["dotproduct"])

    assert near.tolist() == [0.0, 1.0]
    assert dot.tolist() == [-np.finfo(np.float64).max, 0.0]


def test_the_query_is_converted_to_the_cells_of_the_field() -> None:
    kind = TensorType.parse("tensor<bfloat16>(x[1])")
    field = field_tensors(kind, [Tensor.dense(kind, np.array([1], np.float32))])

    # bfloat16 has 8 bits: 1 + 1/1024 is cut to 1.
    found = closenesses(field, tensor("tensor<double>(x[1])", 1 + 1 / 1024), METRICS["euclidean"])

    assert found.tolist() == [1.0]


def test_what_does_not_fit_raises() -> None:
    kind = TensorType.parse("tensor<int8>(x[2])")
    field = field_tensors(kind, [tensor("tensor<int8>(x[2])", 1, 2)])
    sparse = TensorType.parse("tensor<float>(a{})")

    with pytest.raises(ExpressionTypeError, match=r"expected a query tensor<int8>\(x\[2\]\)"):
        closenesses(field, tensor("tensor<float>(x[3])", 1, 2, 3), METRICS["hamming"])
    with pytest.raises(ArrayError, match="whole numbers"):
        closenesses(field, tensor("tensor<float>(x[2])", 0.5, 2), METRICS["hamming"])
    with pytest.raises(UnsupportedFunctionError, match="one indexed dimension"):
        closenesses(
            field_tensors(sparse, [None]), tensor("tensor<float>(x[2])", 1, 2), METRICS["hamming"]
        )
    triple = TensorType.parse("tensor<float>(x[3])")
    with pytest.raises(ExpressionTypeError, match="latitude"):
        closenesses(
            field_tensors(triple, [None]),
            tensor("tensor<float>(x[3])", 1, 2, 3),
            METRICS["geodegrees"],
        )
