"""One tensor field of many documents, laid end to end: no padding, no list of arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import bfloat16_bits, bfloat16_values
from vespa_colbert.errors import ArrayError
from vespa_colbert.tensor import CellType, Tensor, TensorType
from vespa_colbert.tensor.value import numbered_labels

__all__ = ["CodedRows", "ContextRows", "DocumentRows", "NumberedRows", "Rows", "text_tensor"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DocumentRows:
    """The values of a field such as ``tensor<int8>(dt{},x[16])`` for a list of documents.

    Attributes:
        type: Type of the field: one mapped dimension (the token), one indexed.
        offsets: (document + 1,) int64: the rows of document i are ``offsets[i]:offsets[i + 1]``.
        values: (row, width) of the cell type's dtype, or uint16 for bfloat16, the upper halves of
            its float32 values, which may be given too; row j of a document has the label
            ``str(j)``.

    Raises:
        ArrayError: If offsets and values contradict each other or the type, or a value given as
            float32 is none of bfloat16.
    """

    type: TensorType
    offsets: NDArray[np.int64]
    values: NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.type.mapped) != 1 or len(self.type.indexed) != 1:
            raise ArrayError(f"{self.type}: expected one mapped and one indexed dimension")
        is_wide = self.values.dtype == np.float32
        if self.type.cell_type is CellType.BFLOAT16 and is_wide:
            object.__setattr__(self, "values", bfloat16_bits(self.values))
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
        cell_type = self.type.cell_type
        return np.dtype(np.uint16) if cell_type is CellType.BFLOAT16 else cell_type.dtype

    @property
    def cells(self) -> NDArray[Any]:
        """The values as tensors hold them: (row, width) of the cell type's dtype."""
        return self._cells(self.values)

    def _cells(self, values: NDArray[Any]) -> NDArray[Any]:
        return bfloat16_values(values) if values.dtype == np.uint16 else values

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def document(self, position: int) -> Tensor:
        """Return the tensor of one document.

        Raises:
            ArrayError: If there is no such document.
        """
        return Tensor.rows(self.type, self._cells(self.values[self.part(position)]))

    def part(self, position: int) -> slice:
        """Return which rows are those of one document.

        Raises:
            ArrayError: If there is no such document.
        """
        if not 0 <= position < len(self):
            self._check_positions(np.array([position]))
        start, end = self.offsets[position : position + 2].tolist()
        return slice(start, end)

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberedRows(ABC):
    """The values of a field whose rows have two labels: a number of each, and a place.

    Attributes:
        type: Type of the field: two mapped dimensions, one indexed.
        outer: The dimension whose labels are the numbers; those of the other one are places.
        rows: The rows of each document, as if places were their only labels.
        numbers: (row,) of ``DTYPE``, from 0.

    Raises:
        ArrayError: If they contradict each other or the type.
    """

    type: TensorType
    outer: str
    rows: DocumentRows
    numbers: NDArray[Any]

    ARRAY: ClassVar[str]
    """What the numbers are: their name in a file."""

    DTYPE: ClassVar[np.dtype[Any]]

    def __post_init__(self) -> None:
        inner = self.type.without(self.outer)
        if len(self.type.mapped) != 2 or self.rows.type != inner:
            raise ArrayError(f"{self.type}: expected rows of {inner}, got {self.rows.type}")
        is_whole = self.numbers.shape == (len(self.values),) and self.numbers.dtype == self.DTYPE
        if not is_whole or (self.numbers < 0).any():
            raise ArrayError(
                f"{self.type}: expected {self.ARRAY} of {len(self.values)} rows, {self.DTYPE} from "
                f"0, got {self.numbers.dtype} of shape {self.numbers.shape}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the rows of each document begin: (document + 1,) int64."""
        return self.rows.offsets

    @property
    def values(self) -> NDArray[Any]:
        """The rows as they are kept."""
        return self.rows.values

    @property
    def cells(self) -> NDArray[Any]:
        """The rows as tensors hold them: (row, width) of the cell type's dtype."""
        return self.rows.cells

    @property
    @abstractmethod
    def tokens(self) -> NDArray[np.int64]:
        """The place of each row: (row,) int64."""

    @property
    def codes(self) -> NDArray[np.int64]:
        """The labels of each row as numbers, in the order of the type: (row, 2) int64."""
        return np.stack(self._ordered(self.numbers.astype(np.int64), self.tokens), axis=1)

    @property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """For each mapped dimension the labels that the codes point to."""
        return self._ordered(_labels_up_to(self.numbers), _labels_up_to(self.tokens))

    def _ordered(self, outer: T, inner: T) -> tuple[T, T]:
        """Return what there is of both dimensions in the order of the type."""
        return (outer, inner) if self.type.mapped[0] == self.outer else (inner, outer)

    def document(self, position: int) -> Tensor:
        """Return the tensor of one document.

        Raises:
            ArrayError: If there is no such document.
        """
        part = self.rows.part(position)
        offsets = np.array([0, part.stop - part.start], np.int64)
        rows = DocumentRows(type=self.rows.type, offsets=offsets, values=self.values[part])
        numbers = self.numbers[part]
        tokens = replace(self, rows=rows, numbers=numbers).tokens
        # A document has few of the numbers that there may be: tens of thousands of centroids.
        used, places = np.unique(numbers, return_inverse=True)
        codes = np.stack(self._ordered(places.reshape(-1), tokens), axis=1)
        labels = self._ordered(tuple(map(str, used.tolist())), _labels_up_to(tokens))
        return Tensor(self.type, codes, labels, rows.cells)


def _labels_up_to(numbers: NDArray[Any]) -> tuple[str, ...]:
    return numbered_labels(int(numbers.max(initial=-1)) + 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContextRows(NumberedRows):
    """The values of a field such as ``tensor<int8>(context{},token{},x[16])`` for many documents.

    The number of a row is the place of its text in the document's list; in each document the rows
    of a text stand together.
    """

    ARRAY: ClassVar[str] = "contexts"
    DTYPE: ClassVar[np.dtype[Any]] = np.dtype(np.int64)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The place of each row's token in its text: (row,) int64."""
        places = np.arange(len(self.values))
        documents = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        is_first = np.ones(len(places), np.bool_)
        is_first[1:] = (np.diff(self.numbers) != 0) | (np.diff(documents) != 0)
        starts = np.maximum.accumulate(np.where(is_first, places, 0))
        return np.asarray(places - starts, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodedRows(NumberedRows):
    """The values of a field such as ``tensor<int8>(c{},dt{},x[32])``: residuals of token vectors.

    The number of a row is that of its centroid.
    """

    ARRAY: ClassVar[str] = "centroids"
    DTYPE: ClassVar[np.dtype[Any]] = np.dtype(np.int32)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The place of each row's token in its document: (row,) int64."""
        starts = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        return np.asarray(np.arange(len(self.values)) - starts, np.int64)


Rows: TypeAlias = DocumentRows | ContextRows | CodedRows
"""A field of an index."""


def text_tensor(rows: Rows, position: int, place: int) -> Tensor:
    """Return the vectors of one text of a document, its tokens counted from 0.

    Args:
        rows: The field.
        position: Of the document.
        place: Of the text in the document's list; 0 where it has one text.

    Raises:
        ArrayError: If there is no such document, or the field holds codes of vectors.
    """
    if isinstance(rows, CodedRows):
        raise ArrayError(f"{rows.type}: expected token vectors, got residuals of a codec")
    if isinstance(rows, DocumentRows):
        return rows.document(position)
    every = rows.rows.document(position)
    start, end = rows.offsets[position], rows.offsets[position + 1]
    return Tensor.rows(every.type, every.values[rows.numbers[start:end] == place])
