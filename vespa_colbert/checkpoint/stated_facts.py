"""Facts of a checkpoint that no file says, so that a user has to state them."""

from __future__ import annotations

from collections.abc import Mapping

from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.errors import CheckpointError

__all__ = ["REQUIRED", "STATED_ORIGIN", "stated_lengths"]

STATED_ORIGIN = "stated by the user"
REQUIRED = ("query_marker", "document_marker", "max_query_tokens", "max_document_tokens")
"""What no reader may assume."""


def stated_lengths(options: ReadOptions, *, silent: str) -> Mapping[str, int]:
    """Return the two lengths, once both of them and both markers are stated.

    Args:
        options: What the user states.
        silent: What does not say these facts, for the message.

    Raises:
        CheckpointError: With every fact that is to be stated and is not.
    """
    stated = {fact: getattr(options, fact) for fact in REQUIRED}
    missing = [f"--{fact.replace('_', '-')}" for fact in REQUIRED if stated[fact] is None]
    if missing:
        raise CheckpointError(
            f"expected the facts that {silent}, got none for {', '.join(missing)}"
        )
    return {fact: value for fact, value in stated.items() if isinstance(value, int)}
