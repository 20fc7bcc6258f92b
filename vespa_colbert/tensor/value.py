"""Tensor values: labels for the mapped dimensions, one dense block of cells behind each address.

Labels are kept as codes into a vocabulary per dimension, so that the tokens of a million documents
are two integer columns and not a million strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError, TensorTypeError
from vespa_colbert.tensor.cells import stored_cells
from vespa_colbert.tensor.types import CellType, TensorType

__all__ = ["Tensor", "numbered_labels"]

NUMBERED = tuple(map(str, range(1024)))
"""Labels that are numbers, made once: few documents have more tokens."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Tensor:
    """A tensor of any type: sparse, dense or mixed.

    Attributes:
        type: Its type.
        codes: (subspace, mapped dimension) int64: for each dense subspace the position of its
            label in ``labels``, one column per mapped dimension in the order of the type. A tensor
            without mapped dimensions has exactly one subspace and no column.
        labels: For each mapped dimension the distinct labels that the codes point to; a label that
            nothing points to does no harm.
        values: (subspace, *type.shape) of ``type.cell_type.dtype``.

    Raises:
        ArrayError: If shapes or dtypes contradict the type. (That addresses are distinct is left
            to whoever makes the codes: the check would cost more than most operations.)
    """

    type: TensorType
    codes: NDArray[np.int64]
    labels: tuple[tuple[str, ...], ...]
    values: NDArray[Any]

    def __post_init__(self) -> None:
        mapped = len(self.type.mapped)
        if self.codes.ndim != 2 or self.codes.shape[1] != mapped or len(self.labels) != mapped:
            raise ArrayError(
                f"{self.type}: expected codes of shape (subspace, {mapped}) and {mapped} label "
                f"lists, got {self.codes.shape} and {len(self.labels)}"
            )
        wanted = (len(self.codes), *self.type.shape)
        if self.values.shape != wanted or self.values.dtype != self.type.cell_type.dtype:
            raise ArrayError(
                f"{self.type}: expected values of shape {wanted} and dtype "
                f"{self.type.cell_type.dtype}, got {self.values.shape} and {self.values.dtype}"
            )
        if mapped == 0 and len(self.codes) != 1:
            raise ArrayError(f"{self.type}: expected exactly one dense block")

    @classmethod
    def number(cls, value: float) -> Tensor:
        """Return a number: a double without dimensions."""
        return cls.dense(TensorType(CellType.DOUBLE), np.asarray(value, dtype=np.float64))

    @classmethod
    def dense(cls, tensor_type: TensorType, values: NDArray[Any]) -> Tensor:
        """Return a tensor without mapped dimensions.

        Args:
            tensor_type: Type with indexed dimensions only.
            values: ``tensor_type.shape``, stored as cells of the type.

        Raises:
            TensorTypeError: If the type has a mapped dimension.
        """
        if tensor_type.mapped:
            raise TensorTypeError(f"{tensor_type}: expected indexed dimensions only")
        cells = stored_cells(np.asarray(values), tensor_type)
        return cls(tensor_type, np.zeros((1, 0), np.int64), (), cells[np.newaxis])

    @classmethod
    def rows(
        cls, tensor_type: TensorType, values: NDArray[Any], labels: Sequence[str] | None = None
    ) -> Tensor:
        """Return a tensor with one mapped dimension, a row of cells a label.

        Args:
            tensor_type: Type with exactly one mapped dimension, such as ``tensor(dt{},x[16])``.
            values: (label, *type.shape), stored as cells of the type.
            labels: One a row; the row numbers from 0 when absent, as Vespa's embedder labels.

        Raises:
            TensorTypeError: If the type has not exactly one mapped dimension.
            ArrayError: If a label occurs twice, or there are more or fewer than rows.
        """
        if len(tensor_type.mapped) != 1:
            raise TensorTypeError(f"{tensor_type}: expected exactly one mapped dimension")
        names = numbered_labels(len(values)) if labels is None else tuple(labels)
        if labels is not None and len(set(names)) < len(names):
            raise ArrayError(f"{tensor_type}: a label occurs twice")
        if len(names) != len(values):
            raise ArrayError(f"{tensor_type}: expected {len(values)} labels, got {len(names)}")
        codes = np.arange(len(values), dtype=np.int64)[:, np.newaxis]
        return cls(tensor_type, codes, (names,), stored_cells(np.asarray(values), tensor_type))

    @classmethod
    def from_subspaces(
        cls, tensor_type: TensorType, subspaces: Mapping[tuple[str, ...], Any]
    ) -> Tensor:
        """Return a tensor from address → dense block (a number where nothing is indexed).

        Raises:
            ArrayError: If an address has more or fewer labels than the type has mapped dimensions,
                or a block another shape.
        """
        mapped = len(tensor_type.mapped)
        for address, block in subspaces.items():
            if len(address) != mapped or np.shape(block) != tensor_type.shape:
                raise ArrayError(
                    f"{tensor_type}: expected {mapped} labels and a block of shape "
                    f"{tensor_type.shape}, got {address} and shape {np.shape(block)}"
                )
        columns = [list(dict.fromkeys(address[i] for address in subspaces)) for i in range(mapped)]
        places = [{label: code for code, label in enumerate(column)} for column in columns]
        codes = np.array(
            [[places[i][address[i]] for i in range(mapped)] for address in subspaces], np.int64
        ).reshape(len(subspaces), mapped)
        blocks = np.array(list(subspaces.values()) or np.zeros((0, *tensor_type.shape)))
        cells = stored_cells(blocks, tensor_type)
        return cls(tensor_type, codes, tuple(tuple(column) for column in columns), cells)

    @classmethod
    def empty(cls, tensor_type: TensorType) -> Tensor:
        """Return the tensor of that type with no cell (all zeros if nothing is mapped)."""
        if not tensor_type.mapped:
            return cls.dense(tensor_type, np.zeros(tensor_type.shape, tensor_type.cell_type.dtype))
        return cls.from_subspaces(tensor_type, {})

    def addresses(self) -> Iterable[tuple[str, ...]]:
        """Yield the address of every subspace, in the order of ``values``."""
        for row in self.codes.tolist():
            yield tuple(self.labels[i][code] for i, code in enumerate(row))

    def subspaces(self) -> dict[tuple[str, ...], NDArray[Any]]:
        """Return address → dense block."""
        return dict(zip(self.addresses(), self.values, strict=True))

    def cells(self) -> dict[tuple[str, ...], float]:
        """Return full address → value, indexes written as labels, dimensions in type order."""
        order = [*self.type.mapped, *self.type.indexed]
        places = [order.index(dimension.name) for dimension in self.type.dimensions]
        indexes = list(
            product(*([str(index) for index in range(size)] for size in self.type.shape))
        )
        blocks = self.values.astype(np.float64).reshape(len(self.values), len(indexes)).tolist()
        found = {}
        for address, block in zip(self.addresses(), blocks, strict=True):
            for place, cell in zip(indexes, block, strict=True):
                full = address + place
                found[tuple([full[at] for at in places])] = cell
        return found

    def as_number(self) -> float:
        """Return the one value of a tensor without dimensions.

        Raises:
            TensorTypeError: If there are dimensions.
        """
        if not self.type.is_number:
            raise TensorTypeError(f"expected a number, got {self.type}")
        return float(self.values[0])

    def __eq__(self, other: object) -> bool:
        """Return whether type, addresses and cells are the same; NaN equals NaN."""
        if not isinstance(other, Tensor):
            return NotImplemented
        if self.type != other.type or len(self.codes) != len(other.codes):
            return False
        mine = list(self.addresses())
        theirs = {address: place for place, address in enumerate(other.addresses())}
        if set(mine) != theirs.keys():
            return False
        order = [theirs[address] for address in mine]
        is_float = self.values.dtype.kind == "f"
        return np.array_equal(self.values, other.values[order], equal_nan=is_float)

    def __hash__(self) -> int:
        return hash((self.type, len(self.codes)))


def numbered_labels(count: int) -> tuple[str, ...]:
    """Return the labels of so many rows that are numbered from 0."""
    return NUMBERED[:count] if count <= len(NUMBERED) else tuple(map(str, range(count)))
