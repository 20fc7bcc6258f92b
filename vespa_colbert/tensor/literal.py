"""Tensor literals: the text forms of a tensor value, read as Vespa reads them.

``tensor(m{},x[2]):{a:[1,2]}`` and its relatives::

    literal   = [ type ":" ] ( cells | blocks | dense | hex | number )
    cells     = "{" { address ":" number "," } "}" | "{" number "}"
    address   = "{" { dimension ":" label "," } "}"
    blocks    = "{" { label ":" ( blocks | dense | hex | number ) "," } "}"
    dense     = "[" ( dense | number ) { "," ( dense | number ) } "]"
    label     = "'" any "'" | '"' any '"' | characters other than whitespace and , ] } :

Dimensions count in the order in which the type is written. There are no escapes in a quoted label:
a backslash stands for itself.

Source: TensorParser, Vespa 8.700.24. Differs: Vespa ignores what follows a dense block, lets the
last of two cells with one address win, takes a mapped type for a dense literal, takes addresses
without commas, and wraps what is no int8 around; all of these are errors here, as are numbers in
hexadecimal (``0x1p3``) and dimensions without a size (``x[]``). ``inf`` and ``nan``, which Vespa
reads in document JSON alone, are taken here, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError, TensorTypeError
from vespa_colbert.tensor.cells import cells_from_text
from vespa_colbert.tensor.hexadecimal import cells_from_hex, is_hex
from vespa_colbert.tensor.literal_reader import CellList, LiteralReader
from vespa_colbert.tensor.literal_text import literal
from vespa_colbert.tensor.types import MOST_CELLS, CellType, Dimension, TensorType
from vespa_colbert.tensor.value import Tensor

__all__ = ["literal", "parse_literal"]


def parse_literal(text: str, tensor_type: TensorType | None = None) -> Tensor:
    """Return the tensor that a literal spells.

    Args:
        text: Any form of literal. Without a type in it or beside it, a literal of cells has mapped
            dimensions of double cells, those of its first address; other forms must be numbers.
        tensor_type: The type it must have, if that is known.

    Raises:
        ExpressionSyntaxError: If the text is no literal, or its values do not fit the type.
        TensorTypeError: If the type in the text is none, or another than the one asked for, or
            has too large a dense block.
    """
    reader = LiteralReader(text)
    reader.skip_space()
    order: tuple[str, ...] | None = None
    if text.startswith("tensor", reader.place):
        written, order = reader.tensor_type()
        if tensor_type is not None and written != tensor_type:
            raise TensorTypeError(f"expected a tensor of type {tensor_type}, got one of {written}")
        tensor_type = written
    if tensor_type is not None and tensor_type.block_size > MOST_CELLS:
        raise TensorTypeError(f"{tensor_type}: expected at most {MOST_CELLS} cells in a block")
    tensor = _body(reader, tensor_type, order)
    reader.end()
    return tensor


def _body(
    reader: LiteralReader, tensor_type: TensorType | None, order: tuple[str, ...] | None
) -> Tensor:
    reader.skip_space()
    first, second = reader.peek(), reader.peek_second()
    if first == "{" and (tensor_type is None or tensor_type.is_number or second in {"{", "}"}):
        return _cells(reader, tensor_type)
    if tensor_type is None or tensor_type.is_number:
        if first == "[":
            reader.fail("a dense literal needs a type: expected one such as tensor(x[2]): before")
        number = reader.number(
            CellType.DOUBLE, "a number, or a literal starting with {, [ or tensor("
        )
        return Tensor.number(float(number))
    names = order or tuple(each.name for each in tensor_type.dimensions)
    shape = _Shape.of(tensor_type, names)
    if first == "{" and not shape.mapped:
        reader.fail(f"expected cells such as {{x:0}}:1 or [ for the type {tensor_type}")
    if first == "{":
        return _blocks(reader, shape)
    if shape.mapped:
        reader.fail(f"expected {{ for the type {tensor_type}")
    return Tensor.dense(tensor_type, _dense(reader, shape))


@dataclass(frozen=True, slots=True)
class _Shape:
    """A type with its dimensions in the order in which a literal nests them."""

    type: TensorType
    mapped: tuple[str, ...]
    indexed: tuple[Dimension, ...]

    @classmethod
    def of(cls, tensor_type: TensorType, names: tuple[str, ...]) -> _Shape:
        dimensions = [each for name in names if (each := tensor_type.dimension(name)) is not None]
        return cls(
            tensor_type,
            tuple(each.name for each in dimensions if each.is_mapped),
            tuple(each for each in dimensions if not each.is_mapped),
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(each.size or 1 for each in self.indexed)

    def canonical(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Return a flat block, written in this order, in the order of the type."""
        names = [each.name for each in self.indexed]
        axes = [names.index(name) for name in self.type.indexed]
        return cells.reshape(self.sizes).transpose(axes)

    def address(self, labels: list[str]) -> tuple[str, ...]:
        return tuple(labels[self.mapped.index(name)] for name in self.type.mapped)


def _blocks(reader: LiteralReader, shape: _Shape) -> Tensor:
    """Return a tensor written by label: ``{a:[1,2], b:[3,4]}``, ``{a:{b:1}}``."""
    found: dict[tuple[str, ...], Any] = {}
    _nested_blocks(reader, shape, [], found)
    return Tensor.from_subspaces(shape.type, found)


