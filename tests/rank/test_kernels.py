from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vespa_colbert.arrays import pack_bits, truncate_to_bfloat16
from vespa_colbert.errors import ExpressionTypeError
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank import evaluate, kernels
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.expand import FunctionBody, expand
from vespa_colbert.rank.kernels import BLOCK_ROWS, max_sim, max_sim_bits
from vespa_colbert.rank.parser import parse_expression
from vespa_colbert.tensor import Tensor, TensorType

DIM = 16
PRODUCT_ERROR = DIM * np.finfo(np.float32).eps
"""Of one float32 dot product of vectors no longer than 1, against the same in double."""

Features = dict[str, Tensor | DocumentRows]


def documents(lengths: list[int], kind: str, seed: int, *, sign: float = 0.0) -> DocumentRows:
    """Return random token vectors; with a sign, all products with a positive query have it."""
    generator = np.random.default_rng(seed)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    vectors = generator.normal(size=(int(offsets[-1]), DIM)).astype(np.float32)
    if sign:
        vectors = np.abs(vectors) * np.float32(sign)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if kind == "int8":
        values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = pack_bits(vectors)
    else:
        values = truncate_to_bfloat16(vectors) if kind == "bfloat16" else vectors
    width = DIM // 8 if kind == "int8" else DIM
    tensor_type = TensorType.parse(f"tensor<{kind}>(dt{{}},x[{width}])")
    return DocumentRows(type=tensor_type, offsets=offsets, values=values)


def query(tokens: int, seed: int, kind: str = "float", *, positive: bool = False) -> Tensor:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(tokens, DIM))
    vectors = np.abs(vectors) if positive else vectors
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Tensor.rows(TensorType.parse(f"tensor<{kind}>(qt{{}},x[{DIM}])"), vectors)


def scores(source: str, features: Features, count: int, *, kernels_on: bool) -> np.ndarray:
    run = Evaluation(features.get, count, uses_kernels=kernels_on)
    return run.scores(parse_expression(source))


FLOAT_MAX_SIM = "sum(reduce(sum(query(qt) * attribute(d), x), max, dt), qt)"
BITS_MAX_SIM = "sum(reduce(sum(query(qt) * unpack_bits(attribute(d)), x), max, dt), qt)"

SPELLINGS = [
    FLOAT_MAX_SIM,
    "sum(reduce(sum(attribute(d) * query(qt), x), max, dt), qt)",
    "reduce(reduce(reduce(query(qt) * attribute(d), sum, x), max, dt), sum, qt)",
    "reduce(max(sum(query(qt) * attribute(d), x), dt), sum, qt)",
    "sum(max(reduce((query(qt)) * ((attribute(d))), sum, x), dt), qt)",
    "(sum((reduce((sum((query(qt) * attribute(d)), x)), max, dt)), qt))",
    "sum(reduce(sum(unpack_bits(attribute(d)) * query(qt), x), max, dt), qt)",
    "sum(max(sum(query(qt) * (unpack_bits((attribute(d)))), x), dt), qt)",
    BITS_MAX_SIM,
]


