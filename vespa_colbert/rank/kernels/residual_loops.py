"""The loops over residuals that numba compiles; their innermost one is a tile of LLVM instructions.

A tile is a few rows against 32 query tokens: it adds, for each row, the line of its centroid and a
line for each of its bytes, times the row's scale. The sums stay in registers, which they do not
where Python loops are compiled: LLVM cannot tell that the lines do not overlap. It stands by itself
beside the tiles of ``vectors``, so that neither file makes numba compile the loops of the other.
"""

from __future__ import annotations

from collections.abc import Callable
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
            sums = _added(builder, tables.data, starts, width, sums)
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


def _added(builder: Any, tables: Any, rows: list[Any], width: Any, sums: list[Any]) -> list[Any]:
    """Return the sums of each row and the lines of its bytes, of which there is at least one."""
    before = builder.block
    head, done = (builder.append_basic_block(name) for name in ("byte", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    place, *carried = phis = [builder.phi(each.type) for each in (width, *sums)]
    grown = []
    for row, each in zip(rows, carried, strict=True):
        byte = builder.zext(builder.load(builder.gep(row, [place])), INDEX)
        line = builder.add(builder.shl(place, INDEX(8)), byte)
        grown.append(builder.fadd(each, _line(builder, tables, line)))
    following = builder.add(place, INDEX(1))
    later_values = [following, *grown]
    for phi, start, later in zip(phis, [INDEX(0), *sums], later_values, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(later, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, width), head, done)
    builder.position_at_end(done)
    return grown


def _line(builder: Any, lines: Any, number: Any) -> Any:
    place = builder.gep(lines, [builder.mul(number, INDEX(LANES))])
    return builder.load(builder.bitcast(place, FLOATS.as_pointer()), align=4)


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


def _lengths(components: int) -> Any:
    """Return the loop over lengths of vectors whose bytes hold so many components.

    The number is a constant in what is compiled, so that the components of a byte are one register.
    """

    def inverse_lengths(packed: Any, centroids: Any, cells: Any, vectors: Any, scales: Any) -> None:
        width = packed.shape[1]
        squares = np.empty(components, np.float32)
        for row in range(len(packed)):
            vector, at = vectors[centroids[row]], 0
            squares[:] = 0
            for place in range(width):
                weights = cells[place, packed[row, place]]
                for component in range(components):
                    each = vector[at + component] + weights[component]
                    squares[component] += each * each
                at += components
            total = np.float32(0.0)
            for component in range(components):
                total += squares[component]
            scales[row] = np.float32(1.0) / np.sqrt(total) if total > 0 else np.nan

    return _compiled(inverse_lengths)


LENGTHS = {components: _lengths(components) for components in (2, 4, 8)}
"""Components of a byte → puts 1 / the length of each rebuilt vector into scales (row,) float32."""
