"""Skip words as Stanford's ColBERT takes them: the first id that the tokenizer gives each word.

Source: ColBERT.__init__ and ColBERT.mask, colbert-ai 0.2.22.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vespa_colbert.checkpoint.tokenizer_facts import TokenizerFacts
from vespa_colbert.checkpoint.tokenizer_library import load_tokenizer
from vespa_colbert.errors import MissingExtraError

__all__ = ["FirstIds", "read_first_ids"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstIds:
    """Ids whose rows are left out of documents.

    Attributes:
        ids: Each once, in the order of the words.
        warnings: Where they are not what one expects of skip words.
    """

    ids: tuple[int, ...]
    warnings: tuple[str, ...]


def read_first_ids(tokenizer: TokenizerFacts, words: tuple[str, ...]) -> FirstIds:
    """Return the first id of each word.

    A WordPiece vocabulary says it itself. For other models the tokenizers library is asked; where
    it is not installed no id is given, and a warning says so.

    Raises:
        CheckpointError: If the library refuses ``tokenizer.json``.
    """
    try:
        encoded = _encoded(tokenizer, words)
    except MissingExtraError:
        if json.loads(tokenizer.text)["model"].get("type") != "WordPiece":
            unknown = "which ids the skip words have is not known without the tokenizers library"
            return FirstIds(
                ids=(), warnings=(f"{unknown} (extra embed): none is given",) * bool(words)
            )
        encoded = _looked_up(tokenizer, words)
    return FirstIds(
        ids=tuple(dict.fromkeys(ids[0] for ids in encoded.values() if ids)),
        warnings=tuple(_warnings(tokenizer, encoded)),
    )


def _encoded(tokenizer: TokenizerFacts, words: tuple[str, ...]) -> Mapping[str, tuple[int, ...]]:
    """Return the ids of each word.

    Raises:
        CheckpointError: If the library refuses ``tokenizer.json``.
        MissingExtraError: If tokenizers is not installed.
    """
    library = load_tokenizer(tokenizer)
    return {word: tuple(library.encode(word, add_special_tokens=False).ids) for word in words}


def _looked_up(tokenizer: TokenizerFacts, words: tuple[str, ...]) -> Mapping[str, tuple[int, ...]]:
    found = {word: tokenizer.vocabulary.get(word, tokenizer.unknown_id) for word in words}
    return {word: () if token_id is None else (token_id,) for word, token_id in found.items()}


def _warnings(tokenizer: TokenizerFacts, encoded: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    unknown = [word for word, ids in encoded.items() if ids[:1] == (tokenizer.unknown_id,)]
    if unknown:
        yield (
            f"the vocabulary lacks {' '.join(unknown)}: the library leaves every unknown token "
            "out of documents"
        )
    if several := [word for word, ids in encoded.items() if len(ids) > 1]:
        yield (
            "of skip words that are several tokens the library leaves only the first out of "
            f"documents: {' '.join(several)}"
        )
