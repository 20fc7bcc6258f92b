from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.errors import ArrayError
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.tensor import Tensor, TensorType

KIND = TensorType.parse("tensor<float>(dt{},x[2])")
VALUES = np.arange(10, dtype=np.float32).reshape(5, 2)
OFFSETS = np.array([0, 2, 2, 5], np.int64)


@pytest.fixture
def rows() -> DocumentRows:
    return DocumentRows(type=KIND, offsets=OFFSETS, values=VALUES)


def test_a_document_has_its_rows_labelled_from_zero(rows: DocumentRows) -> None:
    assert len(rows) == 3
    assert rows.document(0) == Tensor.rows(KIND, VALUES[:2])
    assert rows.document(1) == Tensor.empty(KIND)
    assert rows.document(2) == Tensor.rows(KIND, VALUES[2:], ["0", "1", "2"])


@pytest.mark.parametrize("positions", [[], [1], [2, 0], [0, 1, 2], [2, 2, 1, 2]])
def test_selected_documents_are_the_documents_in_that_order(
    rows: DocumentRows, positions: list[int]
) -> None:
    chosen = rows.select(np.array(positions, np.int64))
    assert len(chosen) == len(positions)
    assert [chosen.document(i) for i in range(len(chosen))] == [
        rows.document(position) for position in positions
    ]


@pytest.mark.parametrize("position", [-1, 3, -4])
def test_a_document_that_is_not_there_is_refused(rows: DocumentRows, position: int) -> None:
    with pytest.raises(ArrayError, match="positions from 0 to 2"):
        rows.document(position)
    with pytest.raises(ArrayError, match="positions from 0 to 2"):
        rows.select(np.array([0, position]))


@pytest.mark.parametrize(
    "offsets", [[], [0], [0, 2, 4], [1, 5], [0, 3, 2, 5], [0, 6], [[0, 5]], [0, 2, 5, 7]]
)
def test_offsets_that_do_not_cover_the_rows_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ArrayError, match="offsets do not cover the 5 rows"):
        DocumentRows(type=KIND, offsets=np.array(offsets, np.int64), values=VALUES)


@pytest.mark.parametrize(
    "values", [VALUES.astype(np.float64), VALUES[:, :1], VALUES.reshape(5, 2, 1)]
)
def test_values_of_another_width_or_dtype_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ArrayError, match=r"expected rows of shape \(2,\) and dtype float32"):
        DocumentRows(type=KIND, offsets=OFFSETS, values=values)


@pytest.mark.parametrize("kind", ["tensor<float>(x[2])", "tensor(a{},b{},x[2])", "tensor(a{})"])
def test_a_type_without_one_token_and_one_component_dimension_is_refused(kind: str) -> None:
    with pytest.raises(ArrayError, match="one mapped and one indexed dimension"):
        DocumentRows(type=TensorType.parse(kind), offsets=OFFSETS, values=VALUES)


BFLOAT16 = TensorType.parse("tensor<bfloat16>(dt{},x[2])")
# 1.5, -2, 0.25 and infinity, of which bfloat16 keeps the upper two bytes.
CELLS = np.array([[1.5, -2.0], [0.25, np.inf]], np.float32)
HALVES = np.array([[0x3FC0, 0xC000], [0x3E80, 0x7F80]], np.uint16)


@pytest.mark.parametrize("values", [CELLS, HALVES])
def test_bfloat16_takes_two_bytes_a_cell(values: np.ndarray) -> None:
    rows = DocumentRows(type=BFLOAT16, offsets=np.array([0, 2], np.int64), values=values)

    assert rows.values.dtype == np.uint16
    assert np.array_equal(rows.values, HALVES)
    assert np.array_equal(rows.cells, CELLS)
    assert rows.cells.dtype == np.float32
    assert rows.document(0) == Tensor.rows(BFLOAT16, CELLS)
    assert np.array_equal(rows.select(np.array([0, 0])).values, np.tile(HALVES, (2, 1)))


def test_a_float_that_bfloat16_cannot_hold_is_refused() -> None:
    values = np.array([[0.1, 1.0]], np.float32)

    with pytest.raises(ArrayError, match="not a bfloat16 value"):
        DocumentRows(type=BFLOAT16, offsets=np.array([0, 1], np.int64), values=values)
