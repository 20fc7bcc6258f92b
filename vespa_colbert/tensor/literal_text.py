"""A tensor as the literal that Vespa prints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor.types import CellType
from vespa_colbert.tensor.value import Tensor

__all__ = ["literal", "number_text"]

PLAIN_LABEL = re.compile(r"[-_@A-Za-z0-9][_@$A-Za-z0-9]*")
"""Labels that are printed without quotes."""

PLAIN_FROM, PLAIN_BELOW = 1e-3, 1e7
"""Sizes of the numbers that are printed without an exponent."""

UNQUOTED_LABEL = re.compile(r"[^\s,\]}:'\"][^\s,\]}:]*")
"""Labels that may be written without quotes."""


def literal(tensor: Tensor, *, short: bool = True) -> str:
    """Return the literal of a tensor in Vespa's canonical form, with its type.

    Args:
        tensor: Any tensor.
        short: Whether to use the short forms: ``[1.0, 2.0]``, ``{a:1.0}``, ``{a:[1.0, 2.0]}``.
            Without them every cell is written with its address.

    Raises:
        ArrayError: If a label cannot be written in any literal.

    Source: IndexedTensor.toString, MappedTensor.toString and MixedTensor.toString, Vespa 8.700.24.
    Differs: Vespa prints a number as ``tensor():{5.0}``, here it is ``5.0``; a dense block of a
    single cell without its brackets, and a label with both quotes in quotes: it reads neither.
    """
    if tensor.type.is_number:
        return number_text(tensor.as_number())
    if short and not tensor.type.mapped:
        body = _dense(tensor.values[0], tensor.type.cell_type)
    elif short and len(tensor.type.mapped) == 1:
        body = _by_label(tensor)
    else:
        body = _by_cell(tensor)
    return f"{tensor.type}:{body}"


def number_text(value: float | np.float32) -> str:
    """Return a number as Java prints it: ``1.0``, ``1.0E10``, ``NaN``, ``-Infinity``.

    Args:
        value: A float32 gets as many digits as tell it from other floats, a float as many as tell
            it from other doubles.

    Source: Double.toString and Float.toString, Java 19; older ones print a digit too many at times.
    """
    size = abs(float(value))
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if size == 0 or PLAIN_FROM <= size < PLAIN_BELOW:
        if isinstance(value, float):
            return repr(float(value))
        return np.format_float_positional(value, unique=True, trim="0")
    digits, exponent = np.format_float_scientific(value, unique=True, trim="0").split("e")
    if len(digits.lstrip("-")) == len("5.0"):
        # Java has two digits at least, and takes the nearest two, which tells subnormals apart.
        digits, exponent = f"{float(value):.1e}".split("e")
    return f"{digits}E{int(exponent)}"


def _double_texts(cells: NDArray[np.float64]) -> list[str]:
    """Return numbers, (cell,), as Java prints them; in the usual range Python prints them alike."""
    sizes = np.abs(cells)
    if ((sizes == 0) | ((sizes >= PLAIN_FROM) & (sizes < PLAIN_BELOW))).all():
        return list(map(repr, cells.tolist()))
    return [number_text(cell) for cell in cells.tolist()]


def _dense(block: NDArray[Any], cell_type: CellType) -> str:
    """Return a block as nested lists; float cells have a float's digits, int8 cells none."""
    flat = block.reshape(-1)
    if cell_type is CellType.INT8:
        return _nested(block.shape, [str(cell) for cell in flat.tolist()])
    if cell_type is CellType.DOUBLE:
        return _nested(block.shape, _double_texts(flat))
    return _nested(block.shape, [number_text(cell) for cell in flat])


def _nested(shape: tuple[int, ...], cells: list[str]) -> str:
    """Return the cells in brackets, a pair a dimension; a single cell has one pair alone."""
    for size in reversed(shape if len(cells) > 1 else (1,) * min(1, len(shape))):
        cells = [
            f"[{', '.join(cells[start : start + size])}]" for start in range(0, len(cells), size)
        ]
    return cells[0]


def _by_label(tensor: Tensor) -> str:
    """Return ``{a:1.0, b:2.0}`` or ``{a:[1.0, 2.0]}``, by label; all cells have double digits."""
    texts = _double_texts(tensor.values.astype(np.float64).reshape(-1))
    size = prod(tensor.type.shape)
    starts = {label: place * size for place, (label,) in enumerate(tensor.addresses())}
    return _braced(
        f"{_label(label)}:{_nested(tensor.type.shape, texts[start : start + size])}"
        for label, start in sorted(starts.items(), key=lambda item: _order(item[0]))
    )


def _by_cell(tensor: Tensor) -> str:
    """Return ``{{x:a,y:0}:1.0, {x:a,y:1}:2.0}``, by address; all cells have double digits."""
    cells = tensor.cells()
    texts = _double_texts(np.fromiter(cells.values(), np.float64, len(cells)))
    labels = sorted({label for address in cells for label in address}, key=_order)
    ranks = {label: rank for rank, label in enumerate(labels)}
    places = [tuple(ranks[label] for label in address) for address in cells]
    names = [each.name for each in tensor.type.dimensions]
    shown = [[f"{name}:{_label(label)}" for label in labels] for name in names]
    parts = []
    for place, cell in sorted(zip(places, texts, strict=True)):
        address = ",".join([column[rank] for column, rank in zip(shown, place, strict=True)])
        parts.append(f"{{{address}}}:{cell}")
    return _braced(parts)


def _braced(parts: Iterable[str]) -> str:
    return f"{{{', '.join(parts)}}}"


def _order(label: str) -> bytes:
    """Return what Java compares: UTF-16 code units, those of an index's digits too."""
    return label.encode("utf-16-be", "surrogatepass")


def _label(label: str) -> str:
    """Return a label, in quotes where it needs them.

    Raises:
        ArrayError: If it has both quotes and a character that needs them.
    """
    if PLAIN_LABEL.fullmatch(label):
        return label
    if "'" not in label:
        return f"'{label}'"
    if '"' not in label:
        return f'"{label}"'
    if UNQUOTED_LABEL.fullmatch(label):
        return label
    raise ArrayError(f"no literal can hold the label {label!r}: it has both kinds of quotes")
