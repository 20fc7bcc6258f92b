from __future__ import annotations

import pytest

from vespa_colbert.rank.standalone import evaluate_expression
from vespa_colbert.rank.string_hash import string_value
from vespa_colbert.vespa_java import VespaJava

LENGTHS = (*range(20), 33, 64, 65, 96, 97, 128, 129, 144, 240, 241, 1024, 1025, 3000)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("this is a string that will be hashed", -4.655378102461671e-25),
        ("foo bar baz", 203348547336833.0),
    ],
)
def test_the_value_that_vespas_content_nodes_give(text: str, wanted: float) -> None:
    assert string_value(text) == wanted


@pytest.mark.java
def test_strings_of_every_length_class_have_javas_value() -> None:
    with VespaJava() as java:
        for length in LENGTHS:
            text = "".join(chr(97 + place * place % 26) for place in range(length))
            source = f"reduce('{text}', max)"
            theirs = java.evaluate_expression(source, {}).as_number()
            assert evaluate_expression(source, {}).value.as_number() == theirs, length
