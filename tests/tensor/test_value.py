from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vespa_colbert.arrays import truncate_to_bfloat16
from vespa_colbert.errors import ArrayError, TensorTypeError
from vespa_colbert.tensor import CellType, Tensor, TensorType

MIXED = TensorType.parse("tensor<float>(dt{},x[2])")
SPARSE = TensorType.parse("tensor(a{},b{})")
DENSE = TensorType.parse("tensor<int8>(x[2],y[3])")
NAN = float("nan")

LABELS = st.text(min_size=1, max_size=3)
BLOCKS = st.lists(st.floats(width=32), min_size=2, max_size=2)


class TestConstructors:
    def test_a_number(self) -> None:
        number = Tensor.number(2.5)
        assert number.type == TensorType(CellType.DOUBLE)
        assert number.as_number() == 2.5
        assert number.cells() == {(): 2.5}

    def test_rows_are_labelled_by_their_number(self) -> None:
        rows = Tensor.rows(MIXED, np.array([[1, 2], [3, 4]]))
        assert rows.values.dtype == np.float32
        assert rows.cells() == {
            ("0", "0"): 1.0,
            ("0", "1"): 2.0,
            ("1", "0"): 3.0,
            ("1", "1"): 4.0,
        }

    @pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 3000])
    def test_however_many_rows_each_has_its_number(self, count: int) -> None:
        rows = Tensor.rows(MIXED, np.zeros((count, 2), np.float32))
        assert list(rows.addresses()) == [(str(number),) for number in range(count)]

    def test_rows_take_labels(self) -> None:
        rows = Tensor.rows(MIXED, np.array([[1, 2]]), ["red"])
        assert list(rows.addresses()) == [("red",)]

    def test_dense_cells_have_their_indexes_as_address(self) -> None:
        dense = Tensor.dense(DENSE, np.array([[1, 2, 3], [4, 5, -128]], np.int8))
        assert dense.cells()["1", "2"] == -128.0
        assert len(dense.cells()) == 6

    def test_full_addresses_are_in_the_order_of_the_type(self) -> None:
        tensor_type = TensorType.parse("tensor(a[2],b{},c[1])")
        mixed = Tensor.from_subspaces(tensor_type, {("red",): [[7.0], [8.0]]})
        assert mixed.cells() == {("0", "red", "0"): 7.0, ("1", "red", "0"): 8.0}

    @given(st.dictionaries(st.tuples(LABELS, LABELS), st.floats()))
    def test_subspaces_come_back_from_what_was_made_of_them(
        self, cells: dict[tuple[str, ...], float]
    ) -> None:
        tensor = Tensor.from_subspaces(SPARSE, cells)
        assert np.array_equal(list(tensor.cells().values()), list(cells.values()), equal_nan=True)
        assert list(tensor.cells()) == list(cells)

    @pytest.mark.parametrize("make", [Tensor.empty, lambda each: Tensor.from_subspaces(each, {})])
    def test_an_empty_tensor_has_no_cells(self, make: object) -> None:
        assert callable(make)
        for tensor_type in (MIXED, SPARSE):
            empty = make(tensor_type)
            assert empty.cells() == {}
            assert empty.values.shape == (0, *tensor_type.shape)

    def test_an_empty_dense_tensor_is_zeros(self) -> None:
        assert set(Tensor.empty(DENSE).cells().values()) == {0.0}

    @pytest.mark.parametrize("kind", ["tensor<float>(x[2])", "tensor(a{},b{})", "double"])
    def test_rows_need_one_mapped_dimension(self, kind: str) -> None:
        with pytest.raises(TensorTypeError, match="exactly one mapped dimension"):
            Tensor.rows(TensorType.parse(kind), np.zeros((1, 2)))

    def test_dense_needs_indexed_dimensions_only(self) -> None:
        with pytest.raises(TensorTypeError, match="indexed dimensions only"):
            Tensor.dense(MIXED, np.zeros(2))


