"""Dense blocks as hexadecimal digits, the short form that Vespa reads and writes.

Big-endian, two digits a byte: 2 for an int8, 4 for a bfloat16, 8 for a float, 16 for a double.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import bfloat16_bits, bfloat16_values, truncate_to_bfloat16
from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor.cells import cast_cells
from vespa_colbert.tensor.types import CellType

__all__ = ["cells_from_hex", "hex_of_cells", "is_hex"]

DIGITS = re.compile(r"[0-9a-fA-F]+")
WRITTEN = {2: "i1", 4: ">u2", 8: ">f4", 16: ">f8"}
"""Digits a cell → how those bytes are read."""


def is_hex(text: str) -> bool:
    """Return whether a text is hexadecimal digits and nothing else."""
    return DIGITS.fullmatch(text) is not None


def cells_from_hex(
    text: str, count: int, cell_type: CellType, *, exact: bool = False
) -> NDArray[Any]:
    """Return the cells that hexadecimal digits spell.

    Args:
        text: The digits.
        count: Cells of one dense block.
        cell_type: Type of the cells. The digits may spell another: their number says which; only
            int8 cells must be written as int8.
        exact: Whether the digits must spell that very type, as in a literal.

    Returns:
        (count,) of the cell type's dtype.

    Raises:
        ArrayError: If there is another character, or too many or too few digits.

    Source: HexEncoding.decodeHex and validateHex, Vespa 8.700.24.
    """
    wanted = 2 * cell_type.size * count
    if not is_hex(text):
        raise ArrayError(f"expected hexadecimal digits, got {text[:40]!r}")
    each, left = divmod(len(text), count)
    fits = not left and each in WRITTEN
    if not fits or (each != 2 * cell_type.size and (exact or cell_type is CellType.INT8)):
        raise ArrayError(f"expected {wanted} hexadecimal digits, got {len(text)}")
    cells = np.frombuffer(bytes.fromhex(text), np.dtype(WRITTEN[each]))
    if cells.dtype.kind == "u":
        cells = bfloat16_values(cells)
    native = cells.astype(cells.dtype.newbyteorder("="))
    return cast_cells(native, cell_type)


def hex_of_cells(cells: NDArray[Any], cell_type: CellType) -> str:
    """Return cells as hexadecimal digits, upper case as Vespa writes them.

    Args:
        cells: Any shape, of the cell type's dtype.
        cell_type: Type of the cells.

    Source: JsonFormat.asHexString, Vespa 8.700.24.
    """
    flat = np.ascontiguousarray(cells).reshape(-1)
    if cell_type is CellType.BFLOAT16:
        flat = bfloat16_bits(truncate_to_bfloat16(flat))
    return flat.astype(flat.dtype.newbyteorder(">"), copy=False).tobytes().hex().upper()
