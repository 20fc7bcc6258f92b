from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_tensors import tensors
from vespa_colbert.errors import ArrayError, ExpressionSyntaxError, TensorTypeError
from vespa_colbert.tensor import Tensor, TensorType, literal, parse_literal

NAN = float("nan")

# Text, type, cells: what Vespa's own description of the forms says, written out by hand.
FORMS = [
    ("5", "double", {(): 5.0}),
    ("  -1.5e3 ", "double", {(): -1500.0}),
    ("0000000000000010", "double", {(): 10.0}),
    ("{5.7}", "double", {(): 5.7}),
    ("tensor():{5.7}", "double", {(): 5.7}),
    ("tensor():{{}:1}", "double", {(): 1.0}),
    ("{}", "double", {(): 0.0}),
    ("{{x:a,y:0}:1.0, {y:1,x:'b c'}:2}", "tensor(x{},y{})", {("a", "0"): 1, ("b c", "1"): 2}),
    ("tensor<float>(x{}):{{x:l0}:1.0,}", "tensor<float>(x{})", {("l0",): 1.0}),
    ("tensor(x{}):{a:1, b:2}", "tensor(x{})", {("a",): 1.0, ("b",): 2.0}),
    ("tensor(x{}):{}", "tensor(x{})", {}),
    ("tensor(k{}):{'..\",}]:..':1}", "tensor(k{})", {('..",}]:..',): 1.0}),
    ('tensor(k{}):{"..\'..":1}', "tensor(k{})", {("..'..",): 1.0}),
    ("tensor(k{}):{'a\\n':1}", "tensor(k{})", {("a\\n",): 1.0}),
    ("tensor(k{}):{'':1}", "tensor(k{})", {("",): 1.0}),
    ("tensor(x[2]):[1,2]", "tensor(x[2])", {("0",): 1.0, ("1",): 2.0}),
    ("tensor(x[2]):{{x:1}:2}", "tensor(x[2])", {("0",): 0.0, ("1",): 2.0}),
    ("tensor( x[2] , m{} ) : {a : [ 1 , 2 ]}", "tensor(m{},x[2])", {("a", "0"): 1, ("a", "1"): 2}),
    ("tensor<int8>(x[2]):7fFF", "tensor<int8>(x[2])", {("0",): 127.0, ("1",): -1.0}),
    ("tensor<float>(k{},x[1]):{a:3FA00000}", "tensor<float>(k{},x[1])", {("a", "0"): 1.25}),
    ("tensor<bfloat16>(x[1]):3F80", "tensor<bfloat16>(x[1])", {("0",): 1.0}),
    ("tensor(x[1]):3FF0000000000000", "tensor(x[1])", {("0",): 1.0}),
    ("tensor(x[2],y[1]):[[1],[2]]", "tensor(x[2],y[1])", {("0", "0"): 1.0, ("1", "0"): 2.0}),
    ("tensor(x[2],y[1]):[1,2]", "tensor(x[2],y[1])", {("0", "0"): 1.0, ("1", "0"): 2.0}),
    (
        "tensor(y[2],x[3]):[[1,2,3],[4,5,6]]",
        "tensor(x[3],y[2])",
        {(str(x), str(y)): 1.0 + x + 3 * y for x in range(3) for y in range(2)},
    ),
    (
        "tensor(mb{}, ma{}, y[2], x[1]):{b:{a:[[1],[2]], c:[[3],[4]]}}",
        "tensor(ma{},mb{},x[1],y[2])",
        {
            ("a", "b", "0", "0"): 1.0,
            ("a", "b", "0", "1"): 2.0,
            ("c", "b", "0", "0"): 3.0,
            ("c", "b", "0", "1"): 4.0,
        },
    ),
    ("tensor(a{},b{}):{x:{y:1,z:2}}", "tensor(a{},b{})", {("x", "y"): 1.0, ("x", "z"): 2.0}),
    ("tensor<bfloat16>(x[1]):[1.0078124]", "tensor<bfloat16>(x[1])", {("0",): 1.0}),
    ("tensor(x[3]):[.5, 5., 1f]", "tensor(x[3])", {("0",): 0.5, ("1",): 5.0, ("2",): 1.0}),
]


