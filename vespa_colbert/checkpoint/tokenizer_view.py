"""What the tokenizers library makes of ``tokenizer.json``, against what was read off it.

Vespa loads the file with that library, so a file that it refuses, or numbers otherwise, is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.checkpoint.tokenizer_facts import TOKENIZER_FILE, Marker, TokenizerFacts
from vespa_colbert.checkpoint.tokenizer_library import load_tokenizer
from vespa_colbert.errors import CheckpointError, MissingExtraError

__all__ = ["check_tokenizer_view"]


def check_tokenizer_view(facts: TokenizerFacts, *markers: Marker | None) -> None:
    """Return nothing if the library loads the file and gives the special tokens the same ids.

    Without the library nothing is checked: export, which needs the facts to hold, has it.

    Args:
        facts: What was read off the file.
        markers: Tokens of roles, where the model has them.

    Raises:
        CheckpointError: If it refuses the file, or an id differs.
    """
    try:
        library = load_tokenizer(facts)
    except MissingExtraError:
        return
    for token in sorted(set(_tokens(facts, markers))):
        if (found := library.token_to_id(token)) != facts.vocabulary[token]:
            raise CheckpointError(
                f"{TOKENIZER_FILE}: {token!r}: expected the id {facts.vocabulary[token]} that the "
                f"file says, got {found} from the tokenizers library; save the tokenizer again"
            )
    wanted = [each for each in (facts.start_id, facts.end_id) if each is not None]
    if (ends := library.encode("").ids) != wanted:
        raise CheckpointError(
            f"{TOKENIZER_FILE}: post_processor: expected the ids {wanted} around a text, got "
            f"{ends} from the tokenizers library"
        )


def _tokens(facts: TokenizerFacts, markers: tuple[Marker | None, ...]) -> Iterator[str]:
    """Yield the tokens that a checkpoint's facts give ids of."""
    named = (each.text for each in markers if each is not None)
    for token in (*facts.special_tokens.values(), *named):
        if token in facts.vocabulary:
            yield token
