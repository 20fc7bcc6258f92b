"""Every MaxSim that goes to a kernel has the value that the plain algebra gives."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.required import import_or_skip
from vespa_colbert.arrays import pack_bits, truncate_to_bfloat16
from vespa_colbert.errors import ExpressionError, ExpressionTypeError
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank import fused, kernels
from vespa_colbert.rank.algebra import DOCUMENTS
from vespa_colbert.rank.batches import batch_labels, batch_numbers, batch_tensor
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.expand import FunctionBody, expand
from vespa_colbert.rank.kernels import queries
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import Dimension, Tensor, TensorType

DIM = 16
PRODUCT_ERROR = DIM * np.finfo(np.float32).eps
"""Of one float32 dot product of vectors no longer than 1, against the same in double."""

DOUBLE_ERROR = DIM * np.finfo(np.float64).eps
"""The same where the cells are double."""

Features = dict[str, Tensor | DocumentRows]


def unit(shape: tuple[int, int], seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def documents(lengths: list[int], kind: str, seed: int, *, sign: float = 0.0) -> DocumentRows:
    """Return random token vectors; with a sign, all products with a positive query have it."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    vectors = unit((int(offsets[-1]), DIM), seed)
    vectors = np.abs(vectors) * sign if sign else vectors
    values: np.ndarray = vectors
    if kind == "int8":
        values = pack_bits(vectors.astype(np.float32))
    elif kind != "double":
        values = truncate_to_bfloat16(vectors) if kind == "bfloat16" else vectors.astype("f4")
    width = DIM // 8 if kind == "int8" else DIM
    tensor_type = TensorType.parse(f"tensor<{kind}>(dt{{}},x[{width}])")
    return DocumentRows(type=tensor_type, offsets=offsets, values=values)


def query(tokens: int, seed: int, kind: str = "float", *, positive: bool = False) -> Tensor:
    if kind == "int8":
        packed = pack_bits(unit((tokens, DIM), seed).astype(np.float32))
        return Tensor.rows(TensorType.parse(f"tensor<int8>(qt{{}},x[{DIM // 8}])"), packed)
    vectors = unit((tokens, DIM), seed)
    vectors = np.abs(vectors) if positive else vectors
    return Tensor.rows(TensorType.parse(f"tensor<{kind}>(qt{{}},x[{DIM}])"), vectors)


def evaluated(source: str, features: Features, count: int, *, kernels_on: bool) -> Tensor:
    run = Evaluation(features.get, count, uses_kernels=kernels_on)
    return run.value(parse_expression(source), {})


def scores(source: str, features: Features, count: int, *, kernels_on: bool) -> np.ndarray:
    run = Evaluation(features.get, count, uses_kernels=kernels_on)
    return run.scores(parse_expression(source))


