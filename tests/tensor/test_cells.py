from __future__ import annotations

import numpy as np
import pytest

from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor import CellType, TensorType
from vespa_colbert.tensor.cells import cast_cells, cells_from_text, cells_of, fits_int8

VECTORS = np.array(
    [
        [0.5, -0.5, 0.25, 0, 0, 0, 0, 1e-9] + [1.0078124] * 8,
        [-1, 1, -1, 1, -1, 1, -1, 1] + [-1.0] * 8,
    ],
    np.float32,
)


@pytest.mark.parametrize("width", [16, 3, 1])
@pytest.mark.parametrize("cells", ["float", "double"])
def test_float_cells_are_the_first_components_as_they_are(cells: str, width: int) -> None:
    made = cells_of(VECTORS, TensorType.parse(f"tensor<{cells}>(dt{{}},x[{width}])"))
    assert made.dtype == {"float": np.float32, "double": np.float64}[cells]
    assert np.array_equal(made, VECTORS[:, :width])


def test_shortened_vectors_are_not_normalised_again() -> None:
    unit = np.array([[0.6, 0.8]], np.float32)
    assert cells_of(unit, TensorType.parse("tensor<float>(dt{},x[1])"))[0, 0] == np.float32(0.6)


def test_bfloat16_cells_are_cut_off() -> None:
    made = cells_of(VECTORS, TensorType.parse("tensor<bfloat16>(dt{},x[9])"))
    assert made.dtype == np.float32
    assert made[0, 8] == 1.0
    assert made[0, 0] == 0.5


def test_int8_cells_are_the_sign_bits_of_eight_components_each() -> None:
    made = cells_of(VECTORS, TensorType.parse("tensor<int8>(dt{},x[2])"))
    assert made.dtype == np.int8
    assert made.tolist() == [[np.int8(-95), -1], [0b01010101, 0]]


def test_int8_cells_of_a_narrower_field_are_the_first_bytes() -> None:
    made = cells_of(VECTORS, TensorType.parse("tensor<int8>(dt{},x[1])"))
    assert made.tolist() == [[-95], [0b01010101]]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("<float>(dt{},x[17])", 17), ("<int8>(dt{},x[3])", 24), ("(dt{},x[99])", 99)],
)
def test_a_field_wider_than_the_vectors_is_refused(kind: str, wanted: int) -> None:
    with pytest.raises(ArrayError, match=f"expected vectors of {wanted} or more, got 16"):
        cells_of(VECTORS, TensorType.parse(f"tensor{kind}"))


@pytest.mark.parametrize("kind", ["(x[16])", "(dt{})", "(a{},b{},x[16])", "(dt{},x[4],y[4])"])
def test_a_field_of_another_shape_is_refused(kind: str) -> None:
    with pytest.raises(ArrayError, match="one mapped and one indexed dimension"):
        cells_of(VECTORS, TensorType.parse(f"tensor{kind}"))


def test_bits_of_nan_are_refused() -> None:
    with pytest.raises(ArrayError, match="NaN"):
        cells_of(np.full((1, 8), np.nan, np.float32), TensorType.parse("tensor<int8>(dt{},x[1])"))


class TestCasts:
    @pytest.mark.parametrize(
        ("value", "cell"),
        [
            (0.9, 0),
            (-0.9, 0),
            (127.5, 127),
            (127.9999999, -128),
            (128.0, -128),
            (-128.9, -128),
            (-129.0, 127),
            (300.0, 44),
            (65536.0 + 5, 5),
            (-2147483904.0, 0),
            (float("nan"), 0),
            (float("-inf"), 0),
        ],
    )
    def test_int8_keeps_the_lowest_bits_of_the_whole_part(self, value: float, cell: int) -> None:
        cells = cast_cells(np.array([value]), CellType.INT8)
        assert cells.tolist() == [cell]
        assert cells.dtype == np.int8

    @pytest.mark.parametrize("value", [2.0**31, 1e30, float("inf")])
    def test_int8_of_what_vespas_engines_disagree_on_is_refused(self, value: float) -> None:
        with pytest.raises(ArrayError, match="make different cells of it"):
            cast_cells(np.array([0.0, value]), CellType.INT8)

    def test_bfloat16_is_cut_off_even_if_the_cells_are_floats_already(self) -> None:
        cells = cast_cells(np.array([1.0078124, -1.0078124], np.float32), CellType.BFLOAT16)
        assert cells.tolist() == [1.0, -1.0]

    def test_a_double_beyond_float_becomes_infinite(self) -> None:
        assert cast_cells(np.array([-1e300]), CellType.FLOAT).tolist() == [-np.inf]

    def test_int8_cells_become_any_others_as_they_are(self) -> None:
        whole = np.arange(-128, 128).astype(np.int8)
        for cell_type in CellType:
            assert cast_cells(whole, cell_type).tolist() == whole.tolist()


@pytest.mark.parametrize("value", [128.0, -129.0, 0.5, float("nan"), float("inf")])
def test_what_is_no_int8(value: float) -> None:
    assert not fits_int8(np.array([0.0, value]))
    assert fits_int8(np.array([-128.0, 127.0]))


def test_numbers_as_text() -> None:
    read = cells_from_text(["1.5", "-0.0", "NaN", "Infinity"], CellType.DOUBLE)
    assert read.tobytes() == np.array([1.5, -0.0, np.nan, np.inf]).tobytes()
