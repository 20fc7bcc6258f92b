from __future__ import annotations

import numpy as np
import pytest

from tests.rank.evaluations import NAN, tensor
from vespa_colbert.errors import (
    ExpressionTypeError,
)
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.evaluate import Evaluation, batch_numbers
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType

KIND = TensorType.parse("tensor<float>(dt{},x[2])")
ROWS = DocumentRows(
    type=KIND,
    offsets=np.array([0, 2, 2, 3], np.int64),
    values=np.array([[1, 2], [3, 4], [-5, -6]], np.float32),
)
BATCH: dict[str, Tensor | DocumentRows] = {
    "attribute(rows)": ROWS,
    "bm25(text)": batch_numbers([1.0, 0.0, NAN]),
    "query(qt)": tensor("tensor<float>(qt{},x[2])", {"0": [1, 0], "1": [0, 1]}),
    "query(w)": tensor("tensor<float>(x[2])", [1, 10]),
    "query(n)": Tensor.number(2.0),
}


class TestBatch:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("bm25(text)", [1, 0, NAN]),
            ("bm25(text) + query(n)", [3, 2, NAN]),
            ("query(n) - bm25(text) * 10", [-8, 2, NAN]),
            ("-bm25(text)", [-1, 0, NAN]),
            ("count(bm25(text))", [1, 1, 1]),
            ("sum(bm25(text))", [1, 0, NAN]),
            ("if(bm25(text) > 0, 10, bm25(text) - 1)", [10, -1, NAN]),
            ("if(bm25(text), 1, 2)", [1, 2, 1]),
            ("if(query(n) > 5, 1, bm25(text))", [1, 0, NAN]),
            ("bm25(text) in [0]", [0, 1, 0]),
            ("map(bm25(text), f(x)(if(x > 0, 5, 6)))", [5, 6, 6]),
            ("sum(attribute(rows))", [10, 0, -11]),
            ("count(attribute(rows))", [4, 0, 2]),
            ("reduce(attribute(rows), max)", [4, 0, -5]),
            ("reduce(attribute(rows), min)", [1, 0, -6]),
            ("reduce(attribute(rows), avg)", [2.5, 0, -5.5]),
            ("reduce(attribute(rows), median)", [2.5, 0, -5.5]),
            ("reduce(attribute(rows), prod)", [24, 0, 30]),
            ("sum(attribute(rows) * query(w))", [64, 0, -65]),
            ("sum(reduce(attribute(rows), max, dt))", [7, 0, -11]),
            ("sum(reduce(attribute(rows), max, dt) + 1)", [9, 2, -9]),
            ("reduce(sum(attribute(rows), dt) * query(w), sum)", [64, 0, -65]),
            ("sum(reduce(sum(query(qt) * attribute(rows), x), max, dt), qt)", [7, 0, -11]),
            ("max(sum(attribute(rows), x), dt)", [7, None, -11]),
            ("sum(query(w)) + 1", [12, 12, 12]),
        ],
    )
    def test_scores_by_hand(self, source: str, wanted: list[float | None]) -> None:
        # A maximum over no token is 0 when nothing is left to label it, as in Vespa.
        expected = [0.0 if value is None else value for value in wanted]
        got = Evaluation(BATCH.get, 3).scores(parse_expression(source))
        assert np.array_equal(got, expected, equal_nan=True)

    def test_a_tensor_is_no_condition(self) -> None:
        with pytest.raises(ExpressionTypeError, match="expected a number"):
            Evaluation(BATCH.get, 3).scores(parse_expression("if(attribute(rows), 1, 2)"))

    def test_branches_of_two_types_are_refused(self) -> None:
        with pytest.raises(ExpressionTypeError, match="expected branches of one type"):
            Evaluation(BATCH.get, 3).scores(parse_expression("if(bm25(text), query(w), 1)"))

    def test_every_document_takes_its_own_branch(self) -> None:
        source = "sum(if(bm25(text), query(w), query(w) * 2))"
        found = Evaluation(BATCH.get, 3).scores(parse_expression(source))
        assert found.tolist() == [11, 22, 11]

    def test_a_batch_of_none_has_no_scores(self) -> None:
        nothing = ROWS.select(np.zeros(0, np.int64))
        features = BATCH | {"attribute(rows)": nothing, "bm25(text)": batch_numbers([])}
        for source in ("bm25(text) + 1", "sum(attribute(rows) * query(w))", "query(n)"):
            assert Evaluation(features.get, 0).scores(parse_expression(source)).shape == (0,)
