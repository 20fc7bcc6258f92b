"""What a ``tokenizer.json`` of a package says, as far as an embedder's settings depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.checkpoint.folder import read_object
from vespa_colbert.checkpoint.tokenizer_facts import first_and_last
from vespa_colbert.checkpoint.vocabulary import read_unknown_id, read_vocabulary
from vespa_colbert.embedder.tokenizer import LIBRARY_LIMIT
from vespa_colbert.errors import CheckpointError

__all__ = ["TokenizerView", "read_tokenizer_view"]

LONGEST_FIRST = "LongestFirst"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerView:
    """What the file says.

    Attributes:
        tokens: Id → token.
        unknown_id: Id of the unknown token, if there is one.
        start_id: Id of what it puts before a text, if that is one token.
        end_id: Id of what it puts after a text, if that is one token.
        most_tokens: Length that it cuts texts to; ``None`` if it states none.
        is_longest_first: Whether it cuts the longest of several texts first.
        separators: Tokens between the two texts of a pair; ``None`` where it does not say.
    """

    tokens: Mapping[int, str]
    unknown_id: int | None
    start_id: int | None
    end_id: int | None
    most_tokens: int | None
    is_longest_first: bool
    separators: int | None

    def kept(self, most: int) -> int:
        """Return how many tokens of a text an embedder gets.

        Args:
            most: Its ``max-tokens``.

        Source: the constructors of ColBertEmbedder and HuggingFaceEmbedder, Vespa 8.700.24: what
        cuts the longest first counts instead of max-tokens, and the tokenizer library keeps to a
        limit of its own then; what cuts otherwise can only lower it.
        """
        if self.most_tokens is None:
            return most
        return min(self.most_tokens, LIBRARY_LIMIT if self.is_longest_first else most)


def read_tokenizer_view(path: Path) -> TokenizerView:
    """Return what a tokenizer file says.

    Raises:
        CheckpointError: If it is no tokenizer.
    """
    document = read_object(path.parent, path.name)
    vocabulary = read_vocabulary(document)
    try:
        start_id, end_id = first_and_last(document)
    except (CheckpointError, KeyError, IndexError, TypeError, AttributeError, ValueError):
        start_id, end_id = None, None
    stated = document.values.get("truncation")
    cut = stated if isinstance(stated, dict) else {}
    most = cut.get("max_length")
    return TokenizerView(
        tokens={number: token for token, number in vocabulary.items()},
        unknown_id=read_unknown_id(document, vocabulary),
        start_id=start_id,
        end_id=end_id,
        most_tokens=most if isinstance(most, int) else None,
        is_longest_first=cut.get("strategy") == LONGEST_FIRST,
        separators=_separators(document.values.get("post_processor")),
    )


def _separators(processor: object) -> int | None:
    """Return how many tokens stand between the two texts of a pair."""
    if not isinstance(processor, dict):
        return None
    if processor.get("type") == "RobertaProcessing":
        return 2
    if processor.get("type") == "BertProcessing":
        return 1
    for each in processor.get("processors") or ():
        if (found := _separators(each)) is not None:
            return found
    pair = processor.get("pair")
    if processor.get("type") != "TemplateProcessing" or not isinstance(pair, list):
        return None
    places = [number for number, piece in enumerate(pair) if "Sequence" in piece]
    return places[1] - places[0] - 1 if len(places) == 2 else None