class Counted:
    """Counts how often kernels are called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        for name in ("max_sim", "max_sim_bits", "hamming_sums"):
            kernel = getattr(kernels, f"{name}_of_queries")
            monkeypatch.setattr(fused, kernel.__name__, self.counting(kernel))

    def counting(self, kernel: Callable[..., object]) -> Callable[..., object]:
        def count(*arguments: object) -> object:
            self.calls += 1
            return kernel(*arguments)

        return count


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture(params=["numpy", "numba"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "numba":
        import_or_skip("numba")
        monkeypatch.setattr(queries, "WORTH_COMPILING", 0)
    return name


FLOAT_MAX_SIM = "sum(reduce(sum(query(qt) * attribute(d), x), max, dt), qt)"
BITS_MAX_SIM = "sum(reduce(sum(query(qt) * unpack_bits(attribute(d)), x), max, dt), qt)"
INVERSE_HAMMING = "sum(reduce(1 / (1 + sum(hamming(query(qt), attribute(d)), x)), max, dt), qt)"

SPELLINGS = [
    (FLOAT_MAX_SIM, "float", "float"),
    ("sum(reduce(sum(attribute(d) * query(qt), x), max, dt), qt)", "float", "float"),
    (
        "reduce(reduce(reduce(query(qt) * attribute(d), sum, x), max, dt), sum, qt)",
        "float",
        "float",
    ),
    ("reduce(max(sum(query(qt) * attribute(d), x), dt), sum, qt)", "bfloat16", "float"),
    ("sum(max(reduce((query(qt)) * ((attribute(d))), sum, x), dt), qt)", "float", "bfloat16"),
    ("(sum((reduce((sum((query(qt) * attribute(d)), x)), max, dt)), qt))", "double", "float"),
    ("sum(reduce(sum(query(qt) * attribute(d), x), max, dt))", "float", "float"),
    ("sum(reduce(matmul(query(qt), attribute(d), x), max, dt), qt)", "float", "double"),
    ("sum(max(matmul(attribute(d), query(qt), x), dt))", "float", "float"),
    (
        "sum(reduce(sum(join(query(qt), attribute(d), f(a,b)(a * b)), x), max, dt), qt)",
        "float",
        "float",
    ),
    (
        "sum(reduce(sum(join(attribute(d), query(qt), f(a,b)(b * a)), x), max, dt), qt)",
        "float",
        "float",
    ),
    ("sum(reduce(sum(2 * query(qt) * attribute(d), x), max, dt), qt) / 2", "float", "float"),
    (
        "sum(reduce(sum(query(qt) * cell_cast(attribute(d), double), x), max, dt), qt)",
        "float",
        "float",
    ),
    (
        "sum(reduce(sum(query(qt) * cell_cast(attribute(d), float), x), max, dt), qt)",
        "bfloat16",
        "float",
    ),
    (
        "sum(reduce(sum(query(qt) * cell_cast(attribute(d), bfloat16), x), max, dt), qt)",
        "float",
        "float",
    ),
    (
        "sum(reduce(sum(cell_cast(query(qt), bfloat16) * attribute(d), x), max, dt), qt)",
        "float",
        "float",
    ),
    ("sum(reduce(sum(query(qt) * (attribute(d) - 1), x), max, dt), qt) / 5", "float", "float"),
    (BITS_MAX_SIM, "int8", "float"),
    ("sum(reduce(sum(unpack_bits(attribute(d)) * query(qt), x), max, dt), qt)", "int8", "bfloat16"),
    ("sum(max(sum(query(qt) * (unpack_bits((attribute(d)))), x), dt), qt)", "int8", "float"),
    ("sum(max(sum(query(qt) * unpack_bits(attribute(d), bfloat16), x), dt), qt)", "int8", "float"),
    ("sum(max(sum(query(qt) * unpack_bits(attribute(d), double), x), dt), qt)", "int8", "float"),
    (
        "sum(max(sum(query(qt) * unpack_bits(attribute(d), float, little), x), dt), qt)",
        "int8",
        "float",
    ),
    (
        "sum(max(sum(query(qt) * cell_cast(unpack_bits(attribute(d)), double), x), dt), qt)",
        "int8",
        "double",
    ),
    ("sum(max(sum(query(qt) * (2 * unpack_bits(attribute(d)) - 1), x), dt), qt)", "int8", "float"),
]

HAMMING_SPELLINGS = [
    INVERSE_HAMMING,
    "sum(reduce(1 / (sum(hamming(attribute(d), query(qt)), x) + 1), max, dt), qt)",
    "sum(max(1.0 / (1 + reduce(hamming(query(qt), attribute(d)), sum, x)), dt))",
    "sum(reduce(1/(1+sum(join(query(qt), attribute(d), f(a,b)(hamming(a, b))), x)), max, dt), qt)",
    "sum(1 / (1 + reduce(sum(hamming(query(qt), attribute(d)), x), min, dt)), qt)",
    "sum(reduce(sum(hamming(query(qt), attribute(d)), x), min, dt), qt)",
    "sum(min(sum(hamming(query(qt), attribute(d)), x), dt), qt)",
]


def tolerance(source: str, features: Features) -> float:
    """Return the bound of the rounding of float32 products, one for each query token."""
    tokens = features["query(qt)"]
    assert isinstance(tokens, Tensor)
    # A bit vector may be as long as the root of its width; (d - 1) less than 5.
    longest = DIM**0.5 if "unpack_bits" in source else 1.0
    return float(PRODUCT_ERROR * longest * max(1, len(tokens.values)))


def compare(source: str, features: Features, count: int, *, exact: bool = False) -> None:
    fast = scores(source, features, count, kernels_on=True)
    slow = scores(source, features, count, kernels_on=False)
    limit = 0.0 if exact else tolerance(source, features)
    assert np.abs(fast - slow).max(initial=0.0) <= limit


class TestAgainstTheAlgebra:
    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("lengths", [[1], [0], [3, 1, 0, 5], [0, 0, 2, 0], [7] * 300])
    @pytest.mark.parametrize("kind", ["float", "bfloat16", "int8"])
    def test_ragged_batches(self, lengths: list[int], kind: str, counted: Counted) -> None:
        source = BITS_MAX_SIM if kind == "int8" else FLOAT_MAX_SIM
        features: Features = {"query(qt)": query(3, 1), "attribute(d)": documents(lengths, kind, 2)}
        compare(source, features, len(lengths))
        assert counted.calls == 1

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize(("source", "kind", "query_kind"), SPELLINGS)
    def test_every_spelling_goes_to_a_kernel(
        self, source: str, kind: str, query_kind: str, counted: Counted
    ) -> None:
        features: Features = {
            "query(qt)": query(4, 3, query_kind),
            "attribute(d)": documents([2, 0, 3], kind, 4),
        }
        compare(source, features, 3)
        assert counted.calls == 1

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("source", HAMMING_SPELLINGS)
    def test_hamming_is_exact(self, source: str, counted: Counted) -> None:
        lengths = [2, 0, 3, 40]
        features: Features = {
            "query(qt)": query(4, 3, "int8"),
            "attribute(d)": documents(lengths, "int8", 4),
        }
        compare(source, features, len(lengths), exact=True)
        assert counted.calls == 1

    def test_double_cells_are_computed_in_double(self, counted: Counted) -> None:
        features: Features = {
            "query(qt)": query(3, 1, "double"),
            "attribute(d)": documents([4, 0, 2], "double", 2),
        }
        fast = scores(FLOAT_MAX_SIM, features, 3, kernels_on=True)
        slow = scores(FLOAT_MAX_SIM, features, 3, kernels_on=False)
        assert np.abs(fast - slow).max() <= 3 * DOUBLE_ERROR
        assert counted.calls == 1

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("kind", ["float", "int8"])
    @pytest.mark.parametrize("lengths", [[1, 4, 0, 2], [70, 1]])
    def test_negative_scores_only(self, kind: str, lengths: list[int]) -> None:
        rows = documents(lengths, kind, 5, sign=1.0 if kind == "int8" else -1.0)
        tokens = query(3, 6, positive=True)
        if kind == "int8":
            tokens = Tensor(tokens.type, tokens.codes, tokens.labels, -tokens.values)
        source = BITS_MAX_SIM if kind == "int8" else FLOAT_MAX_SIM
        features: Features = {"query(qt)": tokens, "attribute(d)": rows}
        compare(source, features, len(lengths))
        got = scores(source, features, len(lengths), kernels_on=True)
        assert [score < 0 for score in got] == [length > 0 for length in lengths]

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("source", [FLOAT_MAX_SIM, BITS_MAX_SIM, INVERSE_HAMMING])
    def test_a_query_without_tokens(self, source: str) -> None:
        packed = source != FLOAT_MAX_SIM
        features: Features = {
            "query(qt)": query(0, 1, "int8" if source == INVERSE_HAMMING else "float"),
            "attribute(d)": documents([2, 0], "int8" if packed else "float", 1),
        }
        for on in (True, False):
            assert scores(source, features, 2, kernels_on=on).tolist() == [0.0, 0.0]

    @pytest.mark.usefixtures("engine")
    def test_equal_documents_have_equal_scores(self) -> None:
        rows = documents([3, 3], "float", 7)
        rows.values[3:] = rows.values[2::-1]
        features: Features = {"query(qt)": query(4, 8), "attribute(d)": rows}
        first, second = scores(FLOAT_MAX_SIM, features, 2, kernels_on=True)
        assert first == second

    @pytest.mark.usefixtures("engine")
    def test_nan_and_infinite_cells(self) -> None:
        rows = documents([2, 1, 1, 2], "float", 2)
        rows.values[0, 3], rows.values[2, 1], rows.values[3, 0] = np.nan, np.nan, np.inf
        features: Features = {"query(qt)": query(4, 3, positive=True), "attribute(d)": rows}
        fast = scores(FLOAT_MAX_SIM, features, 4, kernels_on=True)
        slow = scores(FLOAT_MAX_SIM, features, 4, kernels_on=False)
        assert np.allclose(fast, slow, rtol=0, atol=4 * PRODUCT_ERROR)
        assert fast[1] == -np.inf
        assert fast[2] == np.inf

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.integers(0, 9), min_size=1, max_size=12),
        st.integers(0, 5),
        st.sampled_from(["float", "bfloat16", "int8", "hamming"]),
        st.sampled_from(["float", "bfloat16"]),
        st.integers(0, 1000),
    )
    def test_any_batch(
        self, lengths: list[int], tokens: int, kind: str, query_kind: str, seed: int
    ) -> None:
        source = {"int8": BITS_MAX_SIM, "hamming": INVERSE_HAMMING}.get(kind, FLOAT_MAX_SIM)
        is_hamming = kind == "hamming"
        features: Features = {
            "query(qt)": query(tokens, seed, "int8" if is_hamming else query_kind),
            "attribute(d)": documents(lengths, "int8" if is_hamming else kind, seed + 1),
        }
        compare(source, features, len(lengths), exact=is_hamming)

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
        alone = scores(BITS_MAX_SIM, features, 3, kernels_on=True)
        assert counted.calls == 2, (
            "once here, once for the comparison: equal subtrees are computed once"
        )
        assert np.array_equal(got, 4 * alone)

    @pytest.mark.usefixtures("engine")
    def test_a_batch_scores_each_document_as_it_is_scored_alone(self) -> None:
        lengths = [2, 0, 1, 5, 0, 3, 1]
        rows, tokens = documents(lengths, "float", 9), query(3, 8)
        features: Features = {"query(qt)": tokens, "attribute(d)": rows}
        together = scores(FLOAT_MAX_SIM, features, len(lengths), kernels_on=True)
        alone = [
            Evaluation({"query(qt)": tokens, "attribute(d)": rows.document(i)}.get, 1)
            .value(parse_expression(FLOAT_MAX_SIM), {})
            .as_number()
            for i in range(len(lengths))
        ]
        assert np.abs(together - alone).max() <= 3 * PRODUCT_ERROR


def batched(spec: str) -> TensorType:
    kind = TensorType.parse(spec)
    return TensorType(kind.cell_type, (Dimension(DOCUMENTS), *kind.dimensions))


def contexts(lengths: list[list[int]], kind: str, seed: int) -> Tensor:
    """Return documents of contexts of tokens as a batch, some documents and contexts empty."""
    rows = documents([sum(each) for each in lengths], kind, seed)
    codes = [
        (document, context, token)
        for document, parts in enumerate(lengths)
        for context, length in enumerate(parts)
        for token in range(length)
    ]
    wanted = batched(f"tensor<{kind}>(context{{}},token{{}},x[{rows.values.shape[1]}])")
    labels = (batch_labels(len(lengths)), ("a", "b", "c"), batch_labels(9))
    return Tensor(wanted, np.array(codes, np.int64).reshape(-1, 3), labels, rows.values)


LONG = [[2, 3, 1], [], [4], [0, 0, 2], [1, 1], [0]]

LONG_FORMS = [
    "sum(reduce(sum(query(qt) * {d}, x), max, token), qt)",
    "reduce(sum(reduce(sum(query(qt) * {d}, x), max, token), qt), max, context)",
    "reduce(sum(reduce(sum(query(qt) * {d}, x), max, token), qt), avg, context)",
    "sum(reduce(sum(query(qt) * {d}, x), max, token, context), qt)",
    "sum(reduce(sum(query(qt) * {d}, x), max, context, token), qt)",
    "sum(max(max(sum(query(qt) * {d}, x), token), context), qt)",
    "sum(reduce(sum(query(qt) * {d}, x), max, token, context))",
    "sum(reduce(sum(query(qt) * {d}, x), max, context), qt)",
]

LONG_HAMMING = [
    "reduce(sum(reduce(1/(1+sum(hamming(query(qt), {d}), x)), max, token), qt), max, context)",
    "sum(reduce(1/(1+sum(hamming(query(qt), {d}), x)), max, token, context), qt)",
    "reduce(sum(1/(1+min(sum(hamming({d}, query(qt)), x), token)), qt), max, context)",
]


class TestLongDocuments:
    @pytest.mark.parametrize("form", LONG_FORMS)
    @pytest.mark.parametrize("kind", ["float", "int8"])
    @pytest.mark.parametrize("shuffled", [False, True])
    @pytest.mark.parametrize("tokens", [3, 0])
    def test_products(
        self, form: str, kind: str, shuffled: bool, tokens: int, counted: Counted
    ) -> None:
        source = form.format(d="unpack_bits(attribute(d))" if kind == "int8" else "attribute(d)")
        self.compare(source, query(tokens, 1), contexts(LONG, kind, 2), shuffled=shuffled)
        assert counted.calls == 1

    @pytest.mark.parametrize("form", LONG_HAMMING)
    def test_hamming(self, form: str, counted: Counted) -> None:
        source = form.format(d="attribute(d)")
        self.compare(source, query(3, 1, "int8"), contexts(LONG, "int8", 2))
        assert counted.calls == 1

    def compare(
        self, source: str, tokens: Tensor, batch: Tensor, *, shuffled: bool = False
    ) -> None:
        if shuffled:
            order = np.random.default_rng(4).permutation(len(batch.codes))
            batch = Tensor(batch.type, batch.codes[order], batch.labels, batch.values[order])
        features: Features = {"query(qt)": tokens, "attribute(d)": batch}
        fast = evaluated(source, features, len(LONG), kernels_on=True)
        slow = evaluated(source, features, len(LONG), kernels_on=False)
        assert fast.type == slow.type
        mine, theirs = fast.subspaces(), slow.subspaces()
        if fast.type.mapped == (DOCUMENTS,):
            mine = {(str(i),): mine.get((str(i),), np.zeros(())) for i in range(len(LONG))}
            theirs = {(str(i),): theirs.get((str(i),), np.zeros(())) for i in range(len(LONG))}
        assert mine.keys() == theirs.keys()
        limit = tolerance(source, features)
        assert all(np.abs(mine[each] - theirs[each]) <= limit for each in mine)


class TestDenseTokens:
    def test_query_and_document_tokens_with_indexes(self, counted: Counted) -> None:
        tokens = Tensor.dense(TensorType.parse(f"tensor<float>(qt[3],x[{DIM}])"), unit((3, DIM), 1))
        values = unit((20, DIM), 2).astype(np.float32).reshape(5, 4, DIM)
        batch = Tensor(
            batched(f"tensor<float>(dt[4],x[{DIM}])"),
            np.arange(5)[:, np.newaxis],
            (batch_labels(5),),
            values,
        )
        features: Features = {"query(qt)": tokens, "attribute(d)": batch}
        compare(FLOAT_MAX_SIM, features, 5)
        assert counted.calls == 1

    def test_components_before_tokens(self, counted: Counted) -> None:
        source = "sum(reduce(sum(query(qt) * attribute(d), a), max, dt), qt)"
        tokens = Tensor.dense(TensorType.parse("tensor<float>(a[4],qt[3])"), unit((4, 3), 1))
        kind = TensorType.parse("tensor<float>(dt{},a[4])")
        values = unit((5, 4), 2).astype(np.float32)
        rows = DocumentRows(type=kind, offsets=np.array([0, 2, 5], np.int64), values=values)
        compare(source, {"query(qt)": tokens, "attribute(d)": rows}, 2)
        assert counted.calls == 1


class TestWhatIsNoKernel:
    @pytest.mark.parametrize(
        "source",
        [
            "sum(reduce(sum(query(qt) + attribute(d), x), max, dt), qt)",
            "sum(reduce(sum(query(qt) * attribute(d), x), min, dt), qt)",
            "sum(reduce(avg(query(qt) * attribute(d), x), max, dt), qt)",
            "sum(reduce(sum(query(qt) * attribute(d) * 2, x), max, dt), qt)",
            "avg(reduce(sum(query(qt) * attribute(d), x), max, dt), qt)",
            "sum(reduce(1 / (1 + sum(hamming(query(qt), attribute(d)), x)), max, dt), qt)",
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

    def test_one_document_by_itself_is_left_to_the_algebra(self, counted: Counted) -> None:
        features: Features = {
            "query(qt)": query(2, 1),
            "attribute(d)": documents([3], "float", 2).document(0),
        }
        fast = evaluated(FLOAT_MAX_SIM, features, 1, kernels_on=True)
        assert fast == evaluated(FLOAT_MAX_SIM, features, 1, kernels_on=False)
        assert counted.calls == 0

    @pytest.mark.parametrize(
        "source",
        [
            "sum(reduce(sum(query(qt) * attribute(d), x), max, qt), dt)",
            "sum(reduce(sum(query(qt) * attribute(d), dt), max, x), qt)",
            "sum(reduce(sum(query(qt) * attribute(d), x), max, dt), dt)",
            "sum(reduce(sum(query(qt) * attribute(d), x), max, qt, dt), qt)",
            "sum(reduce(sum(query(qt) * attribute(d), x), max, dt, other), qt)",
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

    def test_a_query_with_the_documents_dimension_is_joined_and_not_crossed(
        self, counted: Counted
    ) -> None:
        rows = documents([2, 3], "float", 2)
        weighted = "sum(reduce(sum(query(qt) * bm25(text) * attribute(d), x), max, dt), qt)"
        features: Features = {
            "query(qt)": query(2, 1),
            "bm25(text)": batch_numbers([1.0, 2.0]),
            "attribute(d)": rows,
        }
        compare(weighted, features, 2)
        assert counted.calls == 0

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

    @pytest.mark.parametrize(
        "document", ["attribute(d)", "cell_cast(attribute(d), word)", "unpack_bits(attribute(d))"]
    )
    def test_what_the_algebra_refuses_is_refused(self, document: str) -> None:
        narrow = Tensor.rows(TensorType.parse("tensor<float>(qt{},x[8])"), np.zeros((1, 8)))
        features: Features = {"query(qt)": narrow, "attribute(d)": documents([1], "float", 2)}
        outcomes = []
        for on in (True, False):
            source = FLOAT_MAX_SIM.replace("attribute(d)", document)
            with pytest.raises(ExpressionError) as caught:
                scores(source, features, 1, kernels_on=on)
            outcomes.append(str(caught.value))
        assert outcomes[0] == outcomes[1]


class TestBatches:
    def test_a_field_as_one_tensor_has_every_token(self) -> None:
        batch = batch_tensor(documents([2, 0, 1], "float", 2))
        assert list(batch.addresses()) == [("0", "0"), ("0", "1"), ("2", "0")]

    def test_numbers_without_a_cell_are_zero(self) -> None:
        source = "sum(attribute(d)) * 0 + count(attribute(d))"
        features: Features = {"attribute(d)": documents([2, 0, 1], "float", 2)}
        assert scores(source, features, 3, kernels_on=True).tolist() == [2 * DIM, 0, DIM]


BATCH_SOURCES = [
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
def test_a_batch_without_kernels_scores_each_document_as_it_is_scored_alone(source: str) -> None:
    lengths = [2, 0, 1, 5, 0, 3, 1]
    rows, tokens = documents(lengths, "float", 9), query(3, 8)
    features: Features = {"query(qt)": tokens, "attribute(d)": rows}
    together = scores(source, features, len(lengths), kernels_on=True)
    alone = [
        Evaluation({"query(qt)": tokens, "attribute(d)": rows.document(i)}.get, 1)
        .value(parse_expression(source), {})
        .as_number()
        for i in range(len(lengths))
    ]
    assert np.array_equal(together, alone)
