"""The kernels on arrays: by hand, and against sums in double written out one by one."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.required import import_or_skip
from vespa_colbert.rank.kernels import (
    choice,
    hamming_sums,
    max_sim,
    max_sim_bits,
    parallel,
    queries,
)
from vespa_colbert.rank.kernels.blocked import BLOCK_ROWS

FLOAT = float(np.finfo(np.float32).eps)
"""Each product and each addition of a float32 sum may be off by so much of what is added up."""

WAIT_SECONDS = 30.0
"""Longer than any thread takes to be woken up; only a fault waits so long."""

DOUBLE = float(np.finfo(np.float64).eps)

ENGINES = ["numpy", "numba"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every call goes to one of the two, whatever its size."""
    name: str = request.param
    with using(name):
        yield name


def using(name: str) -> Any:
    if name == "numba":
        import_or_skip("numba")
    patch = pytest.MonkeyPatch()
    patch.setattr(queries, "WORTH_COMPILING", 0 if name == "numba" else math.inf)

    class Using:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_error: object) -> None:
            patch.undo()

    return Using()


def bounds(lengths: list[int]) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def widened(rows: np.ndarray) -> np.ndarray:
    """Return cells in double; uint16 cells are bfloat16, whose bits are the upper of a float."""
    if rows.dtype == np.uint16:
        rows = (rows.astype(np.uint32) << 16).view(np.float32)
    return rows.astype(np.float64)


def expected(query: np.ndarray, rows: np.ndarray, offsets: np.ndarray) -> list[float]:
    """Return the definition: for each document the sum over tokens of the largest product."""
    wide, found = widened(rows), []
    for first, last in pairwise(offsets):
        best = [
            max((float(np.dot(token, row)) for row in wide[first:last]), default=0.0)
            for token in query.astype(np.float64)
        ]
        found.append(math.fsum(best))
    return found


def tolerance(query: np.ndarray, rows: np.ndarray, epsilon: float = FLOAT) -> float:
    """Return a bound of the rounding: of a product for each of the tokens, added up."""
    lengths = np.abs(query.astype(np.float64)).sum(axis=1, initial=0.0)
    largest = np.abs(widened(rows)).max(initial=0.0)
    return float(epsilon * query.shape[1] * largest * lengths.sum())


