from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.errors import ArrayError, TensorTypeError
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.binary import decode_tensor, encode_tensor

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


@pytest.mark.parametrize(
    "labels",
    [
        [str(number) for number in range(2100)],
        ["long" * (number % 3) + str(number) for number in range(30)],
        ["é", "ab", "x" * 127, "y" * 127, "x" * 128, "y" * 128, "", "z" * 300],
    ],
)
@pytest.mark.parametrize("cells", ["float", "bfloat16", "int8", "double"])
def test_rows_are_read_whatever_lengths_their_labels_have(labels: list[str], cells: str) -> None:
    kind = TensorType.parse(f"tensor<{cells}>(c{{}},x[3])")
    values = (np.arange(3 * len(labels)) % 120 - 60).reshape(-1, 3)
    tensor = Tensor.rows(kind, values.astype(kind.cell_type.dtype), labels)
    data = encode_tensor(tensor)
    found = decode_tensor(data)
    assert (found.type, found.labels, found.codes.tolist()) == (
        kind,
        (tuple(labels),),
        [[place] for place in range(len(labels))],
    )
    assert found.values.tolist() == values.tolist()
    for cut in (1, 7, len(data) // 2):
        with pytest.raises(ArrayError, match="too early"):
            decode_tensor(data[:-cut])
    with pytest.raises(ArrayError, match="1 bytes too many"):
        decode_tensor(data + b"0")


def test_a_label_that_occurs_twice_is_refused_where_rows_are_read_together() -> None:
    data = bytes.fromhex("07 03 01 01 63 01 01 78 01 03 01 61 01 01 62 02 01 61 03")
    with pytest.raises(ArrayError, match=r"the address \('a',\) occurs twice"):
        decode_tensor(data)


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
    with pytest.raises(ArrayError, match=message):
        decode_tensor(bytes.fromhex(wire))


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("06 04 01 01 78 01 00", "cell type 4"),
        ("01 01 01 61 02 01 78 3ff0000000000000 01 78 3ff0000000000000", "occurs twice"),
        ("01 01 01 61 01 01 ff 3ff0000000000000", "UTF-8"),
        ("02 02 01 79 01 01 78 01 3ff0000000000000", "out of order"),
        ("02 01 01 78 00", "size of 1 or more"),
        ("05 01 00 01 3f800000", "a number has cells of type double"),
        ("01 00 00", "exactly one dense block"),
        ("02 01 01 78 ffffffff", "ends too early"),
        ("", "ends too early"),
    ],
)
def test_damaged_bytes_are_refused(wire: str, message: str) -> None:
    with pytest.raises((ArrayError, TensorTypeError), match=message):
        decode_tensor(bytes.fromhex(wire))


def test_no_cut_or_changed_byte_is_anything_but_a_tensor_or_our_error() -> None:
    data = bytes.fromhex(SPELLED[1][2])
    for place in range(len(data)):
        changed = [
            data[:place],
            *(data[:place] + bytes([b]) + data[place + 1 :] for b in range(256)),
        ]
        for each in changed:
            try:
                assert isinstance(decode_tensor(each), Tensor)
            except (ArrayError, TensorTypeError):
                continue
