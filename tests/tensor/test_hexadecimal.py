from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor import CellType
from vespa_colbert.tensor.hexadecimal import cells_from_hex, hex_of_cells, is_hex


class TestReading:
    @pytest.mark.parametrize(
        ("text", "cell_type", "cells"),
        [
            ("017fFF80", CellType.INT8, [1, 127, -1, -128]),
            ("3F80c000", CellType.BFLOAT16, [1.0, -2.0]),
            ("3F8000003FA00000c1990000", CellType.FLOAT, [1.0, 1.25, -19.125]),
            ("3ff8000000000000", CellType.DOUBLE, [1.5]),
        ],
    )
    def test_the_cells_own_digits(self, text: str, cell_type: CellType, cells: list[float]) -> None:
        read = cells_from_hex(text, len(cells), cell_type)
        assert read.tolist() == cells
        assert read.dtype == cell_type.dtype
        assert hex_of_cells(read, cell_type) == text.upper()

    @pytest.mark.parametrize("cell_type", [CellType.BFLOAT16, CellType.FLOAT, CellType.DOUBLE])
    @pytest.mark.parametrize("text", ["01FE", "3F80C000", "3F800000C0000000"])
    def test_digits_of_another_type_are_told_by_their_number(
        self, text: str, cell_type: CellType
    ) -> None:
        read = cells_from_hex(text, 2, cell_type)
        assert read.tolist() == [1.0, -2.0]
        assert read.dtype == cell_type.dtype

    def test_what_a_narrower_type_loses(self) -> None:
        assert cells_from_hex("3F80FFFF", 1, CellType.BFLOAT16).view(np.uint32)[0] == 0x3F800000
        assert cells_from_hex("7FEFFFFFFFFFFFFF", 1, CellType.FLOAT)[0] == np.inf

    @pytest.mark.parametrize(
        ("text", "cell_type", "message"),
        [
            ("", CellType.FLOAT, "expected hexadecimal digits, got ''"),
            ("zz", CellType.INT8, "expected hexadecimal digits, got 'zz'"),
            ("01 02", CellType.INT8, "expected hexadecimal digits"),
            ("010", CellType.INT8, "expected 4 hexadecimal digits, got 3"),
            ("3F804000", CellType.INT8, "expected 4 hexadecimal digits, got 8"),
            ("3F8040", CellType.FLOAT, "expected 16 hexadecimal digits, got 6"),
        ],
    )
    def test_other_digits_are_refused(self, text: str, cell_type: CellType, message: str) -> None:
        with pytest.raises(ArrayError, match=message):
            cells_from_hex(text, 2, cell_type)

    def test_only_the_cells_own_type_where_that_is_asked(self) -> None:
        with pytest.raises(ArrayError, match="expected 8 hexadecimal digits, got 4"):
            cells_from_hex("3F80", 1, CellType.FLOAT, exact=True)


def test_what_is_hexadecimal() -> None:
    assert is_hex("0aF")
    assert not is_hex("")
    assert not is_hex("0x1")
    assert not is_hex("\u0661")


@given(st.lists(st.floats(), min_size=1), st.sampled_from(list(CellType)[:2]))
def test_every_bit_comes_back(values: list[float], cell_type: CellType) -> None:
    with np.errstate(over="ignore"):
        cells = np.array(values).astype(cell_type.dtype)
    text = hex_of_cells(cells, cell_type)
    assert cells_from_hex(text, len(values), cell_type, exact=True).tobytes() == cells.tobytes()