class TestForms:
    @pytest.mark.parametrize(("text", "kind", "cells"), FORMS)
    def test_every_form_is_read(
        self, text: str, kind: str, cells: dict[tuple[str, ...], float]
    ) -> None:
        tensor = parse_literal(text)
        assert str(tensor.type) == kind
        assert tensor.cells() == cells

    def test_what_is_not_finite_and_the_sign_of_zero(self) -> None:
        values = parse_literal("tensor(x[6]):[NaN,nan,Infinity,-Infinity,inf,-0.0]").values[0]
        assert np.isnan(values[:2]).all()
        assert values[2:5].tolist() == [math.inf, -math.inf, math.inf]
        assert math.copysign(1.0, values[5]) == -1.0

    def test_a_type_beside_the_literal_stands_for_one_in_it(self) -> None:
        kind = TensorType.parse("tensor<float>(x[2])")
        assert parse_literal("[1,2]", kind) == parse_literal("tensor<float>(x[2]):[1,2]")
        assert parse_literal("tensor<float>(x[2]):[1,2]", kind).type == kind

    def test_a_type_beside_the_literal_must_be_its_own(self) -> None:
        with pytest.raises(TensorTypeError, match=r"expected a tensor of type tensor\(x\[2\]\)"):
            parse_literal("tensor(x[3]):[1,2,3]", TensorType.parse("tensor(x[2])"))

    @pytest.mark.parametrize(
        ("text", "bits"),
        [
            # Half way between 1 and the next float, and a hair to each side of it.
            ("1.000000059604644775390625", 0x3F800000),
            ("1.0000000596046447753906251", 0x3F800001),
            ("1.0000000596046447753906249", 0x3F800000),
            # Half way between that float and the one after: the even one, and a hair below it.
            ("1.000000178813934326171875", 0x3F800002),
            ("1.0000001788139343261718749", 0x3F800001),
            # Half way between the largest float and 2 to the 128th.
            ("340282356779733661637539395458142568448", 0x7F800000),
            ("340282356779733661637539395458142568447", 0x7F7FFFFF),
            ("1e400", 0x7F800000),
            ("-1e-400", 0x80000000),
        ],
    )
    def test_a_float_is_rounded_once(self, text: str, bits: int) -> None:
        values = parse_literal(f"tensor<float>(x[1]):[{text}]").values
        assert values.view(np.uint32)[0, 0] == bits

    def test_many_cells_are_read_whatever_way_each_is_written(self) -> None:
        labels = ["l", "'l'", '"l"']
        cells = [f"{{y:{y},x:{labels[y % 3]}}}:{y}" for y in range(50)]
        cells[20] = "{ x : l , y : 20 } : 20d"
        tensor = parse_literal(f"tensor(x{{}},y[50]):{{{' , '.join(cells)}}}")
        assert tensor.values.tolist() == [list(range(50))]


