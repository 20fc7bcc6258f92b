from __future__ import annotations

import pytest

from vespa_colbert.rank.expand import FunctionBody, expand
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.shapes import Cells, Similarity, as_cells, as_max_sim

PRODUCTS = [
    "sum(reduce(sum(a * b, x), max, dt), qt)",
    "reduce(reduce(reduce(a * b, sum, x), max, dt), sum, qt)",
    "reduce(max(sum(a * b, x), dt), sum, qt)",
    "sum(max(reduce((a) * ((b)), sum, x), dt), qt)",
    "(sum((reduce((sum((a * b), x)), max, dt)), qt))",
    "sum(reduce(sum(join(a, b, f(p, q)(p * q)), x), max, dt), qt)",
    "sum(reduce(sum(join(a, b, f(p, q)((q) * p)), x), max, dt), qt)",
    "sum(reduce(matmul(a, b, x), max, dt), qt)",
    "sum(max(matmul(a, (b), x), dt), qt)",
]

INVERSES = [
    "sum(reduce(1 / (1 + sum(hamming(a, b), x)), max, dt), qt)",
    "sum(reduce(1 / (sum(hamming(a, b), x) + 1), max, dt), qt)",
    "sum(max(1.0 / (1.0 + reduce(hamming(a, b), sum, x)), dt), qt)",
    "sum(reduce(1 / (1 + sum(join(a, b, f(p, q)(hamming(p, q))), x)), max, dt), qt)",
    "sum(1 / (1 + reduce(sum(hamming(a, b), x), min, dt)), qt)",
    "sum(1 / (min(sum(hamming(a, b), x), dt) + 1), qt)",
]

DISTANCES = [
    "sum(reduce(sum(hamming(a, b), x), min, dt), qt)",
    "sum(min(reduce(hamming(a, b), sum, x), dt), qt)",
]

SPELLINGS = [
    *((text, Similarity.PRODUCT) for text in PRODUCTS),
    *((text, Similarity.INVERSE_HAMMING) for text in INVERSES),
    *((text, Similarity.HAMMING) for text in DISTANCES),
]


@pytest.mark.parametrize(("text", "similarity"), SPELLINGS)
def test_every_spelling_is_recognised(text: str, similarity: Similarity) -> None:
    found = as_max_sim(parse_expression(text))
    assert found is not None
    assert found.similarity is similarity
    assert [str(side).strip("()") for side in (found.left, found.right)] == ["a", "b"]
    assert (found.summed, found.best_over, found.component) == ("qt", ("dt",), "x")


@pytest.mark.parametrize("inner", ["max, token, context", "max, context, token"])
def test_the_best_over_two_dimensions(inner: str) -> None:
    found = as_max_sim(parse_expression(f"sum(reduce(sum(a * b, x), {inner}), qt)"))
    assert found is not None
    assert set(found.best_over) == {"token", "context"}


def test_the_best_of_the_best() -> None:
    text = "sum(reduce(max(sum(a * b, x), token), max, context), qt)"
    found = as_max_sim(parse_expression(text))
    assert found is not None
    assert set(found.best_over) == {"token", "context"}


def test_a_sum_over_all_that_is_left() -> None:
    found = as_max_sim(parse_expression("sum(reduce(sum(a * b, x), max, dt))"))
    assert found is not None
    assert found.summed is None


def test_functions_in_between() -> None:
    bodies = {
        "bits": ((), "unpack_bits(attribute(d))"),
        "products": (("q",), "sum(q * bits, x)"),
        "best": (("t", "over"), "reduce(t, max, over)"),
        "total": ((), "sum(best(products(query(qt)), dt), qt)"),
    }
    functions = {
        name: FunctionBody(parameters=parameters, body=parse_expression(body))
        for name, (parameters, body) in bodies.items()
    }
    found = as_max_sim(expand(parse_expression("total"), functions))
    assert found is not None
    assert as_cells(found.right).bits == "big"


@pytest.mark.parametrize(
    "text",
    [
        "sum(reduce(sum(a + b, x), max, dt), qt)",
        "sum(reduce(sum(a * b, x), min, dt), qt)",
        "sum(reduce(sum(a * b, x), max), qt)",
        "sum(reduce(sum(a * b), max, dt), qt)",
        "sum(reduce(sum(a * b, x, y), max, dt), qt)",
        "sum(reduce(sum(a * b, x), max, dt), qt, y)",
        "sum(sum(a * b, x), qt)",
        "sum(reduce(avg(a * b, x), max, dt), qt)",
        "avg(reduce(sum(a * b, x), max, dt), qt)",
        "reduce(sum(a * b, x), max, dt)",
        "sum(reduce(2 / (1 + sum(hamming(a, b), x)), max, dt), qt)",
        "sum(reduce(1 / (2 + sum(hamming(a, b), x)), max, dt), qt)",
        "sum(reduce(1 / (1 - sum(hamming(a, b), x)), max, dt), qt)",
        "sum(reduce(1 / (1 + sum(hamming(a, b), x)), min, dt), qt)",
        "sum(reduce(1 / (1 + sum(a * b, x)), max, dt), qt)",
        "sum(1 / (1 + reduce(sum(hamming(a, b), x), max, dt)), qt)",
        "sum(reduce(sum(hamming(a, b), x), max, dt), qt)",
        "sum(reduce(sum(join(a, b, f(p, q)(p * p)), x), max, dt), qt)",
        "sum(reduce(sum(join(a, b, f(p, q)(p * q * 2)), x), max, dt), qt)",
        "sum(reduce(sum(a * b, x), max, x), qt)",
        "sum(reduce(sum(a * b, x), max, qt), qt)",
        "a * b",
        "1",
    ],
)
def test_other_expressions_are_none(text: str) -> None:
    assert as_max_sim(parse_expression(text)) is None


@pytest.mark.parametrize(
    ("text", "cast", "bits"),
    [
        ("a", None, None),
        ("(a)", None, None),
        ("cell_cast(a, double)", "double", None),
        ("unpack_bits(a)", "float", "big"),
        ("unpack_bits(a, bfloat16)", "bfloat16", "big"),
        ("unpack_bits(a, float, little)", "float", "little"),
        ("cell_cast(unpack_bits(a, int8), double)", "double", "big"),
    ],
)
def test_what_changes_only_the_form_of_cells_is_taken_off(
    text: str, cast: str | None, bits: str | None
) -> None:
    assert as_cells(parse_expression(text)) == Cells(
        node=parse_expression("a"), cast=cast, bits=bits
    )


def test_a_cast_of_a_cast_stays_as_it_is() -> None:
    node = parse_expression("cell_cast(cell_cast(a, bfloat16), float)")
    assert as_cells(node) == Cells(node=node)
