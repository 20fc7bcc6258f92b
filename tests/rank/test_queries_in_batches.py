"""Queries scored together: each has, to the last bit, the scores that it has by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.required import import_or_skip
from vespa_colbert.app.profile import Function, Input, RankProfile, Rerank
from vespa_colbert.app.schema import Field, Schema
from vespa_colbert.errors import ExpressionError, UnknownFeatureError
from vespa_colbert.index import Document, DocumentRows, LocalIndex
from vespa_colbert.rank import Ranker, RankQuery, fused, kernels, profile
from vespa_colbert.rank.kernels import queries
from vespa_colbert.tensor import Tensor, TensorType

DIM = 16
LENGTHS = [3, 0, 40, 1, 12, 0, 7]
TOKENS = [5, 0, 32, 1, 40, 27, 70]
"""Of the queries: some share a block of 32, some go over several."""


@pytest.fixture(params=["numpy", "numba", "either"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which queries go to numba: none, all, or those of more than 20 tokens."""
    name: str = request.param
    if name != "numpy":
        import_or_skip("numba")
    least = {"numpy": math.inf, "numba": 0, "either": 20 * DIM * sum(LENGTHS)}
    monkeypatch.setattr(queries, "WORTH_COMPILING", least[name])
    return name


def floats(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def integers(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


OFFSETS = np.concatenate([np.zeros(1, np.int64), np.cumsum(LENGTHS)])
ROWS = floats(sum(LENGTHS), DIM)
HALVES = (ROWS.view(np.uint32) >> 16).astype(np.uint16)
PACKED = integers(sum(LENGTHS), DIM // 8)
FLOAT_QUERIES = [floats(count, DIM, seed=count) for count in TOKENS]
PACKED_QUERIES = [integers(count, DIM // 8, seed=count) for count in TOKENS]
WORTH = np.random.default_rng(2).normal(size=DIM + 1)
RESIDUALS = kernels.Residuals(
    packed=PACKED.view(np.uint8),
    centroids=np.random.default_rng(3).integers(0, 9, sum(LENGTHS)),
    cells_of_byte=floats(DIM // 8, 256, 8, seed=4),
    vectors=floats(9, DIM, seed=5),
    is_normalized=True,
)

Kernel = Callable[..., Any]
CASES: dict[str, tuple[list[np.ndarray], tuple[Any, ...], Kernel, Kernel]] = {
    "float": (FLOAT_QUERIES, (ROWS, OFFSETS), kernels.max_sim, kernels.max_sim_of_queries),
    "bfloat16": (FLOAT_QUERIES, (HALVES, OFFSETS), kernels.max_sim, kernels.max_sim_of_queries),
    "bits": (
        FLOAT_QUERIES,
        (PACKED, OFFSETS),
        kernels.max_sim_bits,
        kernels.max_sim_bits_of_queries,
    ),
    "Hamming": (
        PACKED_QUERIES,
        (PACKED, OFFSETS, WORTH),
        kernels.hamming_sums,
        kernels.hamming_sums_of_queries,
    ),
    "residuals": (
        FLOAT_QUERIES,
        (RESIDUALS, OFFSETS),
        kernels.max_sim_residuals,
        kernels.max_sim_residuals_of_queries,
    ),
}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", CASES)
def test_a_query_has_its_scores_whichever_others_are_with_it(name: str) -> None:
    asked, documents, alone, together = CASES[name]

    found = together(asked, *documents)

    assert found.shape == (len(TOKENS), len(LENGTHS))
    for scores, query in zip(found, asked, strict=True):
        assert scores.tolist() == alone(query, *documents).tolist()
    assert np.abs(found).max() > 0
    assert not found[TOKENS.index(0)].any(), "a query without tokens"
    assert not found[:, LENGTHS.index(0)].any(), "a document without rows"


@pytest.mark.usefixtures("engine")
def test_scores_of_two_queries_by_hand() -> None:
    rows = np.array([[1, 0], [0, 2], [-3, 0.5]], np.float32)
    asked = [np.array([[1, 0], [0, 1]], np.float32), np.array([[-1, 2]], np.float32)]
    found = kernels.max_sim_of_queries(asked, rows, np.array([0, 2, 3]))
    # d0: best of (1, 0) is 1, of (0, 1) is 2; of (-1, 2): 4. d1: -3 + 0.5, and 3 + 1.
    assert found.tolist() == [[3.0, -2.5], [4.0, 4.0]]


def test_no_queries_have_no_scores() -> None:
    assert kernels.max_sim_of_queries([], ROWS, OFFSETS).shape == (0, len(LENGTHS))


FIELD = TensorType.parse("tensor<float>(dt{},x[16])")
ASKED = TensorType.parse("tensor<float>(qt{},x[16])")
INPUTS = (Input(name="qt", type=ASKED),)
MAX_SIM = "sum(reduce(sum(query(qt) * attribute(vectors), x), max, dt), qt)"
OF_QUERY = "sum(reduce(sum(query(qt) * (attribute(vectors) * sum(query(qt))), x), max, dt), qt)"
VECTORS = Field(
    name="vectors",
    type=str(FIELD),
    indexing=("input text | embed colbert | attribute",),
    in_document=False,
)


@pytest.fixture
def index(tmp_path: Path) -> LocalIndex:
    rows = DocumentRows(type=FIELD, offsets=OFFSETS, values=ROWS)
    documents = tuple(Document(id=f"d{each}", fields={"text": "a"}) for each in range(len(LENGTHS)))
    return LocalIndex(path=tmp_path, documents=documents, tensors={"vectors": rows}, origin={})


def ranker(index: LocalIndex, first: str, **more: Any) -> Ranker:
    said = RankProfile(name="p", inputs=INPUTS, first_phase=first, **more)
    return Ranker(Schema(name="passage", fields=(VECTORS,), rank_profiles=(said,)), "p", index)


RANK_QUERIES = [RankQuery(tensors={"qt": Tensor.rows(ASKED, each)}) for each in FLOAT_QUERIES]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each call of the kernel had."""
    counted: list[int] = []

    def spy(asked: list[np.ndarray], *documents: Any) -> np.ndarray:
        counted.append(len(asked))
        return kernels.max_sim_of_queries(asked, *documents)

    monkeypatch.setattr(fused, "max_sim_of_queries", spy)
    return counted


@pytest.mark.parametrize("first", [MAX_SIM, f"2 * {MAX_SIM} + if ({MAX_SIM} > 0, 1, 0)", OF_QUERY])
def test_hits_of_many_queries_are_those_of_each(index: LocalIndex, first: str) -> None:
    second = Rerank(expression="-firstPhase", rerank_count=3)
    given = ranker(index, first, second_phase=second, match_features=("firstPhase",))

    found = given.rank_all(RANK_QUERIES, hits=4)

    assert found == [given.rank(each, hits=4) for each in RANK_QUERIES]
    assert len({hits[0].id for hits in found}) > 1


def test_the_kernel_is_called_once_for_all_queries(index: LocalIndex, calls: list[int]) -> None:
    ranker(index, MAX_SIM).rank_all(RANK_QUERIES)

    assert [count for count in calls if count > 1] == [len(RANK_QUERIES)]


def test_what_depends_on_the_query_is_computed_for_each(
    index: LocalIndex, calls: list[int]
) -> None:
    ranker(index, OF_QUERY).rank_all(RANK_QUERIES)

    assert set(calls) == {1}


def test_queries_that_rank_other_documents_are_left_alone(
    index: LocalIndex, calls: list[int]
) -> None:
    given, some = ranker(index, MAX_SIM), np.array([0, 2, 4])
    candidates = [None, some, None, *[some] * (len(RANK_QUERIES) - 3)]

    found = given.rank_all(RANK_QUERIES, candidates=candidates)

    wanted = [
        given.rank(query, candidates=each)
        for query, each in zip(RANK_QUERIES, candidates, strict=True)
    ]
    assert found == wanted
    assert max(calls) == 2


@pytest.mark.parametrize("bound", ["queries", "bytes"])
def test_so_many_queries_are_ranked_at_once_as_there_is_room_for(
    index: LocalIndex, calls: list[int], monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    given = ranker(index, MAX_SIM)
    if bound == "queries":
        monkeypatch.setattr(profile, "QUERIES_AT_ONCE", 3)
    else:
        given.most_bytes = 3 * 16 * len(LENGTHS)  # a score and its code are 8 bytes each

    found = given.rank_all(RANK_QUERIES)

    assert found == [given.rank(each) for each in RANK_QUERIES]
    assert max(calls) == 3
    assert given.rank_all([]) == []


def test_each_query_has_candidates_or_none_has(index: LocalIndex) -> None:
    given = ranker(index, MAX_SIM)

    for candidates in ([], [None], [None] * (len(RANK_QUERIES) + 1)):
        with pytest.raises(ValueError, match="zip"):
            given.rank_all(RANK_QUERIES, candidates=candidates)


def test_a_feature_without_a_value_is_refused_for_many_as_for_one(index: LocalIndex) -> None:
    given = ranker(index, f"{MAX_SIM} + nosuch")

    with pytest.raises(UnknownFeatureError, match="nosuch"):
        given.rank_all(RANK_QUERIES)


def test_what_is_nested_too_deeply_is_said_of_many_queries_as_of_one(index: LocalIndex) -> None:
    names = ["query(qt)", "f1", "f2", "f3"]
    deep = tuple(
        Function(name=name, expression="abs(" * 50 + before + ")" * 50)
        for before, name in itertools.pairwise(names)
    )
    first = f"sum(reduce(sum({names[-1]} * attribute(vectors), x), max, dt), qt)"
    given = ranker(index, first, functions=deep)

    for count in (1, 2):
        with pytest.raises(ExpressionError, match="nested too deeply"):
            given.rank_all(RANK_QUERIES[:count])