# Text, column of the fault, what the message says.
FAULTS = [
    ("", 1, "expected a number, or a literal starting with"),
    ("five", 1, "expected a number"),
    ("[1,2]", 1, "a dense literal needs a type"),
    ("{a:1}", 2, "expected a number, got 'a'"),
    ("tensor(x[2])", 13, "expected ':' after the type"),
    ("tensor(x[2]):[1]", 14, r"expected 2 numbers for x\[2\], got 1"),
    ("tensor(x[2]):[1,2,3]", 14, r"expected 2 numbers for x\[2\], got 3"),
    ("tensor(x[2]):[1,2", 18, "expected ']', got the end"),
    ("tensor(x[2]):[1,2,]", 19, "expected a number, got ']'"),
    ("tensor(x[2]):[]", 15, "expected a number, got ']'"),
    ("tensor(x[2]):[1,2]x", 19, "expected the end, got 'x'"),
    ("tensor(x[2]):[1,0x2]", 17, "expected a number, got '0x2'"),
    ("tensor(x[2]):[1,1_0]", 17, "expected a number, got '1_0'"),
    ("tensor(x[2]):[1,\u0661]", 17, "expected a number"),
    ("tensor(x[2]):01", 14, "expected 32 hexadecimal digits, got 2"),
    ("tensor<float>(x[1]):zz", 21, r"expected \[ or hexadecimal digits"),
    ("tensor(x[2],y[2]):[[1,2],[3]]", 26, r"expected 2 values for y\[2\], got 1"),
    ("tensor(x[2],y[2]):[[1,2]]", 19, r"expected 2 values for x\[2\], got 1"),
    ("tensor(m{},x[2]):[1,2]", 18, r"expected \{ for the type tensor\(m\{\},x\[2\]\)"),
    ("tensor(x[2]):{0:1,1:2}", 14, r"expected cells such as \{x:0\}:1 or \["),
    ("tensor(x[2]):{{x:2}:1}", 15, "expected an index of x from 0 to 1, got '2'"),
    ("tensor(x[2]):{{x:01}:1}", 15, "expected an index of x"),
    ("tensor(x[2]):{{x:-1}:1}", 15, "expected an index of x"),
    ("tensor(x{}):{{x:a}:1,{x:a}:2}", 22, "occurs twice"),
    ("tensor(x{}):{{y:a}:1}", 14, "expected an address with the dimensions x, got y"),
    ("tensor(x{}):{{}:1}", 14, "expected an address with the dimensions x, got none"),
    ("{{x:1}:1,{x:1,y:2}:1}", 10, "expected an address with the dimensions x, got x, y"),
    ("{{x:1,x:2}:1}", 7, "expected another dimension, got x"),
    ("{{x:1 y:2}:1}", 7, "expected ',' or '}', got 'y'"),
    ("{{x:1}:1} x", 11, "expected the end"),
    ("{{x:1}:1", 9, "expected ',' or '}', got the end"),
    ("tensor(m{}):{a:1,a:2}", 18, "the address a occurs twice"),
    ("tensor(m{}):{'a:1}", 14, "no closing '"),
    ("tensor(m{}):{:1}", 14, "expected a label, got ':'"),
    ("tensor(a{},b{}):{x:1}", 20, r"expected '\{', got '1'"),
    ("tensor(a{},b{}):{x:{}}", 21, "expected a label"),
    ("tensor(a{},b{}):{x:{y:1,}}", 25, "expected a label"),
    ("tensor<int8>(x[1]):[300]", 21, "whole number from -128 to 127, got 300"),
    ("tensor<int8>(x[1]):[1.5]", 21, "whole number from -128 to 127, got 1.5"),
    ("tensor<int8>(x{}):{{x:a}:NaN}", 26, "whole number"),
]


class TestFaults:
    @pytest.mark.parametrize(("text", "column", "message"), FAULTS)
    def test_a_fault_is_named_with_its_place(self, text: str, column: int, message: str) -> None:
        with pytest.raises(ExpressionSyntaxError, match=message) as caught:
            parse_literal(text)
        assert caught.value.position == column - 1

    @pytest.mark.parametrize("text", ["tensor(x[2000000000]):{}", "tensor(y{},x[200000000]):{}"])
    def test_a_few_words_do_not_fill_the_memory(self, text: str) -> None:
        with pytest.raises(TensorTypeError, match="expected at most 134217728 cells in a block"):
            parse_literal(text)

    @pytest.mark.parametrize("text", ["tensor(x):[1]", "tensor<int>(x[1]):[1]", "tensor(x[]):[1]"])
    def test_a_wrong_type_is_an_error(self, text: str) -> None:
        with pytest.raises(TensorTypeError):
            parse_literal(text)

    def test_a_list_of_numbers_that_does_not_end_is_found_at_once(self) -> None:
        with pytest.raises(ExpressionSyntaxError, match="got the end"):
            parse_literal("tensor(x[20000]):[" + "111111," * 20000 + "1")

    @given(st.text(alphabet="tensor(xm{}[2]):,1.5'\"a -", max_size=30))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        for whole in (text, f"tensor(m{{}},x[2]):{text}", f"tensor(x{{}}):{text}"):
            try:
                tensor = parse_literal(whole)
            except (ExpressionSyntaxError, TensorTypeError):
                continue
            assert parse_literal(literal(tensor)) == tensor


