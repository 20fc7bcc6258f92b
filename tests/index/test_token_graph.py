"""The graph over token vectors: recall against an exact scan, and a file that fits its index."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.required import import_or_skip
from vespa_colbert.arrays import bfloat16_bits, pack_bits, truncate_to_bfloat16, unpack_bits
from vespa_colbert.errors import ArrayError, IndexFolderError, MissingExtraError, SpecError
from vespa_colbert.index.candidates import nearest_documents, united
from vespa_colbert.index.rows import ContextRows, DocumentRows
from vespa_colbert.index.token_graph import (
    HEADER_BYTES,
    GraphOptions,
    TokenGraph,
    build_graph,
    graph_path,
    open_graph,
    rows_state,
    write_graph,
)
from vespa_colbert.rank.features.distance import METRICS, closenesses
from vespa_colbert.rank.kernels import max_sim, max_sim_bits
from vespa_colbert.tensor import Tensor, TensorType

DIM = 32
FLOATS = TensorType.parse(f"tensor<float>(dt{{}},x[{DIM}])")
BITS = TensorType.parse(f"tensor<int8>(dt{{}},x[{DIM // 8}])")
RECALL = 0.95
"""What is asked of a graph."""


@pytest.fixture(autouse=True)
def faiss() -> Any:
    module = import_or_skip("faiss")
    # Threads that wait for each other take longer than the work.
    module.omp_set_num_threads(1)
    return module


def corpus(documents: int, seed: int, dim: int = DIM, length: int = 30) -> DocumentRows:
    """Return documents whose tokens lie around the topics of the document, as those of texts do."""
    random = np.random.default_rng(seed)
    topics = random.standard_normal((max(documents // 2, 4), dim))
    lengths = random.integers(1, 2 * length, documents)
    chosen = random.integers(len(topics), size=(documents, 4))
    own = chosen[np.repeat(np.arange(documents), lengths), random.integers(4, size=lengths.sum())]
    vectors = topics[own] + 0.9 * random.standard_normal((lengths.sum(), dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    kind = TensorType.parse(f"tensor<float>(dt{{}},x[{dim}])")
    return DocumentRows(type=kind, offsets=offsets, values=vectors.astype(np.float32))


def bits(rows: DocumentRows) -> DocumentRows:
    kind = TensorType.parse(f"tensor<int8>(dt{{}},x[{rows.values.shape[1] // 8}])")
    return DocumentRows(type=kind, offsets=rows.offsets, values=pack_bits(rows.values))


def questions(rows: DocumentRows, count: int, seed: int, tokens: int = 8) -> list[NDArray[Any]]:
    """Return queries, each near to tokens of some document."""
    random = np.random.default_rng(seed)
    found = []
    for document in random.integers(len(rows), size=count).tolist():
        own = rows.values[rows.offsets[document] : rows.offsets[document + 1]]
        asked = own[random.integers(len(own), size=tokens)]
        asked = asked + 0.12 * random.standard_normal(asked.shape)
        found.append((asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32))
    return found


def exact(rows: DocumentRows, vectors: NDArray[Any], metric: str, hits: int) -> list[NDArray[Any]]:
    kind = rows.type.without("dt")
    known = METRICS[metric]
    return [
        nearest_documents(
            closenesses(rows, Tensor.dense(kind, each.astype(kind.cell_type.dtype)), known),
            hits,
            furthest=known.furthest,
        )
        for each in vectors
    ]


def found_of(
    graph: TokenGraph, expected: list[NDArray[Any]], vectors: NDArray[Any], hits: int
) -> float:
    found = graph.nearest(vectors, hits)
    shares = [
        len(set(mine.tolist()) & set(theirs.tolist())) / len(theirs)
        for mine, theirs in zip(found, expected, strict=True)
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("metric", ["angular", "euclidean", "prenormalized-angular", "dotproduct"])
def test_the_nearest_documents_of_floats_are_found(metric: str) -> None:
    rows = corpus(60, seed=1)
    asked = questions(rows, 2, seed=2)[0]

    graph = build_graph(rows, metric)

    assert found_of(graph, exact(rows, asked, metric, 5), asked, 5) >= RECALL
    for each in graph.nearest(asked, 5):
        assert len(each) == len(set(each.tolist())) == 5


def test_angles_do_not_know_of_lengths() -> None:
    rows = corpus(40, seed=3)
    scaled = rows.values * np.linspace(0.1, 3.0, len(rows.values), dtype=np.float32)[:, np.newaxis]
    stretched = DocumentRows(type=rows.type, offsets=rows.offsets, values=scaled)
    asked = 7 * questions(rows, 1, seed=4)[0]

    graph = build_graph(stretched, "angular")

    assert found_of(graph, exact(rows, asked, "angular", 4), asked, 4) >= RECALL


def test_the_nearest_documents_of_bits_are_found() -> None:
    rows = bits(corpus(60, seed=5))
    asked = rows.values[::97]

    found = build_graph(rows, "hamming").nearest(asked, 1)

    # Each vector is in the graph: the nearest one is as near as itself.
    documents = np.searchsorted(rows.offsets, np.arange(len(rows.values))[::97], "right") - 1
    for vector, mine, own in zip(asked, found, documents.tolist(), strict=True):
        held = rows.values[rows.offsets[mine[0]] : rows.offsets[mine[0] + 1]]
        assert mine[0] == own or (held == vector).all(axis=1).any()


def test_bfloat16_and_contexts_are_searched_alike() -> None:
    plain = corpus(30, seed=6)
    kind = TensorType.parse(f"tensor<bfloat16>(dt{{}},x[{DIM}])")
    cut = truncate_to_bfloat16(plain.values)
    rows = DocumentRows(type=kind, offsets=plain.offsets, values=bfloat16_bits(cut))
    contexts = ContextRows(
        type=TensorType.parse(f"tensor<bfloat16>(context{{}},dt{{}},x[{DIM}])"),
        outer="context",
        rows=rows,
        numbers=np.zeros(len(cut), np.int64),
    )
    asked = cut[::50]

    own = np.searchsorted(plain.offsets, np.arange(len(cut))[::50], "right") - 1
    for each in (rows, contexts):
        found = build_graph(each, "dotproduct").nearest(asked, 1)
        assert np.concatenate(found).tolist() == own.tolist()


def test_as_many_documents_are_found_as_are_wanted() -> None:
    rows = corpus(12, seed=7, length=40)
    asked = questions(rows, 1, seed=8)[0]

    graph = build_graph(rows, "dotproduct")

    # One document may hold all of the nearest vectors: the search goes on for others.
    assert [len(each) for each in graph.nearest(asked, 12)] == [12] * len(asked)
    assert [len(each) for each in graph.nearest(asked, 50)] == [12] * len(asked)
    assert graph.nearest(asked[:0], 3) == []


def test_documents_without_vectors_are_never_found() -> None:
    rows = DocumentRows(
        type=FLOATS,
        offsets=np.array([0, 0, 2, 2, 3], np.int64),
        values=np.eye(DIM, dtype=np.float32)[:3],
    )

    found = build_graph(rows, "dotproduct").nearest(np.eye(DIM, dtype=np.float32)[2:3], 9)
    empty = DocumentRows(type=FLOATS, offsets=np.zeros(3, np.int64), values=rows.values[:0])

    assert found[0].tolist() == [3, 1]
    assert build_graph(empty, "angular").nearest(rows.values, 2)[0].tolist() == []


def test_a_file_gives_the_same_graph(tmp_path: Path) -> None:
    rows = corpus(30, seed=9)
    for each, metric in ((rows, "angular"), (bits(rows), "hamming")):
        graph = build_graph(each, metric)
        path = graph_path(tmp_path / "index", metric)
        write_graph(graph, path, each)

        again = open_graph(path, each, metric, GraphOptions(explore=128))

        asked = each.cells[::60]
        for one, two in zip(graph.nearest(asked, 4), again.nearest(asked, 4), strict=True):
            assert len(set(one.tolist()) & set(two.tolist())) >= 3
        assert path.parent == tmp_path
    assert graph_path(Path("a/index"), "colbert") == Path("a/index.colbert.graph")


def test_a_graph_of_other_vectors_is_refused_and_both_are_named(tmp_path: Path) -> None:
    rows, path = corpus(20, seed=10), tmp_path / "index.colbert.graph"
    write_graph(build_graph(rows, "angular"), path, rows)
    moved = rows.values.copy()
    moved[3, 4] = np.nextafter(moved[3, 4], np.float32(2))
    other = DocumentRows(type=rows.type, offsets=rows.offsets, values=moved)
    shifted = rows.offsets.copy()
    shifted[1] += 1
    split = DocumentRows(type=rows.type, offsets=shifted, values=rows.values)

    for each in (other, split):
        with pytest.raises(IndexFolderError) as caught:
            open_graph(path, each, "angular")
        assert rows_state(rows) in str(caught.value)
        assert rows_state(each) in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(IndexFolderError, match="metric 'angular', expected 'dotproduct'"):
        open_graph(path, rows, "dotproduct")
    with pytest.raises(IndexFolderError, match="max_links 16, expected 8"):
        open_graph(path, rows, "angular", GraphOptions(max_links=8))


def test_damage_is_found(tmp_path: Path) -> None:
    rows, path = corpus(10, seed=11), tmp_path / "index.colbert.graph"
    write_graph(build_graph(rows, "angular"), path, rows)
    whole = path.read_bytes()
    for place in range(HEADER_BYTES, len(whole), len(whole) // 40):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        path.write_bytes(bytes(broken))
        with pytest.raises(IndexFolderError, match="damaged"):
            open_graph(path, rows, "angular")
    for content in (b"", whole[:HEADER_BYTES], b"{}", json.dumps([1]).encode(), whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(IndexFolderError):
            open_graph(path, rows, "angular")
    with pytest.raises(IndexFolderError, match="found none"):
        open_graph(tmp_path / "nothing", rows, "angular")


def test_what_has_no_graph_is_refused() -> None:
    rows = corpus(5, seed=12)
    with pytest.raises(SpecError, match="expected one of angular, .*got 'hamming'"):
        build_graph(rows, "hamming")
    with pytest.raises(SpecError, match="got 'geodegrees'"):
        build_graph(bits(rows), "geodegrees")
    with pytest.raises(ArrayError, match=f"expected vectors of {DIM}"):
        build_graph(rows, "angular").nearest(rows.values[:, :8], 3)
    with pytest.raises(ArrayError, match="expected int8 cells, got float32"):
        build_graph(bits(rows), "hamming").nearest(rows.values[:, : DIM // 8], 3)
    rows.values[2, 2] = np.inf
    with pytest.raises(ArrayError, match="finite"):
        build_graph(rows, "dotproduct")
    with pytest.raises(SpecError, match="2 links and 1 neighbour"):
        GraphOptions(max_links=1)


def test_the_extra_is_named_where_faiss_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)

    with pytest.raises(MissingExtraError, match=r"vespa-colbert\[ann\]"):
        build_graph(corpus(3, seed=0), "angular")


def recall_and_work(
    rows: DocumentRows, metric: str, asked: list[NDArray[Any]], hits: int, faiss: Any
) -> tuple[float, float]:
    """Return how many of the ten best by MaxSim are candidates, and the share of dot products."""
    graph = build_graph(rows, metric)
    is_bits = metric == "hamming"
    score = max_sim_bits if is_bits else max_sim
    lengths, shares, work = np.diff(rows.offsets), [], []
    for query in asked:
        best = np.argsort(-score(query, rows.values, rows.offsets), kind="stable")[:10]
        statistics = faiss.cvar.hnsw_stats
        statistics.reset()
        found = united(graph.nearest(pack_bits(query) if is_bits else query, hits))
        shares.append(len(set(best.tolist()) & set(found.tolist())) / 10)
        # Distances in the graph, then all pairs of the candidates' tokens and the query's.
        done = statistics.ndis + int(lengths[found].sum()) * len(query)
        work.append(done / (len(rows.values) * len(query)))
    return float(np.mean(shares)), float(np.mean(work))


def test_the_best_documents_are_among_the_candidates_of_a_small_index(faiss: Any) -> None:
    rows = corpus(600, seed=13, length=12)

    recall, work = recall_and_work(rows, "angular", questions(rows, 10, seed=14), 30, faiss)

    assert recall >= RECALL
    assert 0.0 < work < 0.6


@pytest.mark.slow
def test_the_best_of_100_000_vectors_are_found_for_a_tenth_of_the_work(faiss: Any) -> None:
    rows = corpus(6000, seed=15, dim=64, length=18)
    assert len(rows.values) > 100_000
    faiss.omp_set_num_threads(os.cpu_count() or 1)

    asked = questions(rows, 40, seed=16)
    recall, work = recall_and_work(rows, "dotproduct", asked, 40, faiss)

    assert recall >= RECALL
    assert work <= 0.1


@pytest.mark.slow
def test_the_nearest_of_100_000_packed_vectors_are_found_for_a_tenth_of_the_work(
    faiss: Any,
) -> None:
    floats = corpus(6000, seed=15, dim=64, length=18)
    rows = bits(floats)
    assert len(rows.values) > 100_000
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    graph = build_graph(rows, "hamming", GraphOptions(explore=256))
    asked = np.concatenate([pack_bits(each) for each in questions(floats, 5, seed=1)])
    statistics = faiss.cvar.hnsw_stats
    statistics.reset()

    found = graph.nearest(asked, 40)

    assert statistics.ndis <= 0.1 * len(rows.values) * len(asked)
    kind = rows.type.without("dt")
    shares = []
    for vector, mine in zip(asked, found, strict=True):
        closeness = closenesses(rows, Tensor.dense(kind, vector), METRICS["hamming"])
        # Many are equally near: any of those as near as the last one that is wanted will do.
        shares.append((closeness[mine] >= np.sort(closeness)[-40]).mean())
    assert np.mean(shares) >= RECALL


def test_bits_stand_for_their_signs() -> None:
    rows = corpus(4, seed=17)
    np.testing.assert_array_equal(unpack_bits(bits(rows).values), (rows.values > 0) * 1.0)