class TestRefusals:
    def test_a_label_that_occurs_twice(self) -> None:
        with pytest.raises(ArrayError, match="a label occurs twice"):
            Tensor.rows(MIXED, np.zeros((2, 2)), ["a", "a"])

    @pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"]])
    def test_more_or_fewer_labels_than_rows(self, labels: list[str]) -> None:
        with pytest.raises(ArrayError, match=f"expected 2 labels, got {len(labels)}"):
            Tensor.rows(MIXED, np.zeros((2, 2)), labels)

    @pytest.mark.parametrize("address", [(), ("a", "b")])
    def test_an_address_of_another_length(self, address: tuple[str, ...]) -> None:
        with pytest.raises(ArrayError, match="expected 1 labels"):
            Tensor.from_subspaces(MIXED, {address: [1.0, 2.0]})

    @pytest.mark.parametrize("block", [1.0, [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]])
    def test_a_block_of_another_shape(self, block: object) -> None:
        with pytest.raises(ArrayError, match=r"a block of shape \(2,\)"):
            Tensor.from_subspaces(MIXED, {("a",): block})

    def test_a_block_that_would_fit_after_reshaping(self) -> None:
        with pytest.raises(ArrayError, match=r"\(2, 3\)"):
            Tensor.from_subspaces(DENSE, {(): np.zeros((3, 2))})

    @pytest.mark.parametrize("shape", [(3,), (1, 2), ()])
    def test_values_of_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ArrayError, match="expected values of shape"):
            Tensor.dense(TensorType.parse("tensor(x[2])"), np.zeros(shape))

    @pytest.mark.parametrize("value", [128.0, -129.0, 0.5, NAN, float("inf")])
    def test_what_is_no_int8(self, value: float) -> None:
        with pytest.raises(ArrayError, match="whole numbers from -128 to 127"):
            Tensor.dense(TensorType.parse("tensor<int8>(x[1])"), np.array([value]))

    def test_codes_of_another_width(self) -> None:
        with pytest.raises(ArrayError, match=r"codes of shape \(subspace, 1\)"):
            Tensor(MIXED, np.zeros((1, 2), np.int64), (("a",),), np.zeros((1, 2), np.float32))

    def test_values_of_another_dtype(self) -> None:
        with pytest.raises(ArrayError, match="dtype float32"):
            Tensor(MIXED, np.zeros((1, 1), np.int64), (("a",),), np.zeros((1, 2), np.float64))

    def test_a_dense_tensor_of_two_blocks(self) -> None:
        with pytest.raises(ArrayError, match="exactly one dense block"):
            Tensor(DENSE, np.zeros((2, 0), np.int64), (), np.zeros((2, 2, 3), np.int8))

    def test_a_tensor_is_not_taken_for_a_number(self) -> None:
        with pytest.raises(TensorTypeError, match="expected a number, got tensor"):
            Tensor.rows(MIXED, np.zeros((1, 2))).as_number()


class TestStoredCells:
    def test_bfloat16_cells_are_cut_off_in_every_constructor(self) -> None:
        dense, rows = (
            TensorType.parse(f"tensor<bfloat16>({dimensions})")
            for dimensions in ("x[1]", "d{},x[1]")
        )
        fine = np.array([1.0078124], np.float32)
        kept = truncate_to_bfloat16(fine)
        assert kept[0] == 1.0
        assert np.array_equal(Tensor.dense(dense, fine).values[0], kept)
        assert np.array_equal(Tensor.rows(rows, fine[np.newaxis]).values[0], kept)
        assert np.array_equal(Tensor.from_subspaces(rows, {("0",): fine}).values[0], kept)

    def test_a_double_beyond_float_becomes_infinite(self) -> None:
        cells = Tensor.dense(TensorType.parse("tensor<float>(x[1])"), np.array([1e300]))
        assert cells.values[0, 0] == np.inf


class TestEquality:
    def test_order_and_spare_labels_do_not_matter(self) -> None:
        one = Tensor.from_subspaces(MIXED, {("a",): [1, 2], ("b",): [3, 4]})
        other = Tensor.from_subspaces(MIXED, {("b",): [3, 4], ("a",): [1, 2]})
        spare = Tensor(MIXED, one.codes + 1, (("z", "a", "b"),), one.values)
        assert one == other == spare
        assert hash(one) == hash(other) == hash(spare)

    def test_nan_equals_nan(self) -> None:
        assert Tensor.number(NAN) == Tensor.number(NAN)
        assert Tensor.number(NAN) != Tensor.number(0.0)

    @pytest.mark.parametrize(
        "other",
        [
            Tensor.from_subspaces(MIXED, {("a",): [1, 3]}),
            Tensor.from_subspaces(MIXED, {("b",): [1, 2]}),
            Tensor.from_subspaces(MIXED, {("a",): [1, 2], ("b",): [1, 2]}),
            Tensor.from_subspaces(MIXED, {}),
            Tensor.from_subspaces(TensorType.parse("tensor(dt{},x[2])"), {("a",): [1, 2]}),
            Tensor.from_subspaces(TensorType.parse("tensor<float>(d{},x[2])"), {("a",): [1, 2]}),
            1.0,
        ],
    )
    def test_another_cell_address_or_type_is_another_tensor(self, other: object) -> None:
        assert Tensor.from_subspaces(MIXED, {("a",): [1, 2]}) != other

    @given(st.dictionaries(LABELS, BLOCKS, min_size=1), st.data())
    def test_a_changed_cell_is_seen(
        self, blocks: dict[str, list[float]], data: st.DataObject
    ) -> None:
        tensor = Tensor.rows(MIXED, np.array(list(blocks.values()), np.float32), list(blocks))
        row = data.draw(st.integers(0, len(blocks) - 1))
        changed = tensor.values.copy()
        changed[row, 1] = 1.0 if changed[row, 1] != 1.0 else 2.0
        assert Tensor(MIXED, tensor.codes, tensor.labels, changed) != tensor
        assert Tensor(MIXED, tensor.codes, tensor.labels, tensor.values.copy()) == tensor
