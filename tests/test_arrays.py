from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from vespa_colbert.arrays import (
    check_array,
    pack_bits,
    truncate_to_bfloat16,
    unit_rows,
    unpack_bits,
)
from vespa_colbert.errors import ArrayError

BYTES = arrays_of.arrays(
    np.int8, st.tuples(st.integers(0, 5), st.integers(1, 4)), elements=st.integers(-128, 127)
)
FLOATS = arrays_of.arrays(
    np.float32, st.integers(0, 20), elements=st.floats(width=32, allow_subnormal=True)
)


class TestPackBits:
    def test_first_component_is_the_highest_bit(self) -> None:
        vectors = np.array([[1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1, 1]], np.float32)
        assert pack_bits(vectors).tolist() == [[-128], [127]]

    def test_components_beyond_eight_go_to_the_next_byte(self) -> None:
        vectors = np.array([[0.0] * 7 + [0.1] + [0.0] * 6 + [0.1, 0.1]], np.float32)
        assert pack_bits(vectors).tolist() == [[1, 3]]

    def test_only_values_above_zero_set_a_bit(self) -> None:
        tiny = np.nextafter(np.float32(0), np.float32(1))
        vectors = np.array([[0.0, -0.0, -tiny, tiny, -1.0, np.inf, -np.inf, 5.0]], np.float32)
        assert pack_bits(vectors).tolist() == [[0b00010101]]

    def test_result_is_int8_of_an_eighth_of_the_width(self) -> None:
        packed = pack_bits(np.ones((3, 16), np.float32))
        assert (packed.dtype, packed.shape) == (np.dtype(np.int8), (3, 2))

    def test_no_rows_give_no_rows(self) -> None:
        assert pack_bits(np.zeros((0, 16), np.float32)).shape == (0, 2)

    def test_nan_is_refused(self) -> None:
        vectors = np.zeros((2, 8), np.float32)
        vectors[1, 3] = np.nan
        with pytest.raises(ArrayError, match="NaN"):
            pack_bits(vectors)

    @pytest.mark.parametrize("width", [1, 7, 9, 12])
    def test_width_that_is_no_multiple_of_eight_is_refused(self, width: int) -> None:
        with pytest.raises(ArrayError, match=f"divisible by 8, got {width}"):
            pack_bits(np.ones((1, width), np.float32))


class TestUnpackBits:
    def test_bits_become_zeros_and_ones_highest_first(self) -> None:
        unpacked = unpack_bits(np.array([[-128, 5]], np.int8))
        assert unpacked.tolist() == [[1.0] + [0.0] * 7 + [0, 0, 0, 0, 0, 1, 0, 1]]
        assert unpacked.dtype == np.float32

    @given(BYTES)
    def test_packing_what_was_unpacked_is_the_identity(self, packed: np.ndarray) -> None:
        assert np.array_equal(pack_bits(unpack_bits(packed)), packed)

    def test_a_strided_array_unpacks_like_its_copy(self) -> None:
        packed = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)[::2, ::2]
        assert np.array_equal(unpack_bits(packed), unpack_bits(packed.copy()))


class TestTruncateToBfloat16:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (1.0, 1.0),
            # 0x3F808000: exactly half of the last kept bit; rounding to even would give 1.0 too
            (1.00390625, 1.0),
            # 0x3F80FFFF: the largest float below the next bfloat16; rounding would go up
            (1.0078124, 1.0),
            (1.0078125, 1.0078125),
            # 0x3F818000: half above an odd mantissa, which rounding to even takes to 1.015625
            (1.01171875, 1.0078125),
            (-1.0078124, -1.0),
            (3.3895314e38, 3.3895314e38),
            (3.4028235e38, 3.3895314e38),
            (1e-40, 9.18354961579912e-41),
        ],
    )
    def test_lower_bits_are_cut_off_and_not_rounded(self, value: float, expected: float) -> None:
        assert truncate_to_bfloat16(np.array([value], np.float32))[0] == np.float32(expected)

    def test_infinities_signs_and_nan_stay(self) -> None:
        given = np.array([np.inf, -np.inf, 0.0, -0.0, np.nan], np.float32)
        kept = truncate_to_bfloat16(given)
        assert kept[:4].tolist() == [np.inf, -np.inf, 0.0, 0.0]
        assert np.signbit(kept[:4]).tolist() == [False, True, False, True]
        assert np.isnan(kept[4])

    def test_a_double_beyond_float_becomes_infinite_without_a_warning(self) -> None:
        assert truncate_to_bfloat16(np.array([1e300, -1e300])).tolist() == [np.inf, -np.inf]

    @given(FLOATS)
    def test_lower_half_of_the_bits_is_zero_and_the_upper_half_is_kept(
        self, values: np.ndarray
    ) -> None:
        kept = truncate_to_bfloat16(values).view(np.uint32)
        assert not (kept & 0xFFFF).any()
        assert np.array_equal(kept >> 16, values.view(np.uint32) >> 16)

    def test_the_argument_is_left_alone(self) -> None:
        values = np.array([1.0078124], np.float32)
        truncate_to_bfloat16(values)
        assert values[0] == np.float32(1.0078124)


class TestCheckArray:
    def test_a_fitting_array_passes(self) -> None:
        check_array(np.zeros((2, 4), np.float32), "rows", dtype=np.float32, shape=(None, 4))

    def test_another_dtype_is_named(self) -> None:
        with pytest.raises(ArrayError, match="rows: expected dtype float32, got float64"):
            check_array(np.zeros(1), "rows", dtype=np.float32, shape=(None,))

    @pytest.mark.parametrize("shape", [(2, 5), (4,), (2, 4, 1)])
    def test_another_shape_is_named(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ArrayError) as caught:
            check_array(np.zeros(shape, np.float32), "rows", dtype=np.float32, shape=(None, 4))
        assert str(caught.value) == f"rows: expected shape (any, 4), got {shape}"


def test_rows_get_length_1_and_zeros_stay() -> None:
    rows = np.array([[3.0, -4.0], [0.0, 0.0]], np.float32)
    units = unit_rows(rows)
    assert units.dtype == np.float32
    assert units == pytest.approx(
        np.array([[0.6, -0.8], [0.0, 0.0]]), abs=2.0**-24
    )  # half an ulp below 1
