"""Documents and their tensors on disk, collections, candidates."""

from __future__ import annotations

from vespa_colbert.index.coded_field import CodedField
from vespa_colbert.index.collection import (
    Document,
    Query,
    iterate_corpus,
    read_corpus,
    read_qrels,
    read_queries,
)
from vespa_colbert.index.document_ids import document_id
from vespa_colbert.index.embedding import embedded_fields, embedded_passages, tensor_fields
from vespa_colbert.index.feed import (
    Feed,
    FeedFields,
    FeedResult,
    resume_feed,
    stream_feed,
    write_feed,
)
from vespa_colbert.index.index_reader import IndexReader, read_index
from vespa_colbert.index.rows import CodedRows, ContextRows, DocumentRows
from vespa_colbert.index.snapshot import all_faults, open_snapshot
from vespa_colbert.index.store import (
    LocalIndex,
    build_index,
    is_index_folder,
    open_index,
)
from vespa_colbert.index.writer import IndexWriter, write_index

__all__ = [
    "CodedField",
    "CodedRows",
    "ContextRows",
    "Document",
    "DocumentRows",
    "Feed",
    "FeedFields",
    "FeedResult",
    "IndexReader",
    "IndexWriter",
    "LocalIndex",
    "Query",
    "all_faults",
    "build_index",
    "document_id",
    "embedded_fields",
    "embedded_passages",
    "is_index_folder",
    "iterate_corpus",
    "open_index",
    "open_snapshot",
    "read_corpus",
    "read_index",
    "read_qrels",
    "read_queries",
    "resume_feed",
    "stream_feed",
    "tensor_fields",
    "write_feed",
    "write_index",
]
