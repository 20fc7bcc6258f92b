from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.vespa_java import VespaJava

FLOAT_BITS = [0x00000001, 0x807FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x80000000, 0x3DCCCCCD]
"""float32: smallest and largest subnormal, largest, infinities, -0.0, 0.1."""
DOUBLE_BITS = [0x1, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0x8000000000000000, 0x3FB999999999999A]
"""float64: smallest subnormal, largest, infinity, -0.0, 0.1."""


@pytest.mark.java
@pytest.mark.parametrize(
    ("spec", "bits", "unsigned"),
    [
        ("tensor<float>(x[7])", FLOAT_BITS, np.uint32),
        ("tensor(x[5])", DOUBLE_BITS, np.uint64),
        ("tensor<float>(a{},x[7])", FLOAT_BITS, np.uint32),
        ("tensor(a{},x[5])", DOUBLE_BITS, np.uint64),
    ],
)
def test_every_bit_of_a_cell_survives_java(
    java: VespaJava, spec: str, bits: list[int], unsigned: type[np.generic]
) -> None:
    tensor_type = TensorType.parse(spec)
    cells = np.array(bits, unsigned).view(tensor_type.cell_type.dtype)
    address: tuple[str, ...] = ("label",) if tensor_type.mapped else ()
    tensor = Tensor.from_subspaces(tensor_type, {address: cells})
    answer = java.evaluate_expression("query(a)", {"query(a)": tensor})
    assert answer.type == tensor_type
    assert answer.values.view(unsigned).tolist() == [bits]


@pytest.mark.java
@pytest.mark.parametrize(
    "spec",
    [
        "double",
        "tensor<int8>(a{},x[16])",
        "tensor<bfloat16>(a{},b{},x[3],y[2])",
        "tensor<float>(a{},z{})",
        "tensor(m[2],x{})",
        "tensor<int8>(x[3])",
    ],
)
def test_every_kind_of_tensor_survives_java(java: VespaJava, spec: str) -> None:
    tensor_type = TensorType.parse(spec)
    labels = [("7", "é🦊"), ("01", "x"), ("-1", "a b")]
    random = np.random.default_rng(7)
    blocks = {
        address[: len(tensor_type.mapped)]: random.integers(-100, 100, tensor_type.shape)
        for address in labels[: 3 if tensor_type.mapped else 1]
    }
    tensor = Tensor.from_subspaces(tensor_type, blocks)
    assert java.evaluate_expression("query(a)", {"query(a)": tensor}) == tensor


@pytest.mark.java
def test_a_tensor_without_cells_survives_java(java: VespaJava) -> None:
    tensor = Tensor.empty(TensorType.parse("tensor<int8>(dt{},x[16])"))
    assert java.evaluate_expression("query(a)", {"query(a)": tensor}) == tensor