def cells(kind: str, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    if kind == "int8":
        return generator.integers(-128, 128, shape).astype(np.int8)
    values = generator.normal(size=shape).astype(np.float64 if kind == "double" else np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16) if kind == "bfloat16" else values


class TestByHand:
    QUERY = np.array([[1, 0], [0, 1], [-1, -1]], np.float32)
    ROWS = np.array([[1, 2], [3, -4], [-5, -6], [0.5, 0.25]], np.float32)
    OFFSETS = np.array([0, 2, 2, 3, 4], np.int64)

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    def test_the_best_row_of_each_query_token_is_summed(self, kind: type) -> None:
        # (3 + 2 + 1), no row, (-5 - 6 + 11), (0.5 + 0.25 - 0.75)
        rows: np.ndarray = self.ROWS.astype(kind)
        assert max_sim(self.QUERY, rows, self.OFFSETS).tolist() == [6.0, 0.0, 0.0, 0.0]
        assert max_sim(self.QUERY[:2], rows, self.OFFSETS).tolist() == [5, 0, -11, 0.75]

    @pytest.mark.usefixtures("engine")
    def test_bfloat16_cells_are_the_upper_half_of_a_float(self) -> None:
        rows = (self.ROWS.view(np.uint32) >> 16).astype(np.uint16)
        assert rows[0].tolist() == [0x3F80, 0x4000]
        assert max_sim(self.QUERY[:2], rows, self.OFFSETS).tolist() == [5, 0, -11, 0.75]

    @pytest.mark.usefixtures("engine")
    def test_whole_cells(self) -> None:
        rows = np.array([[-128, 127], [5, -5]], np.int8)
        offsets = np.array([0, 1, 2], np.int64)
        assert max_sim(self.QUERY, rows, offsets).tolist() == [-128 + 127 + 1, 0]

    @pytest.mark.usefixtures("engine")
    def test_no_query_token_and_no_document_give_nothing(self) -> None:
        assert max_sim(self.QUERY[:0], self.ROWS, self.OFFSETS).tolist() == [0, 0, 0, 0]
        assert max_sim(self.QUERY, self.ROWS[:0], np.array([0])).tolist() == []
        assert max_sim(self.QUERY, self.ROWS[:0], np.array([0, 0, 0])).tolist() == [0, 0]

    @pytest.mark.usefixtures("engine")
    def test_bits_are_zeros_and_ones_with_the_highest_first(self) -> None:
        weights = np.array([[2.0**i for i in range(8)], [-1.0] * 8], np.float32)
        packed = np.array([[1], [-128], [3]], np.int8)
        # 1 is the last component: 128 and -1; -128 the first: 1 and -1; 3 the last two: 192 and -2
        assert max_sim_bits(weights, packed, np.array([0, 2, 3], np.int64)).tolist() == [127, 190]
        assert max_sim_bits(weights, packed, np.array([0, 3], np.int64)).tolist() == [191]
        wide = weights.astype(np.float64)
        assert max_sim_bits(wide, packed, np.array([0, 3], np.int64)).tolist() == [191]

    @pytest.mark.usefixtures("engine")
    def test_bits_may_stand_for_other_cells(self) -> None:
        weights = np.array([[2.0**i for i in range(8)]], np.float32)
        packed = np.array([[1], [-128]], np.int8)
        signs = 2 * choice.BITS_OF_BYTE - 1
        # 128 alone is plus, and 1 alone: 128 - 127 and 1 - 254
        got = max_sim_bits(weights, packed, np.array([0, 1, 2], np.int64), signs)
        assert got.tolist() == [1, -253]

    @pytest.mark.usefixtures("engine")
    def test_the_nearest_row_counts(self) -> None:
        query = np.array([[0, 0], [-1, -1]], np.int8)
        packed = np.array([[0, 1], [0, 3], [-1, 0]], np.int8)
        offsets = np.array([0, 2, 2, 3], np.int64)
        # Distances to zeros: 1, 2 | 8; to ones: 15, 14 | 8.
        distances = np.arange(17, dtype=np.float64)
        assert hamming_sums(query, packed, offsets, distances).tolist() == [1 + 14, 0, 16]
        assert hamming_sums(query[:0], packed, offsets, distances).tolist() == [0, 0, 0]

    @pytest.mark.usefixtures("engine")
    def test_products_are_summed_in_double(self) -> None:
        rows = np.array([[2.0**24, 1.0]], np.float32)
        assert max_sim(self.QUERY[:2], rows, np.array([0, 1], np.int64)).tolist() == [2.0**24 + 1]

    @pytest.mark.usefixtures("engine")
    def test_nan_is_never_the_best(self) -> None:
        rows = np.array([[np.nan, 1], [2, 3], [np.nan, np.nan]], np.float32)
        for order in ([0, 1, 2], [1, 0, 2]):
            got = max_sim(self.QUERY[:2], rows[order], np.array([0, 2, 3], np.int64))
            assert got.tolist() == [5.0, -np.inf]

    @pytest.mark.usefixtures("engine")
    def test_infinite_cells(self) -> None:
        rows = np.array([[np.inf, 0], [0, -np.inf], [0, 1]], np.float32)
        got = max_sim(np.eye(2, dtype=np.float32), rows, np.array([0, 1, 2, 3], np.int64))
        # 0 times infinity is NaN, which is never the largest.
        assert got[2] == 1
        assert np.isnan(got[0])
        assert got[1] == -np.inf

    @pytest.mark.usefixtures("engine")
    def test_a_maximum_below_zero_stays_below_zero(self) -> None:
        query = np.array([[0.5, 0.5], [1, 0]], np.float32)
        rows = -np.array([[1, 0], [1, 1], [0, 1]], np.float32)
        got = max_sim(query, rows, np.array([0, 1, 3], np.int64))
        assert got.tolist() == [-1.5, -0.5]


LENGTHS = [[1], [0], [3, 1, 0, 5], [0, 0, 2, 0], [7] * 300, [40, 0, 13, 6, 12, 5, 18, 4, 29]]


class TestAgainstTheDefinition:
    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)} documents")
    @pytest.mark.parametrize("kind", ["float", "bfloat16", "int8", "double"])
    def test_ragged_documents(self, lengths: list[int], kind: str) -> None:
        generator, offsets = np.random.default_rng(3), bounds(lengths)
        rows = cells(kind, (int(offsets[-1]), 24), generator)
        query = cells("float", (5, 24), generator)
        got = max_sim(query, rows, offsets)
        limit = tolerance(query, rows, DOUBLE if kind == "double" else FLOAT)
        assert np.abs(got - expected(query, rows, offsets)).max() <= limit

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("tokens", [1, 31, 32, 33, 64, 70, 512])
    @pytest.mark.parametrize("dim", [1, 3, 16, 50, 128])
    def test_any_number_of_query_tokens_and_components(self, tokens: int, dim: int) -> None:
        generator, offsets = np.random.default_rng(4), bounds([3, 0, 9])
        rows, query = cells("float", (12, dim), generator), cells("float", (tokens, dim), generator)
        got = max_sim(query, rows, offsets)
        assert np.abs(got - expected(query, rows, offsets)).max() <= tolerance(query, rows)

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("tokens", [1, 32, 45])
    @pytest.mark.parametrize("width", [1, 2, 5, 16, 17])
    def test_packed_rows(self, tokens: int, width: int) -> None:
        generator, offsets = np.random.default_rng(5), bounds([6, 0, 1, 10])
        packed = cells("int8", (17, width), generator)
        query = cells("float", (tokens, 8 * width), generator)
        bits = np.unpackbits(packed.view(np.uint8), axis=1).astype(np.float32)
        got = max_sim_bits(query, packed, offsets)
        assert np.abs(got - expected(query, bits, offsets)).max() <= tolerance(query, bits)

    @pytest.mark.usefixtures("engine")
    @pytest.mark.parametrize("tokens", [1, 32, 45])
    @pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 12, 16, 40])
    def test_hamming_distances(self, tokens: int, width: int) -> None:
        generator, offsets = np.random.default_rng(6), bounds([6, 0, 1, 10])
        packed = cells("int8", (17, width), generator)
        query = cells("int8", (tokens, width), generator)
        worth = generator.permutation(8 * width + 1).astype(np.float64)
        by_hand = []
        for first, last in pairwise(offsets):
            nearest = [
                min(
                    sum(int(a ^ b).bit_count() for a, b in zip(token, row, strict=True))
                    for row in packed[first:last].view(np.uint8)
                )
                for token in query.view(np.uint8)
                if last > first
            ]
            by_hand.append(math.fsum(worth[nearest]) if nearest else 0.0)
        assert hamming_sums(query, packed, offsets, worth).tolist() == by_hand

    @pytest.mark.usefixtures("engine")
    def test_documents_longer_than_a_block(self) -> None:
        lengths = [1, BLOCK_ROWS - 1, 1, 0, 2 * BLOCK_ROWS + 1, 4, 0]
        generator, offsets = np.random.default_rng(7), bounds(lengths)
        rows, query = cells("float", (int(offsets[-1]), 8), generator), np.eye(3, 8, dtype="f4")
        got = max_sim(query, rows, offsets)
        best = [
            rows[first:last, :3].max(axis=0).sum(dtype=np.float64) if last > first else 0.0
            for first, last in pairwise(offsets)
        ]
        assert got.tolist() == best, "products with a unit vector are exact"

    @pytest.mark.usefixtures("engine")
    def test_rows_that_are_not_contiguous(self) -> None:
        generator, offsets = np.random.default_rng(8), bounds([2, 3])
        wide, query = cells("float", (10, 12), generator), cells("float", (4, 6), generator)
        rows = wide[::2, 3:9]
        got = max_sim(query, rows, offsets)
        assert np.array_equal(got, max_sim(query, rows.copy(), offsets))

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.integers(0, 9), min_size=1, max_size=12),
        st.integers(0, 40),
        st.integers(1, 20),
        st.sampled_from(["float", "bfloat16", "int8", "double"]),
        st.sampled_from(ENGINES),
        st.integers(0, 1000),
    )
    def test_any_batch(
        self, lengths: list[int], tokens: int, dim: int, kind: str, name: str, seed: int
    ) -> None:
        generator, offsets = np.random.default_rng(seed), bounds(lengths)
        rows = cells(kind, (int(offsets[-1]), dim), generator)
        query = cells("float", (tokens, dim), generator)
        with using(name):
            got = max_sim(query, rows, offsets)
        assert np.abs(got - expected(query, rows, offsets)).max() <= tolerance(query, rows)


