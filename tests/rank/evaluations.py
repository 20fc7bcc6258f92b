"""Expressions evaluated for one document, and the features that they may name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType

NAN, INF = float("nan"), float("inf")


def tensor(kind: str, cells: object) -> Tensor:
    """Return a tensor from nested lists, or from labels → nested lists where one is mapped."""
    tensor_type = TensorType.parse(kind)
    if isinstance(cells, dict):
        keys = {key if isinstance(key, tuple) else (key,): value for key, value in cells.items()}
        return Tensor.from_subspaces(tensor_type, keys)
    return Tensor.dense(tensor_type, np.array(cells))


def evaluate(source: str, features: Mapping[str, Tensor] | None = None) -> Tensor:
    run = Evaluation((features or {}).get, 1)
    return run.value(parse_expression(source), {})


def number(source: str, **features: float) -> float:
    values = {name: Tensor.number(value) for name, value in features.items()}
    return evaluate(source, values).as_number()


FEATURES = {
    "n": Tensor.number(3.0),
    "x3": tensor("tensor(x[3])", [1.0, 2.0, 3.0]),
    "f3": tensor("tensor<float>(x[3])", [1.0, 2.0, 3.0]),
    "i3": tensor("tensor<int8>(x[3])", [1, -2, 3]),
    "b3": tensor("tensor<bfloat16>(x[3])", [1.0, 1.0078125, 3.0]),
    "y2": tensor("tensor<float>(y[2])", [10.0, 20.0]),
    "xy": tensor("tensor<float>(x[3],y[2])", [[1, 2], [3, 4], [5, 6]]),
    "s": tensor("tensor(s{})", {"a": 1.0, "b": 2.0}),
    "s2": tensor("tensor<float>(s{})", {"b": 10.0, "c": 20.0}),
    "t": tensor("tensor(t{})", {"b": 5.0}),
    "m": tensor("tensor<float>(s{},x[3])", {"a": [1, 2, 3], "b": [4, 5, 6]}),
    "none": tensor("tensor<float>(s{},x[3])", {}),
    "st": tensor("tensor(s{},t{})", {("a", "p"): 1.0, ("a", "q"): 2.0, ("b", "q"): 3.0}),
    "i2": tensor("tensor<int8>(d{},x[2])", {"0": [-127, 3]}),
}
