"""What is ranked: ids, and the fields of all documents as tensors, numbers and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError
from vespa_colbert.index.lexical import LexicalField
from vespa_colbert.index.rows import CodedRows, DocumentRows, Rows
from vespa_colbert.index.store import LocalIndex
from vespa_colbert.rank.algebra import DOCUMENTS
from vespa_colbert.rank.batches import batch_labels
from vespa_colbert.tensor import Dimension, Tensor, TensorType

__all__ = ["Documents", "FieldTensors", "Tokenize", "field_tensors", "index_documents"]

Tokenize: TypeAlias = Callable[[str], list[str]]
"""Text → its terms, as an index keeps them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldTensors:
    """One tensor field of many documents, of any type, laid end to end.

    Attributes:
        type: Type of the field.
        offsets: (document + 1,) int64: the subspaces of document i are
            ``offsets[i]:offsets[i + 1]``.
        codes: (subspace, mapped dimension) int64, positions in ``labels``.
        labels: For each mapped dimension its distinct labels.
        values: (subspace, *type.shape) of the cell type's dtype.
        present: (document,) bool: whether the document has the field.
        is_coded: Whether the values are known to be residuals: nothing is near to one of them.
    """

    type: TensorType
    offsets: NDArray[np.int64]
    codes: NDArray[np.int64]
    labels: tuple[tuple[str, ...], ...]
    values: NDArray[Any]
    present: NDArray[np.bool_]
    is_coded: bool = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def select(self, positions: NDArray[np.int64]) -> FieldTensors:
        """Return the field of some documents, in the order given."""
        lengths = np.diff(self.offsets)[positions]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        rows = np.repeat(self.offsets[positions], lengths) + within
        return FieldTensors(
            type=self.type,
            offsets=offsets,
            codes=self.codes[rows],
            labels=self.labels,
            values=self.values[rows],
            present=self.present[positions],
            is_coded=self.is_coded,
        )

    @property
    def cells(self) -> NDArray[Any]:
        """The values, as tensors hold them."""
        return self.values

    @property
    def documents(self) -> NDArray[np.int64]:
        """The document of every subspace: (subspace,) int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def batch(self) -> Tensor:
        """Return all documents as one tensor, the batch being a mapped dimension more.

        It is made once, and the same for every query: what is computed of it may be kept by it.
        """
        return self._batch

    @cached_property
    def _batch(self) -> Tensor:
        kind = TensorType(self.type.cell_type, (Dimension(DOCUMENTS), *self.type.dimensions))
        columns = [self.codes[:, place] for place in range(len(self.labels))]
        place = kind.mapped.index(DOCUMENTS)
        columns.insert(place, self.documents)
        labels = [*self.labels[:place], batch_labels(len(self)), *self.labels[place:]]
        return Tensor(kind, np.stack(columns, axis=1), tuple(labels), self.values)

    def document(self, position: int) -> Tensor:
        """Return the tensor of one document.

        Raises:
            ArrayError: If there is no such document.
        """
        if not 0 <= position < len(self):
            raise ArrayError(f"{self.type}: expected a position from 0 to {len(self) - 1}")
        part = slice(int(self.offsets[position]), int(self.offsets[position + 1]))
        return Tensor(self.type, self.codes[part], self.labels, self.values[part])


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The documents that a ranker ranks.

    Attributes:
        ids: One a document, in the order in which equal scores stand.
        tensors: Name of a tensor field → its values.
        values: Name of any other field → one JSON value a document, ``None`` where it has none.
        where: Where they come from, for messages.
        hint: What to do when a field is missing or of another type.
    """

    ids: Sequence[str]
    tensors: Mapping[str, DocumentRows | FieldTensors]
    values: Mapping[str, Sequence[Any]]
    where: str
    hint: str = ""
    _lexical: dict[tuple[str, Tokenize], LexicalField] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def everything(self) -> NDArray[np.int64]:
        """The positions of all documents."""
        return np.arange(len(self.ids))

    def lexical(self, name: str, tokenize: Tokenize) -> LexicalField:
        """Return a text field inverted for bm25; made when first asked for.

        The elements of an array of texts count as one text.
        """
        key = name, tokenize
        if key not in self._lexical:
            values = self.values.get(name, [None] * len(self))
            self._lexical[key] = LexicalField([_text(value) for value in values], tokenize)
        return self._lexical[key]


