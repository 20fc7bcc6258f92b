"""The loops that numba compiles, and their innermost one, a tile, written as LLVM instructions.

A tile is a few rows against 32 query tokens. The 32 numbers of a sum stay in registers while a
loop runs over the components: LLVM makes two, four or eight registers of them, whatever the
processor has. Compiled from loops in Python they would be loaded and stored at every step.

A tile is called with rows (row, width), the first of them, queries (block, line, 32), the block,
and best (32,), in which it leaves what wins against what was there.

A loop scores the documents that its thread takes. The lanes of a block may belong to several
queries; a score depends on nothing but the document's own rows and the query's own tokens. All of
this is one file because numba compiles again when the file of a loop changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "LANES",
    "all_are_served",
    "float_scores",
    "hamming_scores",
    "table_scores",
    "widened_scores",
]

LANES = 32
"""Query tokens that are compared at once."""

ROWS_A_TILE = 6 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 3
"""Rows whose sums are kept at once: 12 registers, enough to hide how long an addition takes."""

LINE = 16
"""Components in a line of the cache."""

INDEX, WORD, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
COUNTS = ir.VectorType(INDEX, LANES)

Sums: TypeAlias = list[Any]
Step: TypeAlias = Callable[[Any, Sums], Sums]
Steps: TypeAlias = Callable[[Any, Any, Any, Any], Step]
"""Builder, first row, its width, the query block → what happens at one component."""


def dot_products(count: int) -> Any:
    """Return the tile of the largest dot products of ``count`` rows: float32, (block, dim, 32)."""

    def steps(builder: Any, first: Any, dim: Any, query: Any) -> Step:
        kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
        multiply_add = _function(builder, kind, "llvm.fmuladd.v32f32")

        def step(component: Any, sums: Sums) -> Sums:
            _fetch_ahead(builder, first, dim, component, count)
            weights = _vector(builder, query, component, FLOATS)
            cells = (_cell(builder, first, dim, row, component) for row in range(count))
            spread = [_spread(builder, cell, FLOATS) for cell in cells]
            return [
                builder.call(multiply_add, [cell, weights, each])
                for cell, each in zip(spread, sums, strict=True)
            ]

        return step

    return _tile(count, FLOATS, steps, _larger)


def table_sums(count: int) -> Any:
    """Return the tile of the largest sums of table lines: rows uint8, (block, 256 · byte, 32)."""

    def steps(builder: Any, first: Any, width: Any, table: Any) -> Step:
        def step(place: Any, sums: Sums) -> Sums:
            grown = []
            for row, each in enumerate(sums):
                value = builder.zext(_cell(builder, first, width, row, place), INDEX)
                line = builder.add(builder.shl(place, INDEX(8)), value)
                grown.append(builder.fadd(each, _vector(builder, table, line, FLOATS)))
            return grown

        return step

    return _tile(count, FLOATS, steps, _larger)


def hamming_distances(count: int) -> Any:
    """Return the tile of the smallest Hamming distances: rows of words, (block, word, 32) uint64.

    Its best are int64.
    """

    def steps(builder: Any, first: Any, words: Any, query: Any) -> Step:
        ones = _function(builder, ir.FunctionType(COUNTS, [COUNTS]), "llvm.ctpop.v32i64")

        def step(place: Any, sums: Sums) -> Sums:
            asked = _vector(builder, query, place, COUNTS)
            grown = []
            for row, each in enumerate(sums):
                word = _cell(builder, first, words, row, place)
                word = word if word.type == INDEX else builder.zext(word, INDEX)
                differing = builder.xor(_spread(builder, word, COUNTS), asked)
                grown.append(builder.add(each, builder.call(ones, [differing])))
            return grown

        return step

    return _tile(count, COUNTS, steps, _smaller)


def _tile(count: int, kind: Any, steps: Steps, wins: Callable[[Any, Any, Any], Any]) -> Any:
    """Return the intrinsic of a tile: what is summed for each row, and which sum wins."""

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(_typing: Any, rows: Any, _row: Any, queries: Any, _block: Any, best: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            arrays = [
                context.make_array(signature.args[place])(context, builder, values[place])
                for place in (0, 2, 4)
            ]
            first, width = _item(builder, arrays[0], values[1])
            query, _lines = _item(builder, arrays[1], values[3])
            step = steps(builder, first, width, query)
            sums = _loop(builder, width, [kind([kind.element(0)] * LANES)] * count, step)
            kept = _vector(builder, arrays[2].data, INDEX(0), kind)
            for each in sums:
                kept = builder.select(wins(builder, each, kept), each, kept)
            builder.store(kept, builder.bitcast(arrays[2].data, kind.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(rows, types.intp, queries, types.intp, best), lower

    return tile


@intrinsic  # type: ignore[untyped-decorator]
def widened(_typing: Any, cell: Any) -> Any:
    """Return a cell as float32: a uint16 holds the upper half of one, as bfloat16 does."""

    def lower(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        if cell != types.uint16:
            return builder.sitofp(values[0], ir.FloatType())
        upper = builder.shl(builder.zext(values[0], WORD), WORD(16))
        return builder.bitcast(upper, ir.FloatType())

    return types.float32(cell), lower


@intrinsic  # type: ignore[untyped-decorator]
def add_at_once(_typing: Any, numbers: Any, _place: Any, _added: Any) -> Any:
    """Add to an int64 that other threads add to as well.

    Returns:
        What it was before.
    """

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        place = builder.gep(array.data, [values[1]])
        return builder.atomic_rmw("add", place, values[2], "seq_cst")

    return types.int64(numbers, types.intp, types.int64), lower


def _loop(builder: Any, count: Any, starts: Sums, step: Step) -> Sums:
    """Return the sums after ``count`` steps, of which there is at least one."""
    before = builder.block
    head, done = (builder.append_basic_block(name) for name in ("step", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    index, *sums = phis = [builder.phi(each.type) for each in (INDEX(0), *starts)]
    grown = step(index, sums)
    following = builder.add(index, INDEX(1))
    for phi, start, later in zip(phis, [INDEX(0), *starts], [following, *grown], strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(later, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), head, done)
    builder.position_at_end(done)
    return grown


def _fetch_ahead(builder: Any, first: Any, dim: Any, component: Any, count: int) -> None:
    """Ask for the next tile while this one is computed: one line a row, every 16 components.

    No processor guesses this order by itself; asking for what is past the end does no harm.
    """
    pointer = BYTE.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, WORD, WORD, WORD])
    fetch = _function(builder, kind, "llvm.prefetch.p0")
    starts_line = builder.icmp_signed("==", builder.and_(component, INDEX(LINE - 1)), INDEX(0))
    with builder.if_then(starts_line):
        for row in range(count, 2 * count):
            place = builder.bitcast(_place(builder, first, dim, row, component), pointer)
            builder.call(fetch, [place, WORD(0), WORD(3), WORD(1)])


def _larger(builder: Any, new: Any, kept: Any) -> Any:
    return builder.fcmp_ordered(">", new, kept)  # false for NaN, which is never the largest


def _smaller(builder: Any, new: Any, kept: Any) -> Any:
    return builder.icmp_signed("<", new, kept)


def _item(builder: Any, array: Any, index: Any) -> tuple[Any, Any]:
    """Return where item ``index`` of a contiguous array begins, and how many parts it has."""
    _count, parts, *rest = cgutils.unpack_tuple(builder, array.shape)
    length = parts
    for size in rest:
        length = builder.mul(length, size)
    return builder.gep(array.data, [builder.mul(index, length)]), parts


def _place(builder: Any, first: Any, width: Any, row: int, component: Any) -> Any:
    return builder.gep(first, [builder.add(builder.mul(INDEX(row), width), component)])


def _cell(builder: Any, first: Any, width: Any, row: int, component: Any) -> Any:
    return builder.load(_place(builder, first, width, row, component))


def _vector(builder: Any, lines: Any, line: Any, kind: Any) -> Any:
    place = builder.gep(lines, [builder.mul(line, INDEX(LANES))])
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=4)


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    """Return a vector with the same number in every lane."""
    empty = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(empty, number, WORD(0))
    return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(WORD, LANES), [0] * LANES))


def _function(builder: Any, kind: Any, name: str) -> Any:
    return cgutils.get_or_insert_function(builder.module, kind, name)


ROWS_WIDENED = 24
"""Rows that are widened to float32 at once: they stay in the first cache."""

LOOKS = 50_000
"""How often a thread looks whether the others have finished before it sleeps: a tenth of a
millisecond, less than it takes to be woken up."""

FARTHEST = np.iinfo(np.int64).max
dot_tile, dot_pair, dot_one = dot_products(ROWS_A_TILE), dot_products(2), dot_products(1)
table_tile, table_one = table_sums(4), table_sums(1)
hamming_pair, hamming_one = hamming_distances(2), hamming_distances(1)

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Return the function compiled, kept on disk where numba finds a folder it may write to."""
    try:
        kept: Function = numba.njit(function, nogil=True, cache=True)
    except RuntimeError:  # numba has no place for its cache
        kept = numba.njit(function, nogil=True)
    return kept