class TestThreads:
    @pytest.mark.parametrize("name", ENGINES)
    def test_every_document_is_scored_once_however_they_are_shared_out(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parallel, "LEAST_ROWS", 5)
        generator = np.random.default_rng(9)
        offsets = bounds(generator.integers(0, 12, 400).tolist())
        packed = cells("int8", (int(offsets[-1]), 4), generator)
        query, worth = cells("int8", (3, 4), generator), np.arange(33.0)
        with using(name):
            together = hamming_sums(query, packed, offsets, worth)
            alone = [
                hamming_sums(query, packed[a:b], np.array([0, b - a]), worth)[0]
                for a, b in pairwise(offsets)
            ]
        assert together.tolist() == alone

    @pytest.mark.usefixtures("engine")
    def test_several_callers_at_once(self) -> None:
        generator, offsets = np.random.default_rng(10), bounds([50] * 100)
        rows, query = cells("float", (5000, 32), generator), cells("float", (32, 32), generator)
        wanted, found = max_sim(query, rows, offsets), [np.zeros(0)] * 6

        def call(place: int) -> None:
            found[place] = max_sim(query, rows, offsets)

        callers = [threading.Thread(target=call, args=(place,)) for place in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert all(np.array_equal(wanted, each) for each in found)

    def test_what_a_thread_raises_is_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "LEAST_ROWS", 1)

        def work(part: tuple[int, int]) -> None:
            raise ValueError(f"document {part[0]}")

        with pytest.raises(ValueError, match="document"):
            parallel.in_parts(np.arange(100), work)

    @pytest.mark.parametrize("is_served", [True, False])
    def test_a_thread_is_waited_for_unless_everything_is_served(self, is_served: bool) -> None:
        started, may_end, ended = (threading.Event() for _ in range(3))
        caller = threading.current_thread()

        def serve() -> None:
            if threading.current_thread() is caller:
                assert started.wait(WAIT_SECONDS)
                return
            started.set()
            may_end.wait(0.0 if not is_served else WAIT_SECONDS)
            ended.set()

        parallel.in_threads(serve, 2, lambda: is_served)
        assert ended.is_set() != is_served
        may_end.set()
        assert ended.wait(WAIT_SECONDS)

    def test_documents_are_served_when_the_last_of_them_is(self) -> None:
        import_or_skip("numba")
        from vespa_colbert.rank.kernels import compiled, vectors

        for served, wanted in ((6, False), (7, True)):
            shares = compiled.Shares(7, 2, np.array([8, served], np.int64))
            assert vectors.all_are_served(shares) is wanted

    @pytest.mark.parametrize("documents", [1, 2, 127, 128, 129, 1000])
    def test_compiled_threads_take_every_document_once(
        self, documents: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parallel, "LEAST_ROWS", 1)
        rows = np.arange(1.0, documents + 1, dtype=np.float32)[:, np.newaxis]
        with using("numba"):
            got = max_sim(np.ones((1, 1), np.float32), rows, np.arange(documents + 1))
        assert got.tolist() == rows[:, 0].tolist(), "a document served twice would count twice"


