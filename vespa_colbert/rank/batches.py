"""Batches of documents as tensors: the batch is one more mapped dimension.

Its labels are the positions of the documents, in order, and its codes are positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.algebra import DOCUMENTS
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = ["batch_labels", "batch_numbers", "batch_tensor", "numbers_of_batch", "part_of_batch"]

NUMBERS = TensorType(CellType.DOUBLE, (Dimension(DOCUMENTS),))


@lru_cache(maxsize=16)
def batch_labels(documents: int) -> tuple[str, ...]:
    """Return the labels of a batch; writing 10,000 of them takes as long as scoring 1,000."""
    return tuple(map(str, range(documents)))


def batch_numbers(values: Sequence[float] | NDArray[np.float64]) -> Tensor:
    """Return a number a document as a tensor over the batch: (document,) float64."""
    cells = np.asarray(values, np.float64)
    codes = np.arange(len(cells), dtype=np.int64)[:, np.newaxis]
    return Tensor(NUMBERS, codes, (batch_labels(len(cells)),), cells)


def numbers_of_batch(tensor: Tensor, documents: int) -> NDArray[np.float64]:
    """Return what ``batch_numbers`` was given: (document,) float64, 0 where there is no cell."""
    found = np.zeros(documents)
    places: Any = tensor.codes[:, 0]
    if tensor.labels[0] != batch_labels(documents):
        places = [int(label) for (label,) in tensor.addresses()]
    found[places] = tensor.values
    return found


def part_of_batch(tensor: Tensor, start: int, end: int) -> Tensor:
    """Return what a value of a batch is for some of its documents, one after the other."""
    if DOCUMENTS not in tensor.type.mapped:
        return tensor
    place = tensor.type.mapped.index(DOCUMENTS)
    documents = tensor.codes[:, place]
    rows = np.flatnonzero((documents >= start) & (documents < end))
    codes = tensor.codes[rows]
    codes[:, place] -= start
    labels = list(tensor.labels)
    labels[place] = batch_labels(end - start)
    return Tensor(tensor.type, codes, tuple(labels), tensor.values[rows])


def batch_tensor(rows: DocumentRows) -> Tensor:
    """Return a field of all documents as one tensor."""
    lengths = np.diff(rows.offsets)
    documents = np.repeat(np.arange(len(rows)), lengths)
    tokens = np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], lengths)
    kind = TensorType(rows.type.cell_type, (Dimension(DOCUMENTS), *rows.type.dimensions))
    labels = batch_labels(len(rows)), batch_labels(int(lengths.max(initial=0)))
    return Tensor(kind, np.stack([documents, tokens], axis=1), labels, rows.cells)
