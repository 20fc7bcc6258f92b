from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.errors import ArrayError, VespaJavaError
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.vespa_java import VespaJava
from vespa_colbert.vespa_java.tensors import decode_tensor, encode_tensor

FLOAT_BITS = [0x00000001, 0x807FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x80000000, 0x3DCCCCCD]
"""float32: smallest and largest subnormal, largest, infinities, -0.0, 0.1."""
DOUBLE_BITS = [0x1, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0x8000000000000000, 0x3FB999999999999A]
"""float64: smallest subnormal, largest, infinity, -0.0, 0.1."""

# Written out by hand from the classes named in encode_tensor.
SPELLED = [
    ("double", Tensor.number(-2.0), "01 00 01 c000000000000000"),
    (
        "tensor<float>(dt{},x[2])",
        Tensor.rows(TensorType.parse("tensor<float>(dt{},x[2])"), np.array([[1, -2]]), ["a"]),
        "07 01 01 02 6474 01 01 78 02 01 01 61 3f800000 c0000000",
    ),
    (
        "tensor(x[1])",
        Tensor.dense(TensorType.parse("tensor(x[1])"), np.array([0.5])),
        "02 01 01 78 01 3fe0000000000000",
    ),
    (
        "tensor<bfloat16>(a{})",
        Tensor.rows(TensorType.parse("tensor<bfloat16>(a{})"), np.array([1.5]), ["é"]),
        "05 02 01 01 61 01 02 c3a9 3fc0",
    ),
    (
        "tensor<int8>(x[130])",
        Tensor.dense(TensorType.parse("tensor<int8>(x[130])"), np.full(130, -1)),
        "06 03 01 01 78 80000082 " + "ff" * 130,
    ),
]


@pytest.mark.parametrize(("spelled", "tensor", "wire"), SPELLED)
def test_bytes_are_those_of_vespas_format(spelled: str, tensor: Tensor, wire: str) -> None:
    assert str(tensor.type) == spelled
    assert encode_tensor(tensor) == bytes.fromhex(wire)
    assert decode_tensor(bytes.fromhex(wire)) == tensor


def test_an_address_that_occurs_twice_is_refused() -> None:
    tensor_type = TensorType.parse("tensor(a{})")
    codes = np.array([[0], [0]], np.int64)
    twice = Tensor(tensor_type, codes, (("x",),), np.array([1.0, 2.0]))
    with pytest.raises(ArrayError, match="occurs twice"):
        encode_tensor(twice)


def test_a_bfloat16_cell_that_would_lose_bits_is_refused() -> None:
    tensor_type = TensorType.parse("tensor<bfloat16>(x[1])")
    cells = np.array([[0.1]], np.float32)
    with pytest.raises(ArrayError, match="not a bfloat16 value"):
        encode_tensor(Tensor(tensor_type, np.zeros((1, 0), np.int64), (), cells))


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("01 00 01 c0", "ends too early"),
        ("01 00 01 c000000000000000 00", "1 bytes too many"),
        ("09 00 00", "format 9"),
    ],
)
def test_bytes_of_another_form_are_refused(wire: str, message: str) -> None:
    with pytest.raises(VespaJavaError, match=message):
        decode_tensor(bytes.fromhex(wire))


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
