"""The MultiVectorMask module: words whose rows do not score.

Source: MultiVectorMask.resolve_with_tokenizer and forward, sentence-transformers 6.2.0.
"""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.checkpoint.folder import JsonObject
from vespa_colbert.checkpoint.text_windows import DEFAULT_ORIGIN
from vespa_colbert.checkpoint.tokenizer_facts import TokenizerFacts
from vespa_colbert.errors import CheckpointError

__all__ = ["SkipWords", "read_skip_words"]

KEYS = frozenset({"skiplist_words", "skiplist_tasks", "keep_only_token_ids"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipWords:
    """Words whose tokens' rows are left out.

    Attributes:
        words: Those that are tokens of the vocabulary.
        dropped: Those that are not, which the library drops.
        queries_too: Whether they are left out of queries, not only of documents.
        origin: Where the words come from.
        tasks_origin: Where it is said which side they are for.
    """

    words: tuple[str, ...]
    dropped: tuple[str, ...]
    queries_too: bool
    origin: str
    tasks_origin: str


def read_skip_words(config: JsonObject, tokenizer: TokenizerFacts) -> SkipWords:
    """Return the words whose rows do not score; the library drops those that are no token.

    Raises:
        CheckpointError: If only chosen ids score, or words are left out of queries alone.
    """
    if unknown := config.values.keys() - KEYS:
        raise CheckpointError(
            f"{config.name}: expected only {', '.join(sorted(KEYS))}, got "
            f"{', '.join(sorted(unknown))}"
        )
    if config.values.get("keep_only_token_ids"):
        raise CheckpointError(
            f"{config.name}: keep_only_token_ids: expected none, got "
            f"{config.values['keep_only_token_ids']!r}: scoring chosen tokens only is not supported"
        )
    words, tasks = config.texts("skiplist_words", ()), _skip_tasks(config)
    if words and tasks == {"query"}:
        raise CheckpointError(
            f"{config.name}: skiplist_tasks: expected document among them, got query alone: words "
            "that are left out of queries only are not supported"
        )
    if not tasks:
        words = ()
    return SkipWords(
        words=tuple(word for word in words if word in tokenizer.vocabulary),
        dropped=tuple(word for word in words if word not in tokenizer.vocabulary),
        queries_too=bool(words) and "query" in tasks,
        origin=config.origin("skiplist_words", DEFAULT_ORIGIN),
        tasks_origin=config.origin("skiplist_tasks", DEFAULT_ORIGIN),
    )


def _skip_tasks(config: JsonObject) -> set[str]:
    """Return which of query and document the skip words apply to."""
    tasks = config.values.get("skiplist_tasks")
    named = (tasks,) if isinstance(tasks, str) else config.texts("skiplist_tasks", ("document",))
    return {"query", "document"} & set(named)
