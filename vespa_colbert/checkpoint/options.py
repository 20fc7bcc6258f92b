"""What a user allows or states where a checkpoint itself does not say it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_OPTIONS", "ReadOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Permissions, and facts that some layouts leave out; ``None`` where nothing is stated.

    Attributes:
        allow_pickle: Whether torch files may be opened, restricted to tensors.
        query_marker: Token after the start token of a query.
        document_marker: The same for documents.
        max_query_tokens: Tokens of a query, start, marker and end included.
        max_document_tokens: Tokens of a document, counted alike.
    """

    allow_pickle: bool = False
    query_marker: str | None = None
    document_marker: str | None = None
    max_query_tokens: int | None = None
    max_document_tokens: int | None = None


DEFAULT_OPTIONS = ReadOptions()