class TestPrinting:
    @pytest.mark.parametrize(
        ("tensor", "printed"),
        [
            ("5", "5.0"),
            ("tensor(x[2]):[1,-0.0]", "tensor(x[2]):[1.0, -0.0]"),
            ("tensor<float>(x[2]):[0.1,1e10]", "tensor<float>(x[2]):[0.1, 1.0E10]"),
            ("tensor<int8>(x[2]):[1,-2]", "tensor<int8>(x[2]):[1, -2]"),
            (
                "tensor(y[2],x[2]):[[1,2],[3,4]]",
                "tensor(x[2],y[2]):[[1.0, 3.0], [2.0, 4.0]]",
            ),
            ("tensor<float>(m{}):{b:0.5,a:1}", "tensor<float>(m{}):{a:1.0, b:0.5}"),
            ("tensor(m{},x[2]):{a:[1,2]}", "tensor(m{},x[2]):{a:[1.0, 2.0]}"),
            ("tensor(m{},x[1]):{a:[1]}", "tensor(m{},x[1]):{a:[1.0]}"),
            (
                "{{x:b,y:'c d'}:1,{x:a,y:e}:NaN}",
                "tensor(x{},y{}):{{x:a,y:e}:NaN, {x:b,y:'c d'}:1.0}",
            ),
            ("tensor(m{}):{it's:1}", 'tensor(m{}):{"it\'s":1.0}'),
            ("tensor(m{}):{a'b\"c:1}", "tensor(m{}):{a'b\"c:1.0}"),
            ("tensor(m{}):{}", "tensor(m{}):{}"),
        ],
    )
    def test_the_canonical_form(self, tensor: str, printed: str) -> None:
        assert literal(parse_literal(tensor)) == printed

    def test_the_long_form_has_every_address(self) -> None:
        tensor = parse_literal("tensor(m{},x[2]):{a:[1,2]}")
        assert literal(tensor, short=False) == ("tensor(m{},x[2]):{{m:a,x:0}:1.0, {m:a,x:1}:2.0}")

    def test_numbers_with_and_without_an_exponent_in_one_tensor(self) -> None:
        # The limits at which Double.toString changes its form are 0.001 and 10000000.
        written = "a:-0.0, b:0.001, c:9.99E-4, d:9999999.0, e:1.0E7, f:NaN, g:-Infinity"
        assert literal(parse_literal(f"tensor(m{{}}):{{{written}}}")).endswith(f"{{{written}}}")

    def test_cells_are_in_the_order_of_the_characters_of_their_labels(self) -> None:
        # Java compares UTF-16: the pair of U+1F600 comes before U+FFFD.
        tensor = parse_literal("{{x:\ufffd,y:2}:1,{x:\U0001f600,y:2}:2,{x:\U0001f600,y:10}:3}")
        assert literal(tensor) == (
            "tensor(x{},y{}):{{x:'\U0001f600',y:10}:3.0, {x:'\U0001f600',y:2}:2.0, "
            "{x:'\ufffd',y:2}:1.0}"
        )

    def test_a_label_that_no_literal_can_hold(self) -> None:
        tensor = Tensor.rows(TensorType.parse("tensor(m{})"), np.array([1.0]), ["' \""])
        with pytest.raises(ArrayError, match="both kinds of quotes"):
            literal(tensor)

    @given(tensors())
    def test_what_is_printed_is_read_back(self, tensor: Tensor) -> None:
        for short in (True, False):
            back = parse_literal(literal(tensor, short=short))
            assert back.type == tensor.type
            assert back == tensor
            assert _signs(back) == _signs(tensor)


def _signs(tensor: Tensor) -> dict[tuple[str, ...], float]:
    return {
        address: math.copysign(1.0, cell)
        for address, cell in tensor.cells().items()
        if not math.isnan(cell)
    }
