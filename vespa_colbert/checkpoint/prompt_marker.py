"""A prompt text that the library puts before every text, as the one token that Vespa inserts.

Whether the text behind a prompt is cut into the same tokens as alone depends on the tokenizer, so
the tokenizer itself is asked. A prompt of several tokens is refused: the row of each scores in the
library, and Vespa's embedder has one row where it inserts the marker.
"""

from __future__ import annotations

from typing import Any

from vespa_colbert.checkpoint.tokenizer_facts import TOKENIZER_FILE, Marker, TokenizerFacts
from vespa_colbert.checkpoint.tokenizer_library import load_tokenizer
from vespa_colbert.errors import CheckpointError

__all__ = ["moves_white_space", "prompt_marker"]

# Beginnings of a text that tokenizers treat differently: letters, digits, marks, other scripts.
SAMPLES = ("", "a", "rose is", "The", "7", "(a)", "\u2019s", "\u00e9t\u00e9", "\u96e8", "\u0434")
WHITE_SPACE_SAMPLES = (" rose", "\trose", "\n\nrose")


def prompt_marker(facts: TokenizerFacts, prompt: str, role: str) -> Marker:
    """Return the marker that a prompt amounts to.

    Args:
        facts: The tokenizer.
        prompt: The text before every text, not empty.
        role: ``query`` or ``document``, for the message.

    Raises:
        CheckpointError: If the prompt is not exactly one known token after the start token, or the
            text behind it gets other tokens than alone.
        MissingExtraError: If tokenizers is not installed.
    """
    tokenizer = load_tokenizer(facts)
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    if len(ids) != 1 or ids[0] == facts.unknown_id:
        tokens = tokenizer.encode(prompt, add_special_tokens=False).tokens
        raise CheckpointError(
            f"the {role} prompt {prompt!r}: expected exactly one token of {TOKENIZER_FILE}, got "
            f"{len(ids)} ({' '.join(tokens) or 'none'}); Vespa's embedder inserts one id and no "
            "text: add the prompt to the tokenizer as one special token and train with it"
        )
    for sample in SAMPLES:
        wanted, got = _ids(tokenizer, sample), _ids(tokenizer, prompt + sample)
        if [ids[0], *wanted] != got:
            raise CheckpointError(
                f"the {role} prompt {prompt!r}: expected the text behind it to keep its tokens, "
                f"got the ids {got} for prompt and {sample!r}, but {wanted} for "
                f"{sample!r} alone, which is what Vespa's embedder puts behind the marker"
            )
    return Marker(text=prompt, id=ids[0])


def moves_white_space(facts: TokenizerFacts, marker: Marker) -> bool:
    """Return whether a text that begins with white space gets other ids behind the prompt.

    Raises:
        MissingExtraError: If tokenizers is not installed.
    """
    tokenizer = load_tokenizer(facts)
    return any(
        [marker.id, *_ids(tokenizer, sample)] != _ids(tokenizer, marker.text + sample)
        for sample in WHITE_SPACE_SAMPLES
    )


def _ids(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a text without start and end token."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
