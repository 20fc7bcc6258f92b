"""What a user allows or states where a checkpoint itself does not say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["DEFAULT_OPTIONS", "ReadOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Permissions, and facts that some layouts leave out; ``None`` where nothing is stated.

    Attributes:
        allow_pickle: Whether torch files may be opened, restricted to tensors.
        revision: Branch, tag or commit of a model on the Hub.
        head: File with the projection of a plain encoder.
        query_marker: Token after the start token of a query; empty for none.
        document_marker: The same for documents.
        max_query_tokens: Tokens of a query, start, marker and end included.
        max_document_tokens: Tokens of a document, counted alike.
        query_expansion: Whether rows of mask padding are part of a query.
        expansion_attended: Whether real tokens attend to that padding.
        skip_words: Words whose tokens' rows are left out of documents.
    """

    allow_pickle: bool = False
    revision: str | None = None
    head: Path | None = None
    query_marker: str | None = None
    document_marker: str | None = None
    max_query_tokens: int | None = None
    max_document_tokens: int | None = None
    query_expansion: bool | None = None
    expansion_attended: bool | None = None
    skip_words: tuple[str, ...] | None = None


DEFAULT_OPTIONS = ReadOptions()
