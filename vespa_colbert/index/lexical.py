"""bm25 by Vespa's formula over plain tokens.

The tokens are stated, not Vespa's: NFKC, lower case, runs of letters, digits and underscores are
words, no stemming. Vespa's own linguistics stems by default, so its bm25 differs where a stem does.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LexicalField", "plain_tokens"]

WORD = re.compile(r"\w+")
K1, B = 1.2, 0.75
"""Defaults of the rank feature ``bm25``."""


def plain_tokens(text: str) -> list[str]:
    """Return the words of a text."""
    return WORD.findall(unicodedata.normalize("NFKC", text).lower())


class LexicalField:
    """One text field of all documents, inverted."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Invert the texts; document i is the text at position i."""
        postings: dict[str, list[tuple[int, int]]] = {}
        self._lengths = np.zeros(len(texts))
        for document, text in enumerate(texts):
            words = plain_tokens(text)
            self._lengths[document] = len(words)
            for word, count in Counter(words).items():
                postings.setdefault(word, []).append((document, count))
        self._postings = {word: np.array(found) for word, found in postings.items()}
        filled = self._lengths[self._lengths > 0]
        self._average = float(filled.mean()) if len(filled) else 1.0

    def matches(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """Return which documents have at least one of the words: (document,) bool."""
        found = np.zeros(len(self._lengths), np.bool_)
        for word in words:
            if word in self._postings:
                found[self._postings[word][:, 0]] = True
        return found

    def scores(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Return bm25 of every document: (document,) float64; a word asked twice counts twice.

        Source: Bm25Executor.execute and Bm25Utils.calculate_inverse_document_frequency, Vespa
        8.700.24; the average length is that of the documents where the field has a word.
        """
        scores = np.zeros(len(self._lengths))
        for word in words:
            if word not in self._postings:
                continue
            documents, counts = self._postings[word].T
            frequency = len(documents)
            rarity = np.log(1 + (len(self._lengths) - frequency + 0.5) / (frequency + 0.5))
            length = self._lengths[documents] / self._average
            scores[documents] += rarity * counts * (K1 + 1) / (counts + K1 * (1 - B + B * length))
        return scores
