"""The tokenizers library's object for ``tokenizer.json``, where ids cannot be read off the file."""

from __future__ import annotations

from typing import Any

from vespa_colbert.checkpoint.tokenizer_facts import TOKENIZER_FILE, TokenizerFacts
from vespa_colbert.errors import CheckpointError, MissingExtraError

__all__ = ["load_tokenizer", "load_tokenizer_text"]


def load_tokenizer(facts: TokenizerFacts) -> Any:
    """Return the tokenizers library's object, which neither cuts nor pads.

    Raises:
        CheckpointError: If the library refuses the file.
        MissingExtraError: If tokenizers is not installed.
    """
    return load_tokenizer_text(facts.text)


def load_tokenizer_text(text: str) -> Any:
    """Return the tokenizers library's object for the text of a file; it neither cuts nor pads.

    Raises:
        CheckpointError: If the library refuses it.
        MissingExtraError: If tokenizers is not installed.
    """
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise MissingExtraError("embed", "tokenizers") from error
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
    except BaseException as error:
        # The library raises Exception itself, and on some damage panics, which is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(
            f"{TOKENIZER_FILE}: the tokenizers library refuses it: {error}"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
