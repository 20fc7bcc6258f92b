from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vespa_colbert.errors import TensorTypeError
from vespa_colbert.tensor import CellType, Dimension, TensorType

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
SIZES = st.one_of(st.none(), st.integers(1, 10_000))
DIMENSIONS = st.dictionaries(NAMES, SIZES, max_size=4)


@st.composite
def types(draw: st.DrawFn) -> TensorType:
    dimensions = tuple(Dimension(name, size) for name, size in draw(DIMENSIONS).items())
    cells = draw(st.sampled_from(CellType)) if dimensions else CellType.DOUBLE
    return TensorType(cells, dimensions)


class TestParse:
    @given(types())
    def test_what_was_printed_parses_to_the_same_type(self, tensor_type: TensorType) -> None:
        assert TensorType.parse(str(tensor_type)) == tensor_type

    @pytest.mark.parametrize(
        ("text", "printed"),
        [
            ("tensor<float>(x[128],qt{})", "tensor<float>(qt{},x[128])"),
            ("tensor<int8>(dt{},x[16])", "tensor<int8>(dt{},x[16])"),
            ("tensor<double>(x[3])", "tensor(x[3])"),
            ("tensor(b{},a{},c[2],B{})", "tensor(B{},a{},b{},c[2])"),
            (" tensor < bfloat16 > ( x [ 2 ] , y { } ) ", "tensor<bfloat16>(x[2],y{})"),
            ("tensor()", "double"),
            ("double", "double"),
        ],
    )
    def test_it_prints_in_canonical_form(self, text: str, printed: str) -> None:
        assert str(TensorType.parse(text)) == printed

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected a type such as"),
            ("tensor", "expected a type such as"),
            ("tensor<float>", "expected a type such as"),
            ("tensor<float>(x[3]", "expected a type such as"),
            ("tensor<float>(x[3]))", r"expected a dimension such as dt\{\} or x\[128\]"),
            ("vector(x[3])", "expected a type such as"),
            (
                "tensor<float16>(x[3])",
                "a cell type among double, float, bfloat16, int8, got float16",
            ),
            ("tensor(x)", "expected a dimension such as .*, got 'x'"),
            ("tensor(x[])", "expected a dimension"),
            ("tensor(x[-1])", "expected a dimension"),
            ("tensor(x[1.5])", "expected a dimension"),
            ("tensor(x[3],)", "expected a dimension .*, got ''"),
            ("tensor(x{3})", "expected a dimension"),
            ("tensor(x-1[3])", "expected a dimension"),
            ("tensor(x y[3])", "expected a dimension"),
            ("tensor(x[0])", "dimension x: expected a size of 1 or more"),
            ("tensor(x[3],x{})", "a dimension occurs twice"),
            ("tensor<float>()", "a number has cells of type double"),
        ],
    )
    def test_what_is_no_type_is_refused(self, text: str, message: str) -> None:
        with pytest.raises(TensorTypeError, match=message):
            TensorType.parse(text)


class TestTensorType:
    def test_dimensions_are_sorted_by_name_however_they_are_given(self) -> None:
        given_order = (Dimension("x", 3), Dimension("b"), Dimension("a", 2), Dimension("qt"))
        tensor_type = TensorType(CellType.FLOAT, given_order)
        assert [each.name for each in tensor_type.dimensions] == ["a", "b", "qt", "x"]
        assert tensor_type == TensorType(CellType.FLOAT, tuple(reversed(given_order)))
        assert hash(tensor_type) == hash(TensorType(CellType.FLOAT, tuple(reversed(given_order))))

    def test_its_parts(self) -> None:
        tensor_type = TensorType.parse("tensor<int8>(dt{},c{},x[16],a[2])")
        assert tensor_type.mapped == ("c", "dt")
        assert tensor_type.indexed == ("a", "x")
        assert tensor_type.shape == (2, 16)
        assert tensor_type.dimension("x") == Dimension("x", 16)
        assert tensor_type.dimension("c") == Dimension("c", None)
        assert tensor_type.dimension("nosuch") is None
        assert not tensor_type.is_number

    def test_a_number_has_no_dimensions(self) -> None:
        number = TensorType(CellType.DOUBLE)
        assert number.is_number
        assert (number.shape, number.mapped, number.indexed) == ((), (), ())

    @pytest.mark.parametrize("cells", [CellType.FLOAT, CellType.BFLOAT16, CellType.INT8])
    def test_a_number_of_other_cells_is_refused(self, cells: CellType) -> None:
        with pytest.raises(TensorTypeError, match="a number has cells of type double"):
            TensorType(cells)

    @pytest.mark.parametrize(
        ("cells", "dtype", "size"),
        [
            (CellType.DOUBLE, np.float64, 8),
            (CellType.FLOAT, np.float32, 4),
            (CellType.BFLOAT16, np.float32, 2),
            (CellType.INT8, np.int8, 1),
        ],
    )
    def test_cells_are_held_in_a_dtype_and_stored_in_bytes(
        self, cells: CellType, dtype: type[np.generic], size: int
    ) -> None:
        assert cells.dtype == np.dtype(dtype)
        assert cells.size == size
