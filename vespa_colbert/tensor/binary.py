"""Tensors to and from Vespa's typed binary format: files of constants, and the way into the JVM.

Cell types and the bits of every cell are kept as they are.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import bfloat16_bits, bfloat16_values
from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor.types import CellType, Dimension, TensorType
from vespa_colbert.tensor.value import Tensor

__all__ = ["decode_tensor", "encode_tensor"]

SPARSE, DENSE, MIXED = 1, 2, 3
WITH_CELL_TYPE = 4
"""Added to a format's number when a cell type follows; without one the cells are double."""

CELL_TYPES = (CellType.DOUBLE, CellType.FLOAT, CellType.BFLOAT16, CellType.INT8)
"""Position = the number that stands for the cell type."""

WIRE_DTYPES: dict[CellType, np.dtype[Any]] = {
    CellType.DOUBLE: np.dtype(">f8"),
    CellType.FLOAT: np.dtype(">f4"),
    CellType.BFLOAT16: np.dtype(">u2"),
    CellType.INT8: np.dtype("i1"),
}

ROWS_AT_ONCE = 1024
"""Of a tensor that are looked at together; where labels are of changing lengths, they are few."""


def encode_tensor(tensor: Tensor) -> bytes:
    """Return a tensor in Vespa's typed binary format.

    Args:
        tensor: Any tensor; bfloat16 cells must be values that bfloat16 can hold.

    Raises:
        ArrayError: If an address occurs twice, or a bfloat16 cell would lose bits.

    Source: TypedBinaryFormat, MixedBinaryFormat, DenseBinaryFormat, SparseBinaryFormat,
    Vespa 8.700.24.
    """
    tensor_type = tensor.type
    addresses = list(tensor.addresses())
    if len(set(addresses)) < len(addresses):
        raise ArrayError(f"{tensor_type}: an address occurs twice")
    blocks = _wire_cells(tensor)
    parts = [_header(tensor_type)]
    if not tensor_type.indexed or tensor_type.mapped:
        parts.append(_count(len(addresses)))
    for address, block in zip(addresses, blocks, strict=True):
        parts.extend(_text(label) for label in address)
        parts.append(block.tobytes())
    return b"".join(parts)


def decode_tensor(data: bytes) -> Tensor:
    """Return the tensor in Vespa's typed binary format.

    Raises:
        ArrayError: If the bytes are not of that format, or an address occurs twice.
        TensorTypeError: If they state no tensor type.

    Source: TypedBinaryFormat, Vespa 8.700.24. Cells of bfloat16 are cut to 16 bits in it.
    """
    reader = _Reader(data)
    code = reader.count()
    number = reader.count() if code > WITH_CELL_TYPE else 0
    form = code - WITH_CELL_TYPE if code > WITH_CELL_TYPE else code
    if form not in {SPARSE, DENSE, MIXED} or number >= len(CELL_TYPES):
        raise ArrayError(
            f"expected a tensor in Vespa's binary format, got format {code}, cell type {number}"
        )
    tensor_type = reader.tensor_type(CELL_TYPES[number], form)
    subspaces: dict[tuple[str, ...], NDArray[Any]] = {}
    count = reader.count() if form == SPARSE or tensor_type.mapped else 1
    if len(tensor_type.mapped) == 1 and tensor_type.indexed:
        return _rows(reader, tensor_type, count)
    for _ in range(count):
        address = tuple([reader.text() for _ in tensor_type.mapped])
        if address in subspaces:
            raise ArrayError(f"{tensor_type}: the address {address} occurs twice")
        subspaces[address] = reader.cells(tensor_type)
    reader.end()
    return Tensor.from_subspaces(tensor_type, subspaces)


def _rows(reader: _Reader, tensor_type: TensorType, count: int) -> Tensor:
    """Return a tensor with one label a dense block: labels of one length are read together.

    Raises:
        ArrayError: If the bytes end too early or too late, or a label occurs twice.
    """
    labels, parts = list[str](), [np.zeros((0, *tensor_type.shape), tensor_type.cell_type.dtype)]
    while len(labels) < count:
        named, cells = reader.rows(tensor_type, count - len(labels))
        labels += named
        parts.append(cells)
    reader.end()
    if len(set(labels)) < count:
        twice = Counter(labels).most_common(1)[0][0]
        raise ArrayError(f"{tensor_type}: the address {(twice,)} occurs twice")
    return Tensor.rows(tensor_type, np.concatenate(parts), labels)


