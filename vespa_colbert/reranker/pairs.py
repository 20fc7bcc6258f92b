"""A query and a document as one sequence of token ids, cut as the library cuts it or as Vespa does.

Source: BaseReranker.compute_score_single_gpu, FlagEmbedding 1.4.0; TokenTransformer, Vespa
8.700.24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from vespa_colbert.checkpoint.pair_form import PairForm
from vespa_colbert.checkpoint.tokenizer_library import load_tokenizer_text
from vespa_colbert.errors import SpecError

__all__ = ["Cut", "PairTokenizer", "PairTokens", "Sequencing", "open_pair_tokenizer"]

Cut: TypeAlias = Literal["document", "end"]
"""Where an overlong pair is cut: the document, so that every separator stays (FlagEmbedding, and
the packages that are generated here), or the end of the sequence whatever stands there
(``customTokenInputIds`` by itself, as Vespa's documentation uses it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequencing:
    """How two texts become one sequence.

    Attributes:
        max_tokens: Tokens of the sequence, special ones included.
        query_tokens: Tokens of a query that are kept; a document gets the rest. FlagEmbedding
            keeps three quarters of ``max_tokens``, a generated package its ``query-tokens``.
        cut: Where an overlong pair is cut.
        separators: Separators between the texts; None for as many as the tokenizer puts there.
            Vespa's ``tokenInputIds`` and its relatives put 1.
    """

    max_tokens: int
    query_tokens: int
    cut: Cut = "document"
    separators: int | None = None

    @classmethod
    def of_library(cls, max_tokens: int) -> Sequencing:
        """Return what FlagEmbedding does: a query of three quarters at most, then the document."""
        return cls(max_tokens=max_tokens, query_tokens=max_tokens * 3 // 4)

    @classmethod
    def of_package(cls, max_tokens: int, query_tokens: int) -> Sequencing:
        """Return what a generated package does: a query of a fixed size, then the document."""
        return cls(max_tokens=max_tokens, query_tokens=query_tokens)

    def check(self, pair: PairForm) -> None:
        """Return nothing if both texts have room.

        Raises:
            SpecError: If not.
        """
        special = 2 + (pair.separators if self.separators is None else self.separators)
        room = self.max_tokens - special
        if not 1 <= self.query_tokens < room:
            raise SpecError(
                f"query tokens: expected 1 to {room - 1}, so that a document has room in "
                f"{self.max_tokens} tokens beside {special} special ones, got {self.query_tokens}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTokens:
    """One sequence.

    Attributes:
        ids: Token ids, special ones included.
        types: Token types, as many.
        is_cut: Whether tokens of the texts, or a separator, are not there.
    """

    ids: tuple[int, ...]
    types: tuple[int, ...]
    is_cut: bool


class PairTokenizer:
    """Puts pairs together as a tokenizer's post-processor does."""

    def __init__(self, tokenizer: Any, pair: PairForm, sequencing: Sequencing) -> None:
        """Take the parts.

        Args:
            tokenizer: Object of the tokenizers library, which neither cuts nor pads.
            pair: How it puts two texts together.
            sequencing: How long sequences may be.

        Raises:
            SpecError: If the lengths leave a text no room.
        """
        sequencing.check(pair)
        self.pair = pair
        self.sequencing = sequencing
        self._tokenizer = tokenizer

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without special tokens, not cut."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in encoded]

    def join(self, query: Sequence[int], document: Sequence[int]) -> PairTokens:
        """Return one sequence of two texts' ids."""
        rule, pair = self.sequencing, self.pair
        first = list(query[: rule.query_tokens])
        between = pair.separators if rule.separators is None else rule.separators
        second, behind = list(document), [pair.separator_id]
        if rule.cut == "document":
            second = second[: rule.max_tokens - len(first) - between - 2]
        ids = [pair.start_id, *first, *[pair.separator_id] * between, *second, *behind]
        types = [0] * (len(ids) - len(second) - 1) + [pair.second_type] * (len(second) + 1)
        is_cut = len(ids) > rule.max_tokens or len(first) + len(second) < len(query) + len(document)
        return PairTokens(
            ids=tuple(ids[: rule.max_tokens]),
            types=tuple(types[: rule.max_tokens]),
            is_cut=is_cut,
        )


def open_pair_tokenizer(text: str, pair: PairForm, sequencing: Sequencing) -> PairTokenizer:
    """Return what puts pairs together, from the text of ``tokenizer.json``.

    Raises:
        CheckpointError: If the tokenizers library refuses the file.
        SpecError: If the lengths leave a text no room.
        MissingExtraError: If tokenizers is not installed.
    """
    return PairTokenizer(load_tokenizer_text(text), pair, sequencing)
