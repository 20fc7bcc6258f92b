"""One tensor field of many documents, laid end to end: no padding, no list of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["DocumentRows"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DocumentRows:
    """The values of a field such as ``tensor<int8>(dt{},x[16])`` for a list of documents.

    Attributes:
        type: Type of the field: one mapped dimension (the token), one indexed.
        offsets: (document + 1,) int64: the rows of document i are ``offsets[i]:offsets[i + 1]``.
        values: (row, width) of the cell type's dtype; row j of a document has the label ``str(j)``.

    Raises:
        ArrayError: If offsets and values contradict each other or the type.
    """

    type: TensorType
    offsets: NDArray[np.int64]
    values: NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.type.mapped) != 1 or len(self.type.indexed) != 1:
            raise ArrayError(f"{self.type}: expected one mapped and one indexed dimension")
        if self.values.shape[1:] != self.type.shape or self.values.dtype != self._dtype:
            raise ArrayError(
                f"{self.type}: expected rows of shape {self.type.shape} and dtype {self._dtype}, "
                f"got {self.values.shape[1:]} and {self.values.dtype}"
            )
        is_list = self.offsets.ndim == 1 and len(self.offsets) > 0
        grows = is_list and bool((np.diff(self.offsets) >= 0).all())
        if not grows or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ArrayError(f"{self.type}: offsets do not cover the {len(self.values)} rows")

    @property
    def _dtype(self) -> np.dtype[Any]:
        return self.type.cell_type.dtype

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def document(self, position: int) -> Tensor:
        """Return the tensor of one document.

        Raises:
            ArrayError: If there is no such document.
        """
        self._check_positions(np.array([position]))
        start, end = self.offsets[position], self.offsets[position + 1]
        return Tensor.rows(self.type, self.values[start:end])

    def _check_positions(self, positions: NDArray[np.int64]) -> None:
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(self):
            raise ArrayError(f"{self.type}: expected positions from 0 to {len(self) - 1}")

    def select(self, positions: NDArray[np.int64]) -> DocumentRows:
        """Return the rows of some documents, in the order given.

        Args:
            positions: (document,) int64, positions among these documents.

        Raises:
            ArrayError: If one is not among them.
        """
        self._check_positions(positions)
        lengths = np.diff(self.offsets)[positions]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        values = self.values[np.repeat(self.offsets[positions], lengths) + within]
        return DocumentRows(type=self.type, offsets=offsets, values=values)