def _nested_blocks(
    reader: LiteralReader, shape: _Shape, labels: list[str], found: dict[tuple[str, ...], Any]
) -> None:
    reader.expect("{")
    # Only the outermost level may be empty, or end with a comma.
    while labels or not reader.optional("}"):
        start = reader.place
        path = [*labels, reader.label()]
        reader.expect(":")
        reader.skip_space()
        if len(path) < len(shape.mapped):
            _nested_blocks(reader, shape, path, found)
        else:
            address = shape.address(path)
            if address in found:
                reader.fail(f"the address {', '.join(address)} occurs twice", start)
            found[address] = _block(reader, shape)
        if reader.optional("}"):
            return
        reader.separator("}")


def _block(reader: LiteralReader, shape: _Shape) -> Any:
    if shape.indexed:
        return _dense(reader, shape)
    numbers = [reader.number(shape.type.cell_type)]
    return cells_from_text(numbers, shape.type.cell_type)[0]


def _dense(reader: LiteralReader, shape: _Shape) -> NDArray[Any]:
    """Return one dense block in the order of the type: nested, flat or as hexadecimal digits."""
    cell_type, start = shape.type.cell_type, reader.place
    if reader.peek() != "[":
        return shape.canonical(_hex(reader, shape))
    numbers: list[str] = []
    if reader.peek_second() == "[" and len(shape.sizes) > 1:
        _nested(reader, shape, 0, numbers)
    else:
        reader.expect("[")
        numbers = reader.numbers(cell_type)
    if len(numbers) != prod(shape.sizes):
        wanted = "".join(str(each) for each in shape.indexed)
        reader.fail(f"expected {prod(shape.sizes)} numbers for {wanted}, got {len(numbers)}", start)
    return shape.canonical(cells_from_text(numbers, cell_type))


def _nested(reader: LiteralReader, shape: _Shape, depth: int, numbers: list[str]) -> None:
    """Read one list of lists, checking its length against its dimension."""
    start, count, dimension = reader.place, 0, shape.indexed[depth]
    reader.expect("[")
    if depth + 1 == len(shape.indexed):
        innermost = reader.numbers(shape.type.cell_type)
        numbers += innermost
        count = len(innermost)
    else:
        while count == 0 or reader.optional(","):
            reader.skip_space()
            _nested(reader, shape, depth + 1, numbers)
            count += 1
        reader.expect("]")
    if count != dimension.size:
        reader.fail(f"expected {dimension.size} values for {dimension}, got {count}", start)


def _hex(reader: LiteralReader, shape: _Shape) -> NDArray[Any]:
    start, word = reader.place, reader.word()
    if not is_hex(word):
        reader.fail(f"expected [ or hexadecimal digits for the type {shape.type}", start)
    try:
        return cells_from_hex(word, prod(shape.sizes), shape.type.cell_type, exact=True)
    except ArrayError as error:
        reader.fail(str(error), start)


def _cells(reader: LiteralReader, tensor_type: TensorType | None) -> Tensor:
    """Return a tensor written by cell: ``{{x:a,y:0}:1.0}``, or ``{5}`` for a number."""
    cells, kind = CellList(), tensor_type
    order: tuple[str, ...] = ()
    reader.expect("{")
    while not reader.optional("}"):
        start = reader.place
        address = reader.address()
        if kind is None:
            kind = TensorType(CellType.DOUBLE, tuple(map(Dimension, address)))
        order = order or tuple(address)
        _check_names(reader, kind, address, start)
        reader.expect(":") if address else reader.optional(":")
        cells.places.append(start)
        cells.labels.append([address[name] for name in order])
        cells.numbers.append(reader.number(kind.cell_type))
        reader.separator("}")
        reader.cells_alike(order, kind.cell_type, cells)
    return _tensor_of_cells(reader, kind or TensorType(CellType.DOUBLE), order, cells)


def _check_names(
    reader: LiteralReader, kind: TensorType, address: dict[str, str], place: int
) -> None:
    names = [each.name for each in kind.dimensions]
    if sorted(address) != names:
        wanted, got = ", ".join(names) or "none", ", ".join(address) or "none"
        reader.fail(f"expected an address with the dimensions {wanted}, got {got}", place)


def _tensor_of_cells(
    reader: LiteralReader, kind: TensorType, order: tuple[str, ...], cells: CellList
) -> Tensor:
    """Return the tensor of cells that may come in any order; absent cells of a block are 0."""
    if not cells.labels:
        return Tensor.empty(kind)
    columns = dict(zip(order, zip(*cells.labels, strict=True), strict=True))
    offsets = np.zeros(len(cells.labels), np.int64)
    for name, size in zip(kind.indexed, kind.shape, strict=True):
        known: dict[str, int] = {}
        for place, label in enumerate(columns[name]):
            if label not in known:
                known[label] = reader.index(label, size, name, cells.places[place])
        offsets = offsets * size + np.array([known[label] for label in columns[name]])
    addresses: dict[tuple[str, ...], int] = {} if kind.mapped else {(): 0}
    mapped = list(zip(*(columns[name] for name in kind.mapped), strict=True)) or [()] * len(offsets)
    subspaces = [addresses.setdefault(address, len(addresses)) for address in mapped]
    block = prod(kind.shape)
    places = np.asarray(subspaces, np.int64) * block + offsets
    _check_distinct(reader, places, cells)
    values = np.zeros(len(addresses) * block, kind.cell_type.dtype)
    values[places] = cells_from_text(cells.numbers, kind.cell_type)
    blocks = values.reshape((len(addresses), *kind.shape))
    return Tensor.from_subspaces(kind, dict(zip(addresses, blocks, strict=True)))


def _check_distinct(reader: LiteralReader, places: NDArray[np.int64], cells: CellList) -> None:
    first = np.unique(places, return_index=True)[1]
    if len(first) < len(places):
        again = np.setdiff1d(np.arange(len(places)), first)[0]
        reader.fail("the address of this cell occurs twice", cells.places[again])
