"""``tokenizer.json`` as Vespa is to read it: without truncation and padding, else unchanged."""

from __future__ import annotations

import json

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import CheckpointError, MissingExtraError

__all__ = ["check_tokenizer", "tokenizer_text"]

SAMPLE = "One sample text, to see that the tokenizer works."


def tokenizer_text(text: str) -> str:
    """Return the tokenizer file with truncation and padding set to null.

    A truncation left in the file caps the documents of Vespa's embedder below its own limits.
    Source: the constructor of ColBertEmbedder, Vespa 8.700.24.
    """
    document = json.loads(text)
    document |= {"truncation": None, "padding": None}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def check_tokenizer(text: str, checkpoint: Checkpoint) -> None:
    """Return nothing if the tokenizers library loads the file and agrees with what was read of it.

    Raises:
        CheckpointError: If it refuses the file, or gives a text other first and last tokens.
        MissingExtraError: If tokenizers is not installed.
    """
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise MissingExtraError("embed", "tokenizers") from error
    where = f"{checkpoint.path}: tokenizer.json"
    try:
        ids = tokenizers.Tokenizer.from_str(text).encode(SAMPLE).ids
    except Exception as error:  # the library raises Exception itself
        raise CheckpointError(f"{where}: the tokenizers library refuses it: {error}") from error
    wanted = (checkpoint.start_id, checkpoint.end_id)
    if (ids[0], ids[-1]) != wanted or len(ids) < 3:
        raise CheckpointError(
            f"{where}: expected texts to begin and end with the ids {wanted}, got {ids[:1]} and "
            f"{ids[-1:]}"
        )
