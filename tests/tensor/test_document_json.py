from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_tensors import tensors
from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor import Tensor, TensorType, parse_literal
from vespa_colbert.tensor.document_json import tensor_from_json, tensor_to_json

# Type, document JSON, the same tensor as a literal.
FORMS = [
    ("tensor(x{})", '{"cells":[{"address":{"x":"a"},"value":2}]}', "{a:2}"),
    ("tensor(x{})", '{"cells":{"a":2.5,"b":"-Infinity"}}', "{a:2.5,b:-Infinity}"),
    ("tensor(x{})", '{"a":2,"b":"nan","c":"1.5"}', "{a:2,b:NaN,c:1.5}"),
    ("tensor(x{})", '{"cells":2,"values":3}', "{cells:2,values:3}"),
    ("tensor(x{})", '{"type":"tensor(x{})","cells":{"a":1}}', "{a:1}"),
    ("tensor(x{})", '{"type":3}', "{type:3}"),
    ("tensor(x{})", "{}", "{}"),
    ("tensor(x{})", '{"cells":[]}', "{}"),
    ("tensor(x{},y{})", '[{"address":{"y":"b","x":"a"},"value":2}]', "{{x:a,y:b}:2}"),
    ("tensor(x[2])", '{"values":[1,2]}', "[1,2]"),
    ("tensor(x[2])", "[1,2]", "[1,2]"),
    ("tensor(x[2])", '{"cells":{"1":2}}', "[0,2]"),
    ("tensor(x[2])", '{"cells":[{"address":{"x":1},"value":2}]}', "[0,2]"),
    ("tensor(x[2],y[2])", "[[1,2],[3,4]]", "[[1,2],[3,4]]"),
    ("tensor(x[2],y[2])", '{"values":[1,2,3,4]}', "[[1,2],[3,4]]"),
    ("tensor<float>(x[2])", '"3F80000040000000"', "[1,2]"),
    ("tensor<float>(x[2])", '{"values":"3F804000"}', "[1,2]"),
    ("tensor<int8>(x[2])", '{"values":"01fe"}', "[1,-2]"),
    ("tensor<float>(m{},x[2])", '{"blocks":{"a":[1,2],"b":[3,4]}}', "{a:[1,2],b:[3,4]}"),
    ("tensor<float>(m{},x[2])", '{"a":[1,2],"b":"4040000040800000"}', "{a:[1,2],b:[3,4]}"),
    ("tensor(m{},x[2])", '{"blocks":[{"address":{"m":"a"},"values":[1,2]}]}', "{a:[1,2]}"),
    ("tensor(m{},x[2])", '{"cells":[{"address":{"m":"a","x":"1"},"value":5}]}', "{a:[0,5]}"),
    ("tensor(m{},x[2])", "{}", "{}"),
    ("tensor(m{},x[1],y[2])", '{"a":[[1,2]],"b":[3,4]}', "{a:[[1,2]],b:[[3,4]]}"),
    (
        "tensor<int8>(m{},n{},x[2])",
        '{"blocks":[{"address":{"m":"a","n":"b"},"values":"7f80"}]}',
        "{a:{b:[127,-128]}}",
    ),
]