def _text(value: Any) -> str | None:
    return "\n".join(value) if isinstance(value, list | tuple) else value


def index_documents(index: LocalIndex) -> Documents:
    """Return the documents of a local index."""
    derived = index.derived or ({},) * len(index)
    ids, fields = list[str](), list[dict[str, Any]]()
    for document, more in zip(index.documents, derived, strict=True):
        ids.append(document.id)
        fields.append({**document.fields, **more})
    names = dict.fromkeys(name for each in fields for name in each)
    return Documents(
        ids=ids,
        tensors={name: _subspaces(rows) for name, rows in index.tensors.items()},
        values={name: [each.get(name) for each in fields] for name in names},
        where=f"the index {index.path}",
        hint="embed again with this application; compress --index makes residuals of vectors",
    )


def _subspaces(rows: Rows) -> DocumentRows | FieldTensors:
    """Return the rows of an index as ranking takes them."""
    if isinstance(rows, DocumentRows):
        return rows
    return FieldTensors(
        type=rows.type,
        offsets=rows.offsets,
        codes=rows.codes,
        labels=rows.labels,
        values=rows.cells,
        present=np.ones(len(rows), np.bool_),
        is_coded=isinstance(rows, CodedRows),
    )


def field_tensors(
    tensor_type: TensorType, tensors: Sequence[Tensor | None]
) -> DocumentRows | FieldTensors:
    """Return a tensor field from one tensor a document, ``None`` where it has none.

    A field such as ``tensor(dt{},x[16])`` whose labels count from 0 becomes rows, which kernels
    know. A document without a dense tensor has zeros, as Vespa's attribute gives them.

    Args:
        tensor_type: Type of the field.
        tensors: Each of that type.

    Source: DenseTensorAttributeExecutor, Vespa 8.700.24.
    """
    present = np.array([each is not None for each in tensors], np.bool_)
    known = [Tensor.empty(tensor_type) if each is None else each for each in tensors]
    lengths = np.array([len(each.values) for each in known], np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    empty = np.zeros((0, *tensor_type.shape), tensor_type.cell_type.dtype)
    values = np.concatenate([empty, *(each.values for each in known)], axis=0)
    is_flat = len(tensor_type.mapped) == 1 and len(tensor_type.indexed) == 1
    if is_flat and all(map(_counts_from_0, known)):
        return DocumentRows(type=tensor_type, offsets=offsets, values=values)
    codes, labels = _shared_codes(known, len(tensor_type.mapped))
    return FieldTensors(
        type=tensor_type,
        offsets=offsets,
        codes=codes,
        labels=labels,
        values=values,
        present=present,
    )


def _counts_from_0(tensor: Tensor) -> bool:
    labels = (tensor.labels[0][code] for code in tensor.codes[:, 0].tolist())
    return all(label == str(place) for place, label in enumerate(labels))


def _shared_codes(
    tensors: Sequence[Tensor], mapped: int
) -> tuple[NDArray[np.int64], tuple[tuple[str, ...], ...]]:
    """Return the codes of all tensors in one vocabulary a dimension, and those vocabularies."""
    columns, labels = [], []
    for place in range(mapped):
        vocabulary: dict[str, int] = {}
        parts = [np.zeros(0, np.int64)]
        for each in tensors:
            mine = [vocabulary.setdefault(label, len(vocabulary)) for label in each.labels[place]]
            parts.append(np.array(mine, np.int64)[each.codes[:, place]])
        columns.append(np.concatenate(parts))
        labels.append(tuple(vocabulary))
    rows = sum(len(each.codes) for each in tensors)
    codes = np.stack(columns, axis=1) if columns else np.zeros((rows, 0), np.int64)
    return codes, tuple(labels)
