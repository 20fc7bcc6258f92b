"""The loops over residuals that numba compiles; their innermost one is a tile of LLVM instructions.

A tile is a few rows against 32 query tokens: it adds, for each row, the line of its centroid and a
line for each of its bytes, times the row's scale. Lengths are measured in the same way, for a few
rows at once. The sums stay in registers, which they do not where Python loops are compiled: LLVM
cannot tell that the lines do not overlap. It stands by itself beside the tiles of ``vectors``, so
that neither file makes numba compile the loops of the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "LENGTHS", "residual_scores"]

LANES = 32
"""Query tokens that are compared at once."""

ROWS_A_TILE = 4
INDEX = ir.IntType(64)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Return the function compiled, kept on disk where numba finds a folder it may write to."""
    try:
        kept: Function = numba.njit(function, nogil=True, cache=True)
    except RuntimeError:  # numba has no place for its cache
        kept = numba.njit(function, nogil=True)
    return kept


def _tile(count: int) -> Any:
    """Return the intrinsic of a tile of ``count`` rows.

    It takes packed (row, width) uint8, centroids (row,) int64 and scales (row,) float32, the first
    row, tables (256 · width, 32), products (centroid, 32), and best (32,), in which it leaves what
    is larger than what was there.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(_typing: Any, packed: Any, centroids: Any, scales: Any, lines: Any, _row: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            arrays = [
                context.make_array(signature.args[place])(context, builder, values[place])
                for place in range(3)
            ]
            tables, products, best = (
                context.make_array(signature.args[3][place])(
                    context, builder, builder.extract_value(values[3], place)
                )
                for place in range(3)
            )
            width = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
            rows = [builder.add(values[4], INDEX(place)) for place in range(count)]
            starts = [builder.gep(arrays[0].data, [builder.mul(each, width)]) for each in rows]
            numbers = [builder.load(builder.gep(arrays[1].data, [each])) for each in rows]
            sums = [_line(builder, products.data, number) for number in numbers]

            def added(_at: Any, line: Any, _row: int, each: Any) -> Any:
                return builder.fadd(each, _line(builder, tables.data, line))

            sums = _over_bytes(builder, starts, width, sums, added)
            kept = _line(builder, best.data, INDEX(0))
            for each, number in zip(sums, rows, strict=True):
                scale = builder.load(builder.gep(arrays[2].data, [number]))
                value = builder.fmul(each, _spread(builder, scale))
                # false for NaN, which is never the largest
                is_larger = builder.fcmp_ordered(">", value, kept)
                kept = builder.select(is_larger, value, kept)
            builder.store(kept, builder.bitcast(best.data, FLOATS.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(packed, centroids, scales, lines, types.intp), lower

    return tile


def _over_bytes(
    builder: Any, rows: list[Any], width: Any, sums: list[Any], grown: Callable[..., Any]
) -> list[Any]:
    """Return the sums of rows after all their bytes, of which there is at least one.

    Args:
        builder: Builds the instructions.
        rows: Where the bytes of each row begin.
        width: How many bytes they have.
        sums: A sum a row.
        grown: Place of a byte, the line of what it stands for there, which of the rows, and its sum
            → its sum with that byte.
    """
    before = builder.block
    head, done = (builder.append_basic_block(name) for name in ("byte", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    place, *carried = phis = [builder.phi(each.type) for each in (width, *sums)]
    later_values = [builder.add(place, INDEX(1))]
    for number, (row, each) in enumerate(zip(rows, carried, strict=True)):
        byte = builder.zext(builder.load(builder.gep(row, [place])), INDEX)
        line = builder.add(builder.shl(place, INDEX(8)), byte)
        later_values.append(grown(place, line, number, each))
    for phi, start, later in zip(phis, [INDEX(0), *sums], later_values, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(later, builder.block)
    builder.cbranch(builder.icmp_signed("<", later_values[0], width), head, done)
    builder.position_at_end(done)
    return later_values[1:]


def _line(builder: Any, lines: Any, number: Any, kind: Any = FLOATS) -> Any:
    place = builder.gep(lines, [builder.mul(number, INDEX(kind.count))])
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=4)


def _spread(builder: Any, number: Any) -> Any:
    """Return a vector with the same number in every lane."""
    empty = ir.Constant(FLOATS, ir.Undefined)
    one = builder.insert_element(empty, number, ir.IntType(32)(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, empty, places)


tile_of_rows, tile_of_one = _tile(ROWS_A_TILE), _tile(1)


@_compiled
def residual_scores(
    stored: Any, tables: Any, products: Any, owners: Any, part: Any, scores: Any
) -> None:
    """Add MaxSim of documents ``part[0]`` to ``part[1] - 1`` to scores (query, document) float64.

    ``owners`` (lane,) int64 says which query each lane belongs to.
    """
    packed, centroids, scales, offsets = stored
    best = np.empty(LANES, np.float32)
    lines = (tables, products, best)
    for document in range(part[0], part[1]):
        row, end = offsets[document], offsets[document + 1]
        if row == end:
            continue
        best[:] = -np.inf
        while row + ROWS_A_TILE <= end:
            tile_of_rows(packed, centroids, scales, lines, row)
            row += ROWS_A_TILE
        while row < end:
            tile_of_one(packed, centroids, scales, lines, row)
            row += 1
        for lane in range(len(owners)):
            scores[owners[lane], document] += best[lane]


def _squares(count: int) -> Any:
    """Return the intrinsic of the squared lengths of ``count`` rows.

    It takes packed (row, width) uint8, centroids (row,) int64, a pair of cells (width, 256,
    components) and vectors (centroid, dim) float32, squares (row,) float32, in which it leaves what
    it finds, the first row, and the components of a byte, a constant.
    """

    @intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
    def squares(
        _typing: Any, packed: Any, centroids: Any, tables: Any, found: Any, _row: Any, size: Any
    ) -> Any:
        if not isinstance(size, types.IntegerLiteral):
            return None

        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = (*signature.args[:2], *tables, found)
            pair = (builder.extract_value(values[2], place) for place in range(2))
            given = (*values[:2], *pair, values[3])
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(kinds, given, strict=True)
            ]
            rows = [builder.add(values[4], INDEX(place)) for place in range(count)]
            _put_squares(builder, arrays, rows, ir.VectorType(ir.FloatType(), size.literal_value))
            return context.get_dummy_value()

        return types.void(packed, centroids, tables, found, types.intp, size), lower

    return squares


def _put_squares(builder: Any, arrays: Sequence[Any], rows: list[Any], kind: Any) -> None:
    """Put the squared lengths of rows where they belong; a byte stands for a vector of a kind."""
    packed, centroids, cells, vectors, found = arrays
    width = cgutils.unpack_tuple(builder, packed.shape)[1]
    starts = [builder.gep(packed.data, [builder.mul(each, width)]) for each in rows]
    numbers = [builder.load(builder.gep(centroids.data, [each])) for each in rows]
    pieces = [builder.mul(each, width) for each in numbers]

    def grown(at: Any, line: Any, row: int, each: Any) -> Any:
        piece = _line(builder, vectors.data, builder.add(pieces[row], at), kind)
        value = builder.fadd(piece, _line(builder, cells.data, line, kind))
        return builder.fadd(each, builder.fmul(value, value))

    none = [ir.Constant(kind, [0.0] * kind.count)] * len(rows)
    sums = _over_bytes(builder, starts, width, none, grown)
    for row, each in zip(rows, sums, strict=True):
        builder.store(_total(builder, each), builder.gep(found.data, [row]))


def _total(builder: Any, lanes: Any) -> Any:
    """Return the sum of the lanes of a vector, from the first to the last."""
    each = (builder.extract_element(lanes, INDEX(lane)) for lane in range(lanes.type.count))
    return functools.reduce(builder.fadd, each)


squares_of_rows, squares_of_one = _squares(ROWS_A_TILE), _squares(1)


def _lengths(components: int) -> Any:
    """Return the loop over lengths of vectors whose bytes hold so many components.

    The number is a constant in what is compiled, so that the components of a byte are one register.
    """

    def inverse_lengths(packed: Any, centroids: Any, cells: Any, vectors: Any, scales: Any) -> None:
        row, tables = 0, (cells, vectors)
        while row + ROWS_A_TILE <= len(packed):
            squares_of_rows(packed, centroids, tables, scales, row, components)
            row += ROWS_A_TILE
        while row < len(packed):
            squares_of_one(packed, centroids, tables, scales, row, components)
            row += 1
        for place in range(len(scales)):
            total = scales[place]
            scales[place] = np.float32(1.0) / np.sqrt(total) if total > 0 else np.nan

    return _compiled(inverse_lengths)


LENGTHS = {components: _lengths(components) for components in (2, 4, 8)}
"""Components of a byte → puts 1 / the length of each rebuilt vector into scales (row,) float32."""
