"""Tensor types and tensor literals of an expression, from the parts that the grammar finds.

Every form of a literal becomes cells with full addresses; what Vespa refuses raises ``ValueError``
and the parser adds the place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vespa_colbert.rank.language.nodes import LiteralCell, Node
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["Block", "Cells", "Entries", "WrittenType", "cell_type", "literal_cells", "written_type"]

LARGEST_SIZE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class WrittenType:
    """A tensor type and the order in which its dimensions were written."""

    type: TensorType
    order: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Cells in square brackets, however deep these are."""

    values: list[Node]


@dataclass(frozen=True, slots=True)
class Entries:
    """The short form for mapped dimensions: ``{a:1}``, ``{a:[1, 2]}``, ``{a:{b:1}}``."""

    entries: tuple[tuple[str, Node | Block | Entries], ...]


@dataclass(frozen=True, slots=True)
class Cells:
    """The long form: ``{{x:a, y:b}:1}``."""

    cells: tuple[tuple[Mapping[str, str], Node], ...]


Body: TypeAlias = Block | Entries | Cells


def cell_type(name: str) -> CellType:
    """Return the cell type of that name.

    Raises:
        ValueError: If there is none.
    """
    try:
        return CellType(name)
    except ValueError:
        known = ", ".join(each.value for each in CellType)
        raise ValueError(f"expected a cell type among {known}, got {name!r}") from None


def written_type(cells: str, dimensions: Sequence[Dimension]) -> WrittenType:
    """Return a type from its parts.

    Raises:
        ValueError: If it is none: a name twice, or a number with cells that are not double.
    """
    names = [each.name for each in dimensions]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"expected each dimension once, got {twice[0]!r} twice")
    kind = cell_type(cells)
    if not dimensions and kind is not CellType.DOUBLE:
        raise ValueError(f"expected a number to have cells of type double, got {kind.value}")
    if large := [each for each in dimensions if (each.size or 0) > LARGEST_SIZE]:
        raise ValueError(f"expected a size of at most {LARGEST_SIZE}, got {large[0]}")
    return WrittenType(TensorType(kind, tuple(dimensions)), tuple(dimensions))


def literal_cells(written: WrittenType, body: Body) -> tuple[LiteralCell, ...]:
    """Return the cells of a literal; of two with one address the later, where the first stood.

    Raises:
        ValueError: If the body does not fit the type.

    Source: RankingExpressionParser.jj, CellMapHelper and TensorFunctionNode.wrapScalars, Vespa
    8.700.24.
    """
    if isinstance(body, Block):
        return _sorted(written, body)
    found = _long(written.type, body) if isinstance(body, Cells) else _short(written, body, ())
    kept = dict(found)
    return tuple(LiteralCell(labels, value) for labels, value in kept.items())


def _sorted(written: WrittenType, body: Block) -> tuple[LiteralCell, ...]:
    """Return the cells of a dense literal in the order of its type.

    Raises:
        ValueError: If a dimension is mapped, or there is another number of values.
    """
    if written.type.mapped:
        raise ValueError(
            f"expected labels for the mapped dimensions of {written.type}, got a list of values"
        )
    cells = dict(_dense(written, body, {}))
    order = itertools.product(*map(range, written.type.shape))
    addresses = (tuple(map(str, indexes)) for indexes in order)
    return tuple(LiteralCell(labels, cells[labels]) for labels in addresses)


def _dense(
    written: WrittenType, body: Block, labels: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield the cells of one dense block, in the order written.

    Raises:
        ValueError: If there is another number of values.
    """
    indexed = [each for each in written.order if not each.is_mapped]
    sizes = [each.size or 1 for each in indexed]
    if math.prod(sizes) != len(body.values):
        raise ValueError(
            f"expected {math.prod(sizes)} values to fill a block of {written.type}, "
            f"got {len(body.values)}"
        )
    names = [each.name for each in indexed]
    places = itertools.product(*map(range, sizes))
    for indexes, value in zip(places, body.values, strict=True):
        address = {**labels, **dict(zip(names, map(str, indexes), strict=True))}
        yield tuple(address[each.name] for each in written.type.dimensions), value


def _long(tensor_type: TensorType, body: Cells) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield the cells of the long form.

    Raises:
        ValueError: If an address lacks a dimension or has one that the type lacks.
    """
    for address, value in body.cells:
        for name in address:
            if tensor_type.dimension(name) is None:
                raise ValueError(f"expected a dimension of {tensor_type}, got {name!r}")
        for each in tensor_type.dimensions:
            if each.name not in address:
                raise ValueError(f"expected a label for each dimension, got none for {each.name!r}")
        yield tuple(address[each.name] for each in tensor_type.dimensions), value


def _short(
    written: WrittenType, body: Entries, labels: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield the cells of the short form, below the labels given so far.

    Raises:
        ValueError: If there are too few or too many labels, or a block where a number should be.
    """
    names = [each.name for each in written.order if each.is_mapped]
    for label, value in body.entries:
        given = (*labels, label)
        if len(given) > len(names):
            raise ValueError(
                f"expected {len(names)} labels, one for each mapped dimension of {written.type}, "
                f"got {label!r} beyond"
            )
        if isinstance(value, Entries):
            yield from _short(written, value, given)
            continue
        if len(given) < len(names):
            raise ValueError(f"expected a label for dimension {names[len(given)]!r} too, got none")
        block = value if isinstance(value, Block) else Block([value])
        if isinstance(value, Block) != bool(written.type.indexed):
            wanted = "a block in brackets" if written.type.indexed else "a single value"
            raise ValueError(f"{label}: expected {wanted} in {written.type}")
        yield from _dense(written, block, dict(zip(names, given, strict=True)))