@_compiled
def _following(shares: Any, document: int) -> Any:
    """Return the document that a thread serves after this one, -1 before its first."""
    following = document + 1
    if following % shares.step != 0 and following < shares.documents:
        return following
    if document >= 0:
        add_at_once(shares.counts, 1, following - document // shares.step * shares.step)
    return add_at_once(shares.counts, 0, shares.step)


@_compiled
def all_are_served(shares: Any) -> bool:
    """Return whether all documents are served, after a wait as short as one step."""
    looks = 0
    while looks < LOOKS and add_at_once(shares.counts, 1, 0) < shares.documents:
        looks += 1
    return looks < LOOKS


@_compiled
def _best_products(rows: Any, start: int, end: int, query: Any, block: int, best: Any) -> None:
    row = start
    while row + ROWS_A_TILE <= end:
        dot_tile(rows, row, query.blocks, block, best)
        row += ROWS_A_TILE
    while row + 2 <= end:
        dot_pair(rows, row, query.blocks, block, best)
        row += 2
    if row < end:
        dot_one(rows, row, query.blocks, block, best)


@_compiled
def _add(best: Any, block: int, owners: Any, document: int, scores: Any) -> None:
    """Add what wins to the score of each lane's query, one after the other, wherever it stands."""
    first = LANES * block
    for lane in range(min(LANES, len(owners) - first)):
        scores[owners[first + lane], document] += best[lane]


@_compiled
def float_scores(rows: Any, offsets: Any, query: Any, scores: Any, shares: Any) -> None:
    """Put MaxSim of float32 rows into scores (query, document) float64, zero before."""
    best = np.empty(LANES, np.float32)
    document = _following(shares, -1)
    while document < shares.documents:
        start, end = offsets[document], offsets[document + 1]
        if start < end:
            for block in range(len(query.blocks)):
                best[:] = -np.inf
                _best_products(rows, start, end, query, block, best)
                _add(best, block, query.owners, document, scores)
        document = _following(shares, document)


@_compiled
def widened_scores(rows: Any, offsets: Any, query: Any, scores: Any, shares: Any) -> None:
    """Put MaxSim of rows that are widened to float32, a few at a time, into scores."""
    best = np.empty(LANES, np.float32)
    wide = np.empty((ROWS_WIDENED, rows.shape[1]), np.float32)
    document = _following(shares, -1)
    while document < shares.documents:
        start, end = offsets[document], offsets[document + 1]
        if start < end:
            for block in range(len(query.blocks)):
                best[:] = -np.inf
                for row in range(start, end, ROWS_WIDENED):
                    count = min(ROWS_WIDENED, end - row)
                    for place in range(count):
                        for component in range(rows.shape[1]):
                            wide[place, component] = widened(rows[row + place, component])
                    _best_products(wide, 0, count, query, block, best)
                _add(best, block, query.owners, document, scores)
        document = _following(shares, document)


@_compiled
def table_scores(rows: Any, offsets: Any, query: Any, scores: Any, shares: Any) -> None:
    """Put MaxSim of packed rows into scores; the blocks are tables (256 · byte, 32)."""
    best = np.empty(LANES, np.float32)
    document = _following(shares, -1)
    while document < shares.documents:
        start, end = offsets[document], offsets[document + 1]
        if start < end:
            for block in range(len(query.blocks)):
                best[:] = -np.inf
                row = start
                while row + 4 <= end:
                    table_tile(rows, row, query.blocks, block, best)
                    row += 4
                while row < end:
                    table_one(rows, row, query.blocks, block, best)
                    row += 1
                _add(best, block, query.owners, document, scores)
        document = _following(shares, document)


@_compiled
def hamming_scores(
    rows: Any, offsets: Any, query: Any, values: Any, scores: Any, shares: Any
) -> None:
    """Put the sums of what the smallest distances are worth into scores."""
    nearest = np.empty(LANES, np.int64)
    document = _following(shares, -1)
    while document < shares.documents:
        start, end = offsets[document], offsets[document + 1]
        if start < end:
            for block in range(len(query.blocks)):
                nearest[:] = FARTHEST
                for row in range(start, end - 1, 2):
                    hamming_pair(rows, row, query.blocks, block, nearest)
                if (end - start) % 2:
                    hamming_one(rows, end - 1, query.blocks, block, nearest)
                first = LANES * block
                for lane in range(min(LANES, len(query.owners) - first)):
                    scores[query.owners[first + lane], document] += values[nearest[lane]]
        document = _following(shares, document)
