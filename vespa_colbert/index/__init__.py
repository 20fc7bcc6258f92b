"""Documents and their tensors on disk, collections, candidates."""

from __future__ import annotations

from vespa_colbert.index.collection import (
    Document,
    Query,
    read_corpus,
    read_qrels,
    read_queries,
)
from vespa_colbert.index.feed import write_feed
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.index.store import (
    LocalIndex,
    build_index,
    embedded_text,
    is_index_folder,
    open_index,
    tensor_fields,
)

__all__ = [
    "Document",
    "DocumentRows",
    "LocalIndex",
    "Query",
    "build_index",
    "embedded_text",
    "is_index_folder",
    "open_index",
    "read_corpus",
    "read_qrels",
    "read_queries",
    "tensor_fields",
    "write_feed",
]