def _header(tensor_type: TensorType) -> bytes:
    form = SPARSE if not tensor_type.indexed else MIXED if tensor_type.mapped else DENSE
    is_double = tensor_type.cell_type is CellType.DOUBLE
    parts = [_count(form if is_double else form + WITH_CELL_TYPE)]
    if not is_double:
        parts.append(_count(CELL_TYPES.index(tensor_type.cell_type)))
    if form != DENSE:
        parts.append(_count(len(tensor_type.mapped)))
        parts.extend(_text(name) for name in tensor_type.mapped)
    if form != SPARSE:
        parts.append(_count(len(tensor_type.indexed)))
        for name, size in zip(tensor_type.indexed, tensor_type.shape, strict=True):
            parts.append(_text(name) + _count(size))
    return b"".join(parts)


def _wire_cells(tensor: Tensor) -> NDArray[Any]:
    """Return the cells in the byte order of the wire: (subspace, cell), two axes in any case.

    Raises:
        ArrayError: If a bfloat16 cell would lose bits.
    """
    values = np.ascontiguousarray(tensor.values)
    wire = WIRE_DTYPES[tensor.type.cell_type]
    if tensor.type.cell_type is CellType.BFLOAT16:
        values = bfloat16_bits(values)
    # A row must stay an array: numpy gives single cells back in the machine's byte order.
    return values.astype(wire, copy=False).reshape(len(values), _cells_of(tensor.type))


def _cells_of(tensor_type: TensorType) -> int:
    """Return the number of cells of one dense subspace."""
    return math.prod(tensor_type.shape)


def _count(number: int) -> bytes:
    """Return a number as one byte below 128, as four with the highest bit set from there on."""
    return struct.pack(">B", number) if number < 0x80 else struct.pack(">I", number | 0x80000000)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return _count(len(encoded)) + encoded


def _cells_of_wire(wire: NDArray[Any], tensor_type: TensorType) -> NDArray[Any]:
    """Return cells in the byte order of this machine."""
    if tensor_type.cell_type is CellType.BFLOAT16:
        return bfloat16_values(wire)
    return wire.astype(tensor_type.cell_type.dtype)


def _decoded(encoded: bytes) -> str:
    """Return the text of a name or label.

    Raises:
        ArrayError: If it is no UTF-8.
    """
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArrayError(
            f"a tensor in binary format has a name or label in no UTF-8: {error}"
        ) from None


class _Reader:
    """Reads numbers, texts and cells from bytes, in order."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, size: int) -> bytes:
        taken = self.data[self.place : self.place + size]
        if len(taken) < size:
            raise ArrayError("a tensor in binary format ends too early")
        self.place += size
        return taken

    def count(self) -> int:
        first = self.take(1)
        if first[0] < 0x80:
            return first[0]
        return int.from_bytes(first + self.take(3), "big") & 0x7FFFFFFF

    def text(self) -> str:
        return _decoded(self.take(self.count()))

    def rows(self, tensor_type: TensorType, most: int) -> tuple[list[str], NDArray[Any]]:
        """Return labels that are as long as the first one, with their cells, as far as they go."""
        start = self.place
        length = self.count()
        head = self.place - start
        dtype = WIRE_DTYPES[tensor_type.cell_type]
        size = head + length + _cells_of(tensor_type) * dtype.itemsize
        self.place = start
        self.take(size)
        left = np.frombuffer(self.data, np.uint8, offset=start)
        every = left[: min(len(left) // size, most, ROWS_AT_ONCE) * size].reshape(-1, size)
        is_other = (every[:, :head] != every[0, :head]).any(axis=1)
        rows = every[: int(is_other.argmax()) or len(every)]
        self.place = start + rows.size
        names = [_decoded(each.tobytes()) for each in rows[:, head : head + length]]
        cells = np.ascontiguousarray(rows[:, head + length :]).view(dtype)
        return names, _cells_of_wire(cells, tensor_type).reshape(-1, *tensor_type.shape)

    def tensor_type(self, cell_type: CellType, form: int) -> TensorType:
        dimensions = []
        if form != DENSE:
            dimensions += [Dimension(self.text()) for _ in range(self.count())]
        mapped = len(dimensions)
        if form != SPARSE:
            dimensions += [Dimension(self.text(), self.count()) for _ in range(self.count())]
        for part in (dimensions[:mapped], dimensions[mapped:]):
            if part != sorted(part, key=lambda dimension: dimension.name):
                names = ", ".join(map(str, part))
                raise ArrayError(f"a tensor in binary format has dimensions out of order: {names}")
        return TensorType(cell_type, tuple(dimensions))

    def cells(self, tensor_type: TensorType) -> NDArray[Any]:
        dtype = WIRE_DTYPES[tensor_type.cell_type]
        wire = np.frombuffer(self.take(_cells_of(tensor_type) * dtype.itemsize), dtype)
        return _cells_of_wire(wire, tensor_type).reshape(tensor_type.shape)

    def end(self) -> None:
        if self.place != len(self.data):
            left = len(self.data) - self.place
            raise ArrayError(f"a tensor in binary format has {left} bytes too many")