class TestChoice:
    QUERY = np.ones((2, 4), np.float32)
    ROWS = np.ones((3, 4), np.float32)

    def test_a_small_call_does_not_load_numba(self) -> None:
        script = (
            "import sys, numpy as np\n"
            "from vespa_colbert.rank.kernels import max_sim\n"
            "max_sim(np.ones((2, 4), 'f4'), np.ones((3, 4), 'f4'), np.array([0, 3]))\n"
            "sys.exit('numba' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

    def test_without_the_extra_numpy_computes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "vespa_colbert.rank.kernels.compiled", None)
        monkeypatch.setattr(queries, "WORTH_COMPILING", 0)
        choice._numba_kernels.cache_clear()
        try:
            got = max_sim(self.QUERY, self.ROWS, np.array([0, 1, 3], np.int64))
        finally:
            choice._numba_kernels.cache_clear()
        assert got.tolist() == [8.0, 8.0]

    def test_doubles_are_never_rounded_to_float(self) -> None:
        with using("numba"):
            query = np.array([[1.0, 2.0**-40]])
            got = max_sim(query, np.ones((1, 2), np.float32), np.array([0, 1], np.int64))
            bits = max_sim_bits(
                np.full((1, 8), 1 + 2.0**-40), np.array([[-1]], np.int8), np.array([0, 1])
            )
        assert got.tolist() == [1.0 + 2.0**-40]
        assert bits.tolist() == [8 + 2.0**-37]