class Counted:
    """Counts how often kernels are called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        for name in ("max_sim", "max_sim_bits"):
            monkeypatch.setattr(evaluate, name, self.counting(getattr(kernels, name)))

    def counting(self, kernel: object) -> object:
        assert callable(kernel)

        def count(*arguments: object) -> object:
            self.calls += 1
            return kernel(*arguments)

        return count


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


class TestByHand:
    QUERY = np.array([[1, 0], [0, 1], [-1, -1]], np.float32)
    ROWS = np.array([[1, 2], [3, -4], [-5, -6], [0.5, 0.25]], np.float32)
    OFFSETS = np.array([0, 2, 2, 3, 4], np.int64)

    def test_the_best_row_of_each_query_token_is_summed(self) -> None:
        # (3 + 2 + 1), no row, (-5 - 6 + 11), (0.5 + 0.25 - 0.75)
        assert max_sim(self.QUERY, self.ROWS, self.OFFSETS).tolist() == [6.0, 0.0, 0.0, 0.0]
        assert max_sim(self.QUERY[:2], self.ROWS, self.OFFSETS).tolist() == [5, 0, -11, 0.75]

    def test_no_query_token_and_no_document_give_nothing(self) -> None:
        assert max_sim(self.QUERY[:0], self.ROWS, self.OFFSETS).tolist() == [0, 0, 0, 0]
        assert max_sim(self.QUERY, self.ROWS[:0], np.array([0])).tolist() == []
        assert max_sim(self.QUERY, self.ROWS[:0], np.array([0, 0, 0])).tolist() == [0, 0]

    def test_bits_are_zeros_and_ones_with_the_highest_first(self) -> None:
        weights = np.array([[2.0**i for i in range(8)], [-1.0] * 8], np.float32)
        packed = np.array([[1], [-128], [3]], np.int8)
        # 1 is the last component: 128 and -1; -128 the first: 1 and -1; 3 the last two: 192 and -2
        assert max_sim_bits(weights, packed, np.array([0, 2, 3], np.int64)).tolist() == [127, 190]
        assert max_sim_bits(weights, packed, np.array([0, 3], np.int64)).tolist() == [191]

    def test_products_are_summed_in_double(self) -> None:
        rows = np.array([[2.0**24, 1.0]], np.float32)
        assert max_sim(self.QUERY[:2], rows, np.array([0, 1], np.int64)).tolist() == [2.0**24 + 1]

    def test_nan_is_never_the_best(self) -> None:
        rows = np.array([[np.nan, 1], [2, 3], [np.nan, np.nan]], np.float32)
        got = max_sim(self.QUERY[:2], rows, np.array([0, 2, 3], np.int64))
        assert got.tolist() == [5.0, -np.inf]


LENGTHS = [
    [1],
    [0],
    [3, 1, 0, 5],
    [0, 0, 2, 0],
    [BLOCK_ROWS + 3],
    [1, BLOCK_ROWS - 1, 1, 0, 2 * BLOCK_ROWS + 1, 4, 0],
    [BLOCK_ROWS, BLOCK_ROWS],
    [7] * 700,
]


class TestAgainstTheAlgebra:
    @pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)} documents")
    @pytest.mark.parametrize("kind", ["float", "bfloat16", "int8"])
    def test_ragged_batches(self, lengths: list[int], kind: str, counted: Counted) -> None:
        source = BITS_MAX_SIM if kind == "int8" else FLOAT_MAX_SIM
        features: Features = {"query(qt)": query(3, 1), "attribute(d)": documents(lengths, kind, 2)}
        self.compare(source, features, len(lengths))
        assert counted.calls == 1

    def compare(self, source: str, features: Features, count: int) -> None:
        fast = scores(source, features, count, kernels_on=True)
        slow = scores(source, features, count, kernels_on=False)
        tokens = features["query(qt)"]
        assert isinstance(tokens, Tensor)
        # A bit vector may be as long as the root of its width.
        longest = DIM**0.5 if "unpack_bits" in source else 1.0
        tolerance = PRODUCT_ERROR * longest * max(1, len(tokens.values))
        assert np.abs(fast - slow).max(initial=0.0) <= tolerance

    @pytest.mark.parametrize("source", SPELLINGS)
    def test_every_spelling_goes_to_a_kernel(self, source: str, counted: Counted) -> None:
        kind = "int8" if "unpack_bits" in source else "float"
        features: Features = {
            "query(qt)": query(4, 3),
            "attribute(d)": documents([2, 0, 3], kind, 4),
        }
        self.compare(source, features, 3)
        assert counted.calls == 1

    @pytest.mark.parametrize("kind", ["float", "int8"])
    @pytest.mark.parametrize("lengths", [[1, 4, 0, 2], [BLOCK_ROWS + 1, 1]])
    def test_negative_scores_only(self, kind: str, lengths: list[int]) -> None:
        rows = documents(lengths, kind, 5, sign=1.0 if kind == "int8" else -1.0)
        tokens = query(3, 6, positive=True)
        if kind == "int8":
            tokens = Tensor(tokens.type, tokens.codes, tokens.labels, -tokens.values)
        source = BITS_MAX_SIM if kind == "int8" else FLOAT_MAX_SIM
        features: Features = {"query(qt)": tokens, "attribute(d)": rows}
        self.compare(source, features, len(lengths))
        got = scores(source, features, len(lengths), kernels_on=True)
        assert [score < 0 for score in got] == [length > 0 for length in lengths]

    @pytest.mark.parametrize("source", [FLOAT_MAX_SIM, BITS_MAX_SIM])
    def test_a_query_without_tokens(self, source: str) -> None:
        kind = "int8" if "unpack_bits" in source else "float"
        features: Features = {"query(qt)": query(0, 1), "attribute(d)": documents([2, 0], kind, 1)}
        for on in (True, False):
            assert scores(source, features, 2, kernels_on=on).tolist() == [0.0, 0.0]

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.integers(0, 9), min_size=1, max_size=12),
        st.integers(0, 5),
        st.sampled_from(["float", "bfloat16", "int8"]),
        st.sampled_from(["float", "bfloat16"]),
        st.integers(0, 1000),
    )
    def test_any_batch(
        self, lengths: list[int], tokens: int, kind: str, query_kind: str, seed: int
    ) -> None:
        source = BITS_MAX_SIM if kind == "int8" else FLOAT_MAX_SIM
        features: Features = {
            "query(qt)": query(tokens, seed, query_kind),
            "attribute(d)": documents(lengths, kind, seed + 1),
        }
        self.compare(source, features, len(lengths))

    def test_functions_in_between_make_no_difference(self, counted: Counted) -> None:
        bodies = {
            "bits": ((), "unpack_bits(attribute(d))"),
            "products": (("q",), "sum(q * bits, x)"),
            "best": (("t", "over"), "reduce(t, max, over)"),
            "scaled": (("weight",), "weight * sum(best(products(query(qt)), dt), qt)"),
        }
        functions = {
            name: FunctionBody(parameters=parameters, body=parse_expression(body))
            for name, (parameters, body) in bodies.items()
        }
        features: Features = {
            "query(qt)": query(4, 3),
            "attribute(d)": documents([2, 0, 3], "int8", 4),
        }
        tree = expand(parse_expression("scaled(2) + scaled(2)"), functions)
        got = Evaluation(features.get, 3).scores(tree)
        plain = scores(BITS_MAX_SIM, features, 3, kernels_on=True)
        assert counted.calls == 2, (
            "once here, once for the comparison: equal subtrees are computed once"
        )
        assert np.array_equal(got, 4 * plain)


class TestWhatIsNoKernel:
    @pytest.mark.parametrize(
        "source",
        [
            "sum(reduce(sum(query(qt) + attribute(d), x), max, dt), qt)",
            "sum(reduce(sum(query(qt) * attribute(d), x), min, dt), qt)",
            "sum(reduce(sum(query(qt) * attribute(d), x), max, dt))",
            "sum(reduce(avg(query(qt) * attribute(d), x), max, dt), qt)",
            "sum(reduce(sum(query(qt) * attribute(d) * 2, x), max, dt), qt)",
            "sum(reduce(sum(query(qt) * (attribute(d) - 1), x), max, dt), qt)",
            "avg(reduce(sum(query(qt) * attribute(d), x), max, dt), qt)",
            "sum(reduce(sum(query(qt) * cell_cast(attribute(d), double), x), max, dt), qt)",
        ],
    )
    def test_other_shapes_are_left_to_the_algebra(self, source: str, counted: Counted) -> None:
        features: Features = {
            "query(qt)": query(2, 1),
            "attribute(d)": documents([2, 0, 3], "float", 2),
        }
        fast = scores(source, features, 3, kernels_on=True)
        assert counted.calls == 0
        assert np.array_equal(fast, scores(source, features, 3, kernels_on=False))

    @pytest.mark.parametrize(
        ("source", "kind", "query_kind"),
        [
            (FLOAT_MAX_SIM, "int8", "float"),
            (FLOAT_MAX_SIM, "float", "double"),
            (
                "sum(reduce(sum(query(qt) * unpack_bits(attribute(d), double), x), max, dt), qt)",
                "int8",
                "float",
            ),
        ],
    )
    def test_other_cells_are_left_to_the_algebra(
        self, source: str, kind: str, query_kind: str, counted: Counted
    ) -> None:
        rows = documents([2, 0, 3], kind, 2)
        tokens = query(2, 1, query_kind)
        if kind == "int8" and "unpack_bits" not in source:
            tokens = Tensor.rows(TensorType.parse("tensor<float>(qt{},x[2])"), tokens.values[:, :2])
        features: Features = {"query(qt)": tokens, "attribute(d)": rows}
        scores(source, features, 3, kernels_on=True)
        assert counted.calls == 0

    @pytest.mark.parametrize(
        "source",
        [
            "sum(reduce(sum(query(qt) * attribute(d), x), max, qt), dt)",
            "sum(reduce(sum(query(qt) * attribute(d), dt), max, x), qt)",
            "sum(reduce(sum(query(qt) * attribute(d), x), max, dt), dt)",
        ],
    )
    def test_dimensions_in_other_places_mean_what_they_say(
        self, source: str, counted: Counted
    ) -> None:
        features: Features = {
            "query(qt)": query(2, 1),
            "attribute(d)": documents([2, 1], "float", 2),
        }
        outcomes = []
        for on in (True, False):
            try:
                outcomes.append(scores(source, features, 2, kernels_on=on).tolist())
            except ExpressionTypeError as error:
                outcomes.append(re.sub(r"\$doc\{\},?", "", str(error)))
        assert outcomes[0] == outcomes[1]
        assert counted.calls == 0

    def test_tokens_of_both_sides_under_one_name_are_joined_and_not_crossed(self) -> None:
        """With one dimension on both sides a row meets the row of its own label only."""
        tokens = Tensor.rows(
            TensorType.parse(f"tensor<float>(dt{{}},x[{DIM}])"), query(2, 1).values
        )
        features: Features = {"query(qt)": tokens, "attribute(d)": documents([2, 3], "float", 2)}
        with pytest.raises(ExpressionTypeError):
            scores(
                "sum(reduce(sum(query(qt)*attribute(d),x),max,dt),dt)", features, 2, kernels_on=True
            )

    @pytest.mark.parametrize("source", [FLOAT_MAX_SIM, FLOAT_MAX_SIM.replace("qt)", "q)", 1)])
    @pytest.mark.parametrize(("query_dimension", "dimension"), [("qt", "tok"), ("tok", "dt")])
    def test_tokens_under_another_name_are_refused(
        self, source: str, query_dimension: str, dimension: str
    ) -> None:
        vectors = query(2, 1).values
        kind = TensorType.parse(f"tensor<float>({dimension}{{}},x[{DIM}])")
        rows = DocumentRows(type=kind, offsets=np.array([0, 2], np.int64), values=vectors)
        kind = TensorType.parse(f"tensor<float>({query_dimension}{{}},x[{DIM}])")
        tokens = Tensor.rows(kind, vectors)
        features: Features = {"query(qt)": tokens, "query(q)": tokens, "attribute(d)": rows}
        for on in (True, False):
            with pytest.raises(ExpressionTypeError, match="reduce: expected dimensions of"):
                scores(source, features, 1, kernels_on=on)

    def test_a_lambda_sees_no_max_sim_either(self) -> None:
        features: Features = {"query(qt)": query(2, 1), "attribute(d)": documents([1], "float", 2)}
        for on in (True, False):
            with pytest.raises(ExpressionTypeError, match="a lambda sees only"):
                scores(f"map(1, f(a)({FLOAT_MAX_SIM}))", features, 1, kernels_on=on)

    def test_vectors_of_another_width_are_refused(self) -> None:
        narrow = Tensor.rows(TensorType.parse("tensor<float>(qt{},x[8])"), np.zeros((1, 8)))
        features: Features = {"query(qt)": narrow, "attribute(d)": documents([1], "float", 2)}
        for on in (True, False):
            with pytest.raises(ExpressionTypeError, match="cannot join"):
                scores(FLOAT_MAX_SIM, features, 1, kernels_on=on)


BATCH_SOURCES = [
    FLOAT_MAX_SIM,
    "sum(attribute(d)) + count(attribute(d))",
    "reduce(attribute(d), max) - reduce(attribute(d), min)",
    "sum(reduce(attribute(d), avg, dt))",
    "sum(reduce(attribute(d), median, dt) * 2)",
    "if(sum(attribute(d)) > 0, count(attribute(d)), -1)",
    "reduce(sum(query(qt) * attribute(d), x), max)",
    "sum(map(reduce(attribute(d), max, dt), f(v)(if(v > 0, v, 10))))",
    "sum(reduce(1 / (1 + sum(attribute(d) * attribute(d), x)), max, dt))",
    "sum(sum(attribute(d), dt) * reduce(query(qt), max, qt))",
    "!count(attribute(d)) + (count(attribute(d)) in [2, 3])",
]


@pytest.mark.parametrize("source", BATCH_SOURCES)
@pytest.mark.parametrize("kernels_on", [True, False])
def test_a_batch_scores_each_document_as_it_is_scored_alone(source: str, kernels_on: bool) -> None:
    lengths = [2, 0, 1, 5, 0, 3, 1]
    rows, tokens = documents(lengths, "float", 9), query(3, 8)
    together = scores(
        source, {"query(qt)": tokens, "attribute(d)": rows}, len(lengths), kernels_on=kernels_on
    )
    alone = [
        Evaluation({"query(qt)": tokens, "attribute(d)": rows.document(i)}.get, 1)
        .value(parse_expression(source), {})
        .as_number()
        for i in range(len(lengths))
    ]
    if kernels_on and source == FLOAT_MAX_SIM:
        assert np.abs(together - alone).max() <= 3 * PRODUCT_ERROR
    else:
        assert np.array_equal(together, alone)