class TestReading:
    @pytest.mark.parametrize(("kind", "text", "same"), FORMS)
    def test_every_form_is_read(self, kind: str, text: str, same: str) -> None:
        read = tensor_from_json(json.loads(text), TensorType.parse(kind))
        assert read == parse_literal(f"{kind}:{same}")

    def test_a_number_goes_through_double(self) -> None:
        # A hair above the middle of two floats, which double does not have.
        read = tensor_from_json(
            [1.0000000596046447753906251], TensorType.parse("tensor<float>(x[1])")
        )
        assert read.values.view(np.uint32)[0, 0] == 0x3F800000

    def test_bfloat16_is_cut_off(self) -> None:
        read = tensor_from_json([1.0078124], TensorType.parse("tensor<bfloat16>(x[1])"))
        assert read.values[0, 0] == 1.0

    @pytest.mark.parametrize(
        ("kind", "value", "message"),
        [
            ("tensor(x[2])", 5, "at values: expected a list or hexadecimal digits, got 5"),
            ("tensor(x[2])", [1], "at values: expected 2 values, got 1"),
            ("tensor(x[2])", [1, 2, 3], "at values: expected 2 values, got 3"),
            ("tensor(x[2])", [], "at values: expected 2 values, got 0"),
            ("tensor(x[2])", [[1, 2]], r"at values\[0\]: expected a number, got \[1, 2\]"),
            ("tensor(x[2])", [1, None], r"at values\[1\]: expected a number, got None"),
            ("tensor(x[2])", [1, True], r"at values\[1\]: expected a number, got True"),
            ("tensor(x[2])", [1, "1_0"], r"at values\[1\]: expected a number, got '1_0'"),
            ("tensor(x[2])", [1, "\u0661"], r"at values\[1\]: expected a number"),
            ("tensor(x[2])", [1, 10**400], "no double can hold"),
            ("tensor(x[2])", "3F8041", "at values: expected 32 hexadecimal digits, got 6"),
            ("tensor(x[2])", {"0": 1, "1": 2}, "at values: expected a list or hexadecimal"),
            ("tensor(x[2])", {"cells": {"2": 1}}, r"at cells\['2'\].x: expected an index from 0"),
            ("tensor(x[2])", {"values": [1, 2], "a": 1}, "expected values alone, got values, a"),
            ("tensor(x[2])", {"type": "tensor(x", "values": [1, 2]}, "at type: expected a type"),
            ("tensor(x[2],y[2])", [[1, 2], [3]], "at values: expected lists of one length"),
            (
                "tensor(x[2],y[3])",
                [[1, 2], [3, 4], [5, 6]],
                "expected 6 values, flat or as 2 by 3, got 3 by 2",
            ),
            ("tensor<int8>(x[1])", [300], "at values: expected whole numbers from -128 to 127"),
            ("tensor<int8>(m{},x[1])", {"a": [1.5]}, r"at blocks\['a'\]: expected whole numbers"),
            ("tensor(x{})", {"a": "x"}, r"at cells\['a'\]: expected a number, got 'x'"),
            ("tensor(x{})", {"a": [1]}, r"at cells\['a'\]: expected a number, got \[1\]"),
            ("tensor(x{})", 5, "at cells: expected a list or an object, got 5"),
            ("tensor(x{})", {"blocks": {"a": [1]}}, "blocks need mapped and indexed"),
            ("tensor(x{},y{})", {"cells": {"a": 1}}, "at cells: expected a list: x, y are"),
            (
                "tensor(x{})",
                [{"address": {"x": "a"}}],
                r"at cells\[0\]: expected address and value",
            ),
            (
                "tensor(x{})",
                [{"address": {"x": "a"}, "value": 1}] * 2,
                r"at cells\[1\]: this address occurs twice",
            ),
            (
                "tensor(x{})",
                [{"address": {"y": "a"}, "value": 1}],
                r"at cells\[0\].address: expected labels of x",
            ),
            (
                "tensor(x{})",
                [{"address": {"x": None}, "value": 1}],
                r"at cells\[0\].address.x: expected a label, got None",
            ),
            ("tensor(m{},x[2])", {"a": [1]}, r"at blocks\['a'\]: expected 2 values, got 1"),
            ("tensor(m{},x[2])", {"a": "00"}, r"at blocks\['a'\]: expected 32 hexadecimal digits"),
            ("tensor(m{},x[2])", {"blocks": 5}, "at blocks: expected a list or an object, got 5"),
            ("tensor(m{},n{},x[2])", {"a": [1, 2]}, "at blocks: expected a list: m, n are"),
            (
                "tensor(m{},x[1])",
                {"blocks": [{"address": {"m": "a"}, "values": [1]}] * 2},
                r"at blocks\[1\]: this address occurs twice",
            ),
        ],
    )
    def test_what_does_not_fit_the_field_is_named_with_its_place(
        self, kind: str, value: Any, message: str
    ) -> None:
        with pytest.raises(ArrayError, match=message) as caught:
            tensor_from_json(value, TensorType.parse(kind))
        assert str(caught.value).startswith(f"{kind} in document JSON")


class TestWriting:
    @pytest.mark.parametrize(
        ("tensor", "written", "hexadecimal"),
        [
            ("tensor(x[2]):[1,-0.0]", '{"values": [1.0, -0.0]}', None),
            ("tensor<float>(x[1],y[2]):[1,2]", '{"values": [[1.0, 2.0]]}', "3F80000040000000"),
            ("tensor<int8>(x[2]):[1,-2]", '{"values": [1, -2]}', "01FE"),
            ("tensor<bfloat16>(x[2]):[1,-2]", '{"values": [1.0, -2.0]}', "3F80C000"),
            ("tensor(m{}):{a:1}", '{"cells": {"a": 1.0}}', None),
            ("tensor(x[2]):[NaN,-Infinity]", '{"values": ["NaN", "-Infinity"]}', None),
            ("tensor(m{},x[2]):{a:[1,2]}", '{"blocks": {"a": [1.0, 2.0]}}', None),
            (
                "{{x:a,y:b}:1}",
                '{"cells": [{"address": {"x": "a", "y": "b"}, "value": 1.0}]}',
                None,
            ),
            (
                "tensor(x{},y{},z[1]):{a:{b:[Infinity]}}",
                '{"blocks": [{"address": {"x": "a", "y": "b"}, "values": ["Infinity"]}]}',
                None,
            ),
        ],
    )
    def test_the_shortest_form(self, tensor: str, written: str, hexadecimal: str | None) -> None:
        made = parse_literal(tensor)
        assert json.dumps(tensor_to_json(made), allow_nan=False) == written
        if hexadecimal is not None:
            assert tensor_to_json(made, hexadecimal=True) == {"values": hexadecimal}

    def test_an_address_that_occurs_twice_is_refused(self) -> None:
        kind = TensorType.parse("tensor(m{})")
        twice = Tensor(kind, np.zeros((2, 1), np.int64), (("a",),), np.zeros(2))
        with pytest.raises(ArrayError, match="an address occurs twice"):
            tensor_to_json(twice)

    @given(tensors(), st.booleans())
    def test_what_is_written_is_read_back(self, tensor: Tensor, hexadecimal: bool) -> None:
        written = json.dumps(tensor_to_json(tensor, hexadecimal=hexadecimal), allow_nan=False)
        assert tensor_from_json(json.loads(written), tensor.type) == tensor
