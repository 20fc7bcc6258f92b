"""A prompt text that the library puts before every text, as the one token that Vespa inserts.

Whether the text behind a prompt is cut into the same tokens as alone depends on the tokenizer, so
the tokenizer itself is asked.
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
    _start, *ids, _end = tokenizer.encode(prompt).ids
    if len(ids) != 1 or ids[0] == facts.unknown_id:
        tokens = tokenizer.encode(prompt).tokens[1:-1]
        raise CheckpointError(
            f"the {role} prompt {prompt!r}: expected exactly one token of {TOKENIZER_FILE}, got "
            f"{len(ids)} ({' '.join(tokens) or 'none'}); Vespa's embedder inserts one id and no "
            "text: add the prompt to the tokenizer as one special token and train with it"
        )
    for sample in SAMPLES:
        wanted, got = _alone(tokenizer, sample, ids[0]), tokenizer.encode(prompt + sample).ids
        if wanted != got:
            raise CheckpointError(
                f"the {role} prompt {prompt!r}: expected the text behind it to keep its tokens, "
                f"got the ids {got[1:-1]} for prompt and {sample!r}, but {wanted[2:-1]} for "
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
        _alone(tokenizer, sample, marker.id) != tokenizer.encode(marker.text + sample).ids
        for sample in WHITE_SPACE_SAMPLES
    )


def _alone(tokenizer: Any, text: str, marker_id: int) -> list[int]:
    """Return the ids that Vespa's embedder makes: the marker between start token and text."""
    start, *ids = tokenizer.encode(text).ids
    return [start, marker_id, *ids]
