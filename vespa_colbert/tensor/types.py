"""Vespa tensor types: ``tensor<int8>(dt{},x[16])``, parsed, printed, in canonical order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod

import numpy as np

from vespa_colbert.errors import TensorTypeError

__all__ = ["MOST_CELLS", "CellType", "Dimension", "TensorType"]

MOST_CELLS = 2**27
"""Cells that a dense subspace may have where a few words state its size: a gigabyte of doubles."""

DIMENSION = re.compile(r"\s*([A-Za-z0-9_]+)\s*(?:\{\s*\}|\[\s*([0-9]+)\s*\])\s*")
TYPE = re.compile(r"\s*tensor\s*(?:<\s*([a-z0-9]+)\s*>)?\s*\((.*)\)\s*", re.DOTALL)


class CellType(StrEnum):
    """The four cell types of Vespa tensors; the value is Vespa's own word."""

    DOUBLE = "double"
    FLOAT = "float"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"

    @property
    def dtype(self) -> np.dtype[np.float64] | np.dtype[np.float32] | np.dtype[np.int8]:
        """The numpy dtype that holds such cells; bfloat16 cells are held as float32."""
        if self is CellType.DOUBLE:
            return np.dtype(np.float64)
        if self is CellType.INT8:
            return np.dtype(np.int8)
        return np.dtype(np.float32)

    @property
    def size(self) -> int:
        """Bytes of one cell as Vespa stores it."""
        return {"double": 8, "float": 4, "bfloat16": 2, "int8": 1}[self.value]


@dataclass(frozen=True, slots=True, order=True)
class Dimension:
    """One dimension of a tensor type.

    Attributes:
        name: Letters, digits and underscores, in any order.
        size: Number of indexes, or ``None`` for a mapped dimension (labels).
    """

    name: str
    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise TensorTypeError(f"dimension {self.name}: expected a size of 1 or more")

    @property
    def is_mapped(self) -> bool:
        """Whether the dimension has labels instead of indexes."""
        return self.size is None

    def __str__(self) -> str:
        return f"{self.name}{{}}" if self.size is None else f"{self.name}[{self.size}]"


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor type with its dimensions in Vespa's canonical order (by name).

    Attributes:
        cell_type: Type of every cell.
        dimensions: Sorted by name, names distinct. Empty: a number, whose cells are double.
        mapped: Names of the mapped dimensions, in order.
        indexed: Names of the indexed dimensions, in order.
        shape: Sizes of the indexed dimensions, in order: the shape of one dense subspace.

    Raises:
        TensorTypeError: If a name occurs twice, or a number is given another cell type.
    """

    cell_type: CellType
    dimensions: tuple[Dimension, ...] = ()
    # Asked for with each tensor, so computed once.
    mapped: tuple[str, ...] = field(init=False, repr=False, compare=False)
    indexed: tuple[str, ...] = field(init=False, repr=False, compare=False)
    shape: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [dimension.name for dimension in self.dimensions]
        if len(set(names)) < len(names):
            raise TensorTypeError(f"tensor type: a dimension occurs twice among {names}")
        if names != sorted(names):
            ordered = tuple(sorted(self.dimensions, key=lambda dimension: dimension.name))
            object.__setattr__(self, "dimensions", ordered)
        if not self.dimensions and self.cell_type is not CellType.DOUBLE:
            raise TensorTypeError("tensor type: a number has cells of type double")
        indexed = [each for each in self.dimensions if each.size is not None]
        mapped = tuple(each.name for each in self.dimensions if each.size is None)
        object.__setattr__(self, "mapped", mapped)
        object.__setattr__(self, "indexed", tuple(each.name for each in indexed))
        object.__setattr__(self, "shape", tuple(each.size for each in indexed))

    @classmethod
    def parse(cls, text: str) -> TensorType:
        """Return the type that a text spells: ``tensor<float>(qt{},x[128])``, or ``double``.

        Raises:
            TensorTypeError: If the text is no tensor type.

        Source: TensorTypeParser, Vespa 8.700.24; without a cell type the cells are double.
        """
        if text.strip() == "double":
            return cls(CellType.DOUBLE)
        if (match := TYPE.fullmatch(text)) is None:
            raise TensorTypeError(
                f"expected a type such as tensor<float>(qt{{}},x[128]), got {text!r}"
            )
        try:
            cell_type = CellType(match[1] or "double")
        except ValueError:
            known = ", ".join(each.value for each in CellType)
            message = f"{text!r}: expected a cell type among {known}, got {match[1]}"
            raise TensorTypeError(message) from None
        dimensions = []
        for part in match[2].split(",") if match[2].strip() else []:
            if (found := DIMENSION.fullmatch(part)) is None:
                raise TensorTypeError(
                    f"{text!r}: expected a dimension such as dt{{}} or x[128], got {part.strip()!r}"
                )
            dimensions.append(Dimension(found[1], None if found[2] is None else int(found[2])))
        return cls(cell_type, tuple(dimensions))

    @property
    def block_size(self) -> int:
        """Cells of one dense subspace."""
        return prod(self.shape)

    @property
    def is_number(self) -> bool:
        """Whether there is no dimension at all."""
        return not self.dimensions

    def dimension(self, name: str) -> Dimension | None:
        """Return the dimension of that name, or ``None``."""
        return next((each for each in self.dimensions if each.name == name), None)

    def without(self, name: str) -> TensorType:
        """Return the type of one dimension less: of its subspaces at one label or index."""
        kept = tuple(each for each in self.dimensions if each.name != name)
        return TensorType(self.cell_type if kept else CellType.DOUBLE, kept)

    def __str__(self) -> str:
        if self.is_number:
            return "double"
        cell = "" if self.cell_type is CellType.DOUBLE else f"<{self.cell_type.value}>"
        return f"tensor{cell}({','.join(str(dimension) for dimension in self.dimensions)})"
