"""The texts that training rows name by the ids of queries and documents."""

from __future__ import annotations

from pathlib import Path

from vespa_colbert.index import read_corpus, read_queries
from vespa_colbert.pipeline.mine import document_text

__all__ = ["TextsById", "read_texts_by_id"]

TextsById = tuple[dict[str, str] | None, dict[str, str] | None]
"""Id → text of the queries, and of the documents; ``None`` where no file has them."""


def read_texts_by_id(queries: Path | None, corpus: Path | None) -> TextsById:
    """Return the texts of both files.

    Args:
        queries: File of queries, for rows with their ids.
        corpus: File of documents, for rows with their ids.

    Raises:
        CollectionError: With file and line, if a line is bad.
    """
    asked = documents = None
    if queries is not None:
        asked = {each.id: each.text for each in read_queries(queries)}
    if corpus is not None:
        documents = {each.id: document_text(each) for each in read_corpus(corpus)}
    return asked, documents
