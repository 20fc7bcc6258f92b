"""A local index read a document at a time: its cells stay on disk until they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from vespa_colbert.index.collection import Document
from vespa_colbert.index.rows import ContextRows, DocumentRows
from vespa_colbert.index.store import TENSORS_FILE, checked_manifest, stored_documents
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["IndexReader", "read_index"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexReader:
    """An index on disk.

    Attributes:
        path: Its folder.
        types: Name → type of its tensor fields.
        outer: Name → dimension of the places in a list of texts; empty where there is none.
        offsets: Name → (document + 1,) int64, where the rows of each document begin.
        arrays: The open file of the cells.
    """

    path: Path
    types: Mapping[str, TensorType]
    outer: Mapping[str, str]
    offsets: Mapping[str, NDArray[np.int64]]
    arrays: Any

    def documents(self) -> Iterator[Document]:
        """Yield the documents in order."""
        for document, _derived in stored_documents(self.path):
            yield document

    def tensor(self, name: str, position: int) -> Tensor:
        """Return the tensor of one document."""
        start, end = self.offsets[name][position : position + 2].tolist()
        kind, outer = self.types[name], self.outer[name]
        rows = DocumentRows(
            type=kind.without(outer) if outer else kind,
            offsets=np.array([0, end - start], np.int64),
            values=self.arrays.get_slice(f"{name}.cells")[start:end],
        )
        if not outer:
            return rows.document(0)
        contexts = self.arrays.get_slice(f"{name}.contexts")[start:end]
        return ContextRows(type=kind, outer=outer, rows=rows, contexts=contexts).document(0)


def read_index(path: Path, *, origin: Mapping[str, str] | None = None) -> IndexReader:
    """Return an index after checking its files against the manifest's sha256.

    Args:
        path: The index folder.
        origin: What it must have been made with; names absent here are not compared.

    Raises:
        IndexFolderError: If there is none, a file changed, or it was made with something else.
    """
    fields, _made_with = checked_manifest(path, origin or {})
    arrays: Any = safetensors.safe_open(path / TENSORS_FILE, framework="np")
    return IndexReader(
        path=path,
        types={name: kind for name, (kind, _outer) in fields.items()},
        outer={name: outer for name, (_kind, outer) in fields.items()},
        offsets={name: arrays.get_tensor(f"{name}.offsets") for name in fields},
        arrays=arrays,
    )
