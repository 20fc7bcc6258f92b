"""The ids by which an exact graph tells a query from a document."""

from __future__ import annotations

from vespa_colbert.checkpoint import Checkpoint

__all__ = ["role_ids"]

UNMARKED_ROLES = (1, 2)
"""For models whose markers say nothing. Any two ids would do: the graph takes them out before the
encoder sees them. These two are the defaults of Vespa's embedder and exist in every vocabulary."""


def role_ids(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return the ids that Vespa's embedder is to put after the start token: query, document.

    They are the model's own markers where it has two different ones.

    Source: queryTokenId and documentTokenId of col-bert-embedder.def, Vespa 8.700.24.
    """
    query, document = checkpoint.query_marker, checkpoint.document_marker
    if query is None or document is None or query.id == document.id:
        return UNMARKED_ROLES
    return query.id, document.id
