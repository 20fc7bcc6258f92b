"""Tensors in Vespa's document JSON: read in every form, written in the shortest.

What is read, with ``{"type": …}`` around it or not::

    {"cells": [{"address": {"x": "a", "y": "0"}, "value": 1.0}]}    any type
    {"cells": {"a": 1.0}}  or  {"a": 1.0}                           one dimension
    {"values": [[1, 2], [3, 4]]}  or  [1, 2, 3, 4]  or  "3F80…"     indexed dimensions
    {"blocks": {"a": [1, 2]}}  or  {"a": [1, 2]}                    one mapped dimension and indexed
    {"blocks": [{"address": {"x": "a"}, "values": [1, 2]}]}         mapped dimensions and indexed

A block may be written flat, nested as the type says, or as hexadecimal digits. A cell is a number,
or a text such as ``"NaN"`` and ``"-Infinity"``. Cells that are not named are 0 in a block that is.

Source: JsonFormat.decode and TensorReader, Vespa 8.700.24. Differs: Vespa ignores keys that it does
not know, any nesting of a block, an address that occurs twice, and lets an int8 wrap around; all of
these are errors here; a list of blocks is read without ``blocks`` around it, as Vespa writes it and
does not read it. A ``null``, which JsonFormat takes for NaN and a feed refuses, is refused;
of a key that occurs twice in one object, :func:`json.loads` has kept the last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError, TensorTypeError
from vespa_colbert.tensor.cells import cast_cells, fits_int8
from vespa_colbert.tensor.hexadecimal import cells_from_hex, hex_of_cells
from vespa_colbert.tensor.types import CellType, TensorType
from vespa_colbert.tensor.value import Tensor

__all__ = ["tensor_from_json", "tensor_to_json"]

INDEX = re.compile(r"0|[1-9][0-9]*")
SHOWN = 40
"""Characters of a wrong value that a message shows."""

Labels: TypeAlias = tuple[str, ...]


def tensor_from_json(value: Any, tensor_type: TensorType) -> Tensor:
    """Return the tensor that a field's value in document JSON spells.

    Args:
        value: What :func:`json.loads` made of it.
        tensor_type: Type of the field.

    Raises:
        ArrayError: If the value is of no form that the type has; the message says where.
    """
    reader = _Reader(tensor_type)
    form, content = _form(reader, value, tensor_type)
    if form == "values":
        return Tensor.dense(tensor_type, reader.block(content, form))
    if form == "blocks":
        return Tensor.from_subspaces(tensor_type, reader.blocks(content))
    return Tensor.from_subspaces(tensor_type, reader.cells(content))


def _form(reader: _Reader, value: Any, tensor_type: TensorType) -> tuple[str, Any]:
    """Return which form a value has, ``cells``, ``values`` or ``blocks``, and what is inside."""
    if isinstance(value, dict):
        value = _without_type(reader, value)
        forms = [name for name in ("cells", "values", "blocks") if name in value]
        if "cells" in forms and _is_primitive(value["cells"]):
            forms.remove("cells")
        if tensor_type.mapped and "values" in forms:
            forms.remove("values")
        if forms and len(value) == 1:
            return forms[0], value[forms[0]]
        if forms:
            reader.fail("", f"expected {forms[0]} alone, got {', '.join(map(str, value))}")
    if (first := _first_object(value)) is not None:
        return ("blocks" if tensor_type.indexed and "values" in first else "cells"), value
    if not tensor_type.mapped:
        return "values", value
    return ("blocks" if tensor_type.indexed else "cells"), value


def _without_type(reader: _Reader, value: dict[str, Any]) -> dict[str, Any]:
    """Return the value without its own type, which Vespa ignores."""
    if not isinstance(value.get("type"), str):
        return value
    try:
        TensorType.parse(value["type"])
    except TensorTypeError as error:
        reader.fail("type", str(error))
    return {name: content for name, content in value.items() if name != "type"}


def _is_primitive(cells: Any) -> bool:
    """Return whether ``cells`` is a label that happens to be called so, and not the form."""
    first = cells[0] if isinstance(cells, list) and cells else cells
    return isinstance(first, int | float)


def _first_object(value: Any) -> dict[str, Any] | None:
    """Return the first object of a list, or nothing if it begins with something else."""
    while isinstance(value, list) and value:
        value = value[0]
        if isinstance(value, dict):
            return value
    return None


def _as_number(value: Any) -> float | None:
    """Return a number that is written as one or as a text, or nothing."""
    if isinstance(value, int | float):
        return None if isinstance(value, bool) else value
    if isinstance(value, str) and value.isascii() and "_" not in value:
        with suppress(ValueError):
            return float(value)
    return None


class _Reader:
    """Reads the parts of a value; every fault has its place in the JSON."""

    def __init__(self, tensor_type: TensorType) -> None:
        self.type = tensor_type

    def fail(self, where: str, message: str) -> NoReturn:
        """Raise the fault.

        Raises:
            ArrayError: Always.
        """
        place = f" at {where}" if where else ""
        raise ArrayError(f"{self.type} in document JSON{place}: {message}")

    def cells(self, content: Any) -> dict[Labels, NDArray[Any]]:
        """Return the blocks that single cells make."""
        blocks: dict[Labels, NDArray[Any]] = {}
        seen: set[tuple[str, ...]] = set()
        dtype, shape = self.type.cell_type.dtype, self.type.shape
        if not self.type.mapped:
            blocks[()] = np.zeros(shape, dtype)
        for where, address, number in self.addressed(content, "cells", "value", self.type):
            labels = tuple(address[name] for name in self.type.mapped)
            place = tuple(
                self.index(address[name], size, f"{where}.{name}")
                for name, size in zip(self.type.indexed, shape, strict=True)
            )
            if (full := (*labels, *map(str, place))) in seen:
                self.fail(where, "this address occurs twice")
            seen.add(full)
            if labels not in blocks:
                blocks[labels] = np.zeros(shape, dtype)
            blocks[labels][place] = self.stored(np.array([self.number(number, where)]), where)[0]
        return blocks

    def blocks(self, content: Any) -> dict[Labels, NDArray[Any]]:
        """Return address → dense block."""
        if not (self.type.mapped and self.type.indexed):
            self.fail("blocks", "expected cells or values: blocks need mapped and indexed")
        mapped = TensorType(
            self.type.cell_type, tuple(each for each in self.type.dimensions if each.is_mapped)
        )
        found: dict[Labels, NDArray[Any]] = {}
        for where, address, values in self.addressed(content, "blocks", "values", mapped):
            labels = tuple(address[name] for name in mapped.mapped)
            if labels in found:
                self.fail(where, "this address occurs twice")
            found[labels] = self.block(values, where)
        return found

    def addressed(
        self, content: Any, form: str, inside: str, wanted: TensorType
    ) -> list[tuple[str, dict[str, str], Any]]:
        """Return place, address and content of each cell or block, written as object or list."""
        names = [each.name for each in wanted.dimensions]
        if isinstance(content, dict):
            if len(names) != 1:
                self.fail(form, f"expected a list: {', '.join(names) or 'no'} are its dimensions")
            return [
                (f"{form}[{label!r}]", {names[0]: str(label)}, one)
                for label, one in content.items()
            ]
        if not isinstance(content, list):
            self.fail(form, f"expected a list or an object, got {_shown(content)}")
        found = []
        for number, one in enumerate(content):
            where = f"{form}[{number}]"
            if not isinstance(one, dict) or set(one) != {"address", inside}:
                self.fail(where, f"expected address and {inside}, got {_shown(one)}")
            found.append((where, self.address(one["address"], names, where), one[inside]))
        return found

    def address(self, address: Any, names: list[str], where: str) -> dict[str, str]:
        """Return dimension → label; an index may be written as a number."""
        if not isinstance(address, Mapping) or sorted(address) != names:
            wanted = ", ".join(names)
            self.fail(f"{where}.address", f"expected labels of {wanted}, got {_shown(address)}")
        for name, label in address.items():
            if not isinstance(label, str | int) or isinstance(label, bool):
                self.fail(f"{where}.address.{name}", f"expected a label, got {_shown(label)}")
        return {name: str(label) for name, label in address.items()}

    def index(self, label: str, size: int, where: str) -> int:
        """Return the label of an indexed dimension as its index."""
        if INDEX.fullmatch(label) is None or int(label) >= size:
            self.fail(where, f"expected an index from 0 to {size - 1}, got {label!r}")
        return int(label)

    def block(self, values: Any, where: str) -> NDArray[Any]:
        """Return one dense block."""
        shape, count = self.type.shape, math.prod(self.type.shape)
        if isinstance(values, str):
            try:
                return cells_from_hex(values, count, self.type.cell_type).reshape(shape)
            except ArrayError as error:
                self.fail(where, str(error))
        if not isinstance(values, list):
            self.fail(where, f"expected a list or hexadecimal digits, got {_shown(values)}")
        numbers = self.numbers(values, where, len(shape))
        if numbers.shape not in {shape, (count,)}:
            sizes = " by ".join(map(str, shape))
            nested = f", flat or as {sizes}" if len(shape) > 1 else ""
            got = " by ".join(map(str, numbers.shape))
            self.fail(where, f"expected {count} values{nested}, got {got}")
        return self.stored(numbers, where).reshape(shape)

    def numbers(self, values: list[Any], where: str, depth: int) -> NDArray[Any]:
        """Return a list of numbers, or of lists as deep as the type has indexed dimensions."""
        kinds = set(map(type, values))
        if kinds == {list} and depth > 1:
            parts = [
                self.numbers(part, f"{where}[{number}]", depth - 1)
                for number, part in enumerate(values)
            ]
            if len({part.shape for part in parts}) > 1:
                self.fail(where, f"expected lists of one length, got {_shown(values)}")
            return np.stack(parts)
        if not kinds <= {int, float}:
            values = [self.number(one, f"{where}[{at}]") for at, one in enumerate(values)]
        try:
            return np.array(values, np.float64)
        except OverflowError:
            self.fail(where, "expected numbers, got a whole number that no double can hold")

    def number(self, value: Any, where: str) -> float:
        """Return a number, written as one or as a text."""
        if (found := _as_number(value)) is None:
            hint = ", as which Vespa prints NaN and infinities alike" if value is None else ""
            self.fail(where, f"expected a number, got {_shown(value)}{hint}")
        return found

    def stored(self, numbers: NDArray[Any], where: str) -> NDArray[Any]:
        """Return numbers as cells: through double, as Vespa reads JSON."""
        if self.type.cell_type is CellType.INT8 and not fits_int8(numbers):
            self.fail(where, "expected whole numbers from -128 to 127")
        return cast_cells(numbers, self.type.cell_type)


def tensor_to_json(tensor: Tensor, *, hexadecimal: bool = False) -> dict[str, Any]:
    """Return a tensor as the value of a document's field, in its shortest form.

    Args:
        tensor: Any tensor.
        hexadecimal: Whether dense blocks are written as hexadecimal digits.

    Returns:
        ``{"values": …}``, ``{"blocks": …}`` or ``{"cells": …}``; a cell that is no finite number
        is a text, so that it is proper JSON and Vespa reads it.

    Raises:
        ArrayError: If an address occurs twice.

    Source: JsonFormat.encode, Vespa 8.700.24. Differs: Vespa writes the type beside, and NaN and
    infinities as null.
    """
    kind = tensor.type
    mapped, indexed = kind.mapped, kind.indexed
    is_hex = hexadecimal and bool(indexed)
    blocks = _hex_blocks(tensor) if is_hex else [_block(block) for block in tensor.values]
    if not mapped:
        return {"values": blocks[0] if indexed else blocks}
    form, inside = ("blocks", "values") if indexed else ("cells", "value")
    columns = [
        [labels[code] for code in codes]
        for labels, codes in zip(tensor.labels, tensor.codes.T.tolist(), strict=True)
    ]
    found: dict[Any, Any] = dict(
        zip(columns[0] if len(mapped) == 1 else zip(*columns, strict=True), blocks, strict=True)
    )
    if len(found) < len(blocks):
        raise ArrayError(f"{kind}: an address occurs twice")
    if len(mapped) == 1:
        return {form: found}
    return {
        form: [
            {"address": dict(zip(mapped, address, strict=True)), inside: one}
            for address, one in found.items()
        ]
    }


def _hex_blocks(tensor: Tensor) -> list[str]:
    digits = hex_of_cells(tensor.values, tensor.type.cell_type)
    width = len(digits) // max(1, len(tensor.values))
    return [digits[start : start + width] for start in range(0, len(digits), width or 1)]


def _block(block: NDArray[Any]) -> Any:
    return block.tolist() if np.isfinite(block).all() else _spelled(block.tolist())


def _spelled(cells: Any) -> Any:
    """Return nested lists with texts for what JSON has no numbers for."""
    if isinstance(cells, list):
        return [_spelled(cell) for cell in cells]
    if math.isfinite(cells):
        return cells
    return "NaN" if math.isnan(cells) else "Infinity" if cells > 0 else "-Infinity"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
