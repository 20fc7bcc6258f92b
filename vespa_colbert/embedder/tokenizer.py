"""A tokenizer as Vespa's embedders open it: cut at their limit, without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vespa_colbert.errors import CollectionError, ExportError, MissingExtraError

__all__ = ["encoded", "open_tokenizer"]

LIBRARY_LIMIT = 512
"""Tokens that Vespa's tokenizer library keeps of a text where only tokenizer.json truncates."""


def open_tokenizer(path: Path, limit: int) -> Any:
    """Return the tokenizer in a file, without padding, cut at a limit.

    Args:
        path: The tokenizer file.
        limit: The component's ``max-tokens``.

    Raises:
        MissingExtraError: If tokenizers is not installed.
        ExportError: If the file is no tokenizer.

    Source: the constructors of ColBertEmbedder and HuggingFaceEmbedder, Vespa 8.700.24: a
    truncation in tokenizer.json counts where it is LongestFirst, otherwise it is set to the smaller
    of that and max-tokens. In the first case the tokenizer library that Vespa uses, DJL 0.33, has a
    limit of its own; and it takes a fixed padding for a truncation where there is none.
    """
    try:
        import tokenizers
    except ImportError:
        raise MissingExtraError("embed", "tokenizers") from None
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more special
        raise ExportError(f"{path}: expected a tokenizer ({error}); export again") from error
    found = tokenizer.truncation
    if found is None:
        padded = (tokenizer.padding or {}).get("length") or limit
        tokenizer.enable_truncation(min(limit, padded))
    else:
        most = LIBRARY_LIMIT if found["strategy"] == "longest_first" else limit
        kept = min(most, found["max_length"])
        tokenizer.enable_truncation(kept, direction=found["direction"])
    tokenizer.no_padding()
    return tokenizer


def encoded(tokenizer: Any, text: str, *, specials: bool) -> tuple[int, ...]:
    """Return the ids of a text.

    Args:
        tokenizer: As ``open_tokenizer`` returns it.
        text: Any text.
        specials: Whether the tokens that the post-processor puts around a text are among them.

    Raises:
        CollectionError: If the text holds half of a surrogate pair, which is no character.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CollectionError(
            f"text: expected Unicode characters, got a lone surrogate at {error.start}"
        ) from None
    return tuple(tokenizer.encode(text, add_special_tokens=specials).ids)
