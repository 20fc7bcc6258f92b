"""A batch that would take too much memory is evaluated in parts, with the same result."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vespa_colbert.app import read_application
from vespa_colbert.arrays import truncate_to_bfloat16
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank import Documents, Ranker, RankQuery
from vespa_colbert.rank.documents import field_tensors
from vespa_colbert.tensor import Tensor, TensorType

SCHEMA = """
schema doc {
    document doc {
        field floats type tensor<float>(dt{},x[16]) { indexing: attribute }
        field halves type tensor<bfloat16>(dt{},x[16]) { indexing: attribute }
        field bits type tensor<int8>(dt{},x[2]) { indexing: attribute }
        field long type tensor<float>(ctx{},dt{},x[16]) { indexing: attribute }
        field dense type tensor<float>(x[16]) { indexing: attribute }
        field number type double { indexing: attribute }
        field title type string { indexing: index
            index: enable-bm25 }
    }
    rank-profile p {
        inputs {
            query(q) tensor<float>(qt{},x[16])
            query(w) double
        }
        function by_number() { expression: attribute(number) }
        function by_title() { expression: bm25(title) }
        first-phase { expression: FIRST }
        REST
    }
}
"""
COUNT, TOKENS, QUERY_TOKENS, DIM = 120, 24, 8, 16
BOUND = 2_000_000
"""Bytes that a part may take in these tests; the products of one document are 30,000."""

FUSED = "sum(reduce(sum(query(q) * attribute(floats), x), max, dt), qt)"
UNFUSED = {
    "sum(reduce(sum(query(q) * attribute(floats), x), avg, dt), qt)": True,
    "reduce(query(q) + attribute(floats), max)": True,
    "sum(map(query(q) * attribute(floats), f(x)(x * x + 1)))": True,
    "sum(reduce(sum(query(q) * attribute(halves), x), min, dt), qt)": True,
    "reduce(softmax(sum(query(q) * attribute(floats), x), dt), median)": True,
    "sum(query(q) * unpack_bits(attribute(bits)))": True,
    "sum(map_subspaces(attribute(bits), f(t)(tensor(x[16])(bit(t{x:(x / 8)}, x % 8)))))": True,
    "sum(query(q) * attribute(long))": True,
    "sum(concat(attribute(floats), query(q) * 2, x))": True,
    "sum(merge(attribute(floats), attribute(floats) * 2, f(a,b)(a - b)))": True,
    f"{FUSED} * reduce(query(q) * attribute(floats), count) + bm25(title)": True,
    "if (attribute(number) > 3, sum(query(q) * attribute(floats)), bm25(title) * query(w))": True,
    "sum(l2_normalize(attribute(floats), x) * query(q)) / sum(query(q) * query(q))": True,
    "sum(rename(attribute(floats), dt, other) * attribute(floats))": True,
    FUSED: False,
    f"{FUSED} + attribute(number) * bm25(title)": False,
    "sum(reduce(sum(query(q) * cell_cast(attribute(halves), float), x), max, dt), qt)": False,
    "sum(query(q)) + query(w)": False,
}
"""Expression → whether it is evaluated in parts."""

RankerFor = Callable[..., Ranker]


def rows(kind: str, seed: int) -> DocumentRows:
    random = np.random.default_rng(seed)
    lengths = random.integers(0, TOKENS + 1, COUNT)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    tensor_type = TensorType.parse(kind)
    values: np.ndarray = random.standard_normal((int(offsets[-1]), *tensor_type.shape))
    if "int8" in kind:
        values = random.integers(-128, 128, values.shape).astype(np.int8)
    else:
        floats = values.astype(np.float32)
        values = truncate_to_bfloat16(floats) if "bfloat16" in kind else floats
    return DocumentRows(type=tensor_type, offsets=offsets, values=values)


@pytest.fixture(scope="module")
def documents() -> Documents:
    random = np.random.default_rng(5)
    long_type = TensorType.parse("tensor<float>(ctx{},dt{},x[16])")
    contexts = [
        Tensor.from_subspaces(
            long_type,
            {(str(c), str(t)): random.standard_normal(DIM) for c in range(3) for t in range(5)},
        )
        for _ in range(COUNT)
    ]
    dense_type = TensorType.parse("tensor<float>(x[16])")
    vectors = [Tensor.dense(dense_type, random.standard_normal(DIM)) for _ in range(COUNT)]
    return Documents(
        ids=[str(place) for place in range(COUNT)],
        tensors={
            "floats": rows("tensor<float>(dt{},x[16])", 1),
            "halves": rows("tensor<bfloat16>(dt{},x[16])", 2),
            "bits": rows("tensor<int8>(dt{},x[2])", 3),
            "long": field_tensors(long_type, contexts),
            "dense": field_tensors(dense_type, vectors),
        },
        values={
            "number": [float(place % 7) for place in range(COUNT)],
            "title": ["one two"[: 3 + 4 * (place % 2)] for place in range(COUNT)],
        },
        where="the test",
    )


@pytest.fixture
def ranker_for(tmp_path: Path, documents: Documents) -> RankerFor:
    def make(first: str, rest: str = "", *, bound: int = BOUND) -> Ranker:
        (tmp_path / "schemas").mkdir(exist_ok=True)
        text = SCHEMA.replace("FIRST", first).replace("REST", rest)
        (tmp_path / "schemas" / "doc.sd").write_text(text)
        ranker = Ranker(read_application(tmp_path).schema(), "p", documents)
        ranker.most_bytes = bound
        return ranker

    return make


def query() -> RankQuery:
    vectors = np.random.default_rng(9).standard_normal((QUERY_TOKENS, DIM))
    tensors = {
        "q": Tensor.rows(TensorType.parse("tensor<float>(qt{},x[16])"), vectors),
        "w": Tensor.number(2.0),
    }
    return RankQuery(text="two", tensors=tensors)


def parts_of(ranker: Ranker, positions: np.ndarray) -> int:
    run = ranker.run(query(), positions)
    return sum(1 for _ in run.parts(ranker.phases["first-phase"]))


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize(("expression", "has_parts"), UNFUSED.items())
def test_parts_give_what_the_whole_gives(
    ranker_for: RankerFor,
    expression: str,
    has_parts: bool,
    everything: bool,
) -> None:
    order = np.random.default_rng(4).permutation(COUNT)
    positions = np.arange(COUNT) if everything else order[:90]
    ranker, whole = ranker_for(expression), ranker_for(expression, bound=2**40)
    node = ranker.phases["first-phase"]

    assert (parts_of(ranker, positions) > 1) is has_parts
    assert parts_of(whole, positions) == 1
    np.testing.assert_array_equal(
        ranker.scores(query(), node, positions), whole.scores(query(), node, positions)
    )


@pytest.mark.parametrize("expression", [each for each, has in UNFUSED.items() if has])
def test_a_part_stays_under_the_bound(ranker_for: RankerFor, expression: str) -> None:
    ranker = ranker_for(expression)
    node, positions = ranker.phases["first-phase"], np.arange(COUNT)
    ranker.scores(query(), node, positions)  # words, labels and types are kept from here on

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        ranker.scores(query(), node, positions)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak - before < BOUND


def test_phases_and_features_of_hits_are_the_same_in_parts(ranker_for: RankerFor) -> None:
    first = "sum(reduce(sum(query(q) * attribute(floats), x), avg, dt), qt)"
    rest = f"""
        function slow() {{ expression: {first} * attribute(number) }}
        second-phase {{ rerank-count: 50
            expression: firstPhase + reduce(query(q) * attribute(floats), max) }}
        global-phase {{ rerank-count: 40
            expression: normalize_linear(slow) + reciprocal_rank(by_title) + slow
        }}
        match-features {{ slow attribute(dense) secondPhase }}
    """

    found, wanted = (
        ranker_for(first, rest, bound=bound).rank(query(), hits=60) for bound in (BOUND // 8, 2**40)
    )

    assert [(hit.id, hit.relevance, hit.match_features) for hit in found] == [
        (hit.id, hit.relevance, hit.match_features) for hit in wanted
    ]


def test_one_document_takes_what_it_takes(ranker_for: RankerFor) -> None:
    ranker = ranker_for("sum(query(q) * attribute(floats))", bound=1)
    positions = np.arange(10)

    assert parts_of(ranker, positions) == 10
    assert len(ranker.scores(query(), ranker.phases["first-phase"], positions)) == 10


def test_rows_are_selected_once_for_a_query(
    ranker_for: RankerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = []
    select = DocumentRows.select

    def counted(self: DocumentRows, positions: np.ndarray) -> DocumentRows:
        selected.append(len(positions))
        return select(self, positions)

    monkeypatch.setattr(DocumentRows, "select", counted)
    ranker = ranker_for(f"{FUSED} + reduce(sum(query(q) * attribute(floats), x), max) + {FUSED}")
    ranker.most_bytes = 2**40

    ranker.scores(query(), ranker.phases["first-phase"], np.arange(50))

    assert [each for each in selected if each == 50] == [50]
