"""In the worker: the terms that Vespa's own linguistics makes of texts.

For English they are those of the linguistics that Vespa runs by default: that adds stemmers for
other languages only.

Source: OpenNlpTokenizer.tokenize and stemmerFor, Vespa 8.700.24.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vespa_colbert.vespa_java.jvm import java_class

__all__ = ["index_terms"]

PROCESS = "com.yahoo.language.process"
LONGEST_TERM, MOST_OCCURRENCES = 1000, 10_000
"""Source: AnnotatorConfig, Vespa 8.700.24."""


def index_terms(texts: Sequence[str], stemming: str) -> list[list[str]]:
    """Return the terms of English texts as an index field keeps them.

    Args:
        texts: Any texts.
        stemming: ``best`` (what a field does that states nothing) or ``none``.

    Source: LinguisticsAnnotator.annotate, Vespa 8.700.24.
    """
    tokenizer = java_class("com.yahoo.language.simple.SimpleLinguistics")().getTokenizer()
    mode = getattr(java_class(f"{PROCESS}.StemMode"), stemming.upper())
    english = java_class("com.yahoo.language.Language").ENGLISH
    parameters = java_class(f"{PROCESS}.LinguisticsParameters")(english, mode, True, True)  # noqa: FBT003 - Java's signature
    found = []
    for text in texts:
        counts: dict[str, int] = {}
        terms = []
        for term in _terms(tokenizer.tokenize(text, parameters)):
            key = term.lower()
            counts[key] = counts.get(key, 0) + 1
            if len(term) <= LONGEST_TERM and counts[key] <= MOST_OCCURRENCES:
                terms.append(term)
        found.append(terms)
    return found


def _terms(tokens: Any) -> Iterator[str]:
    """Yield the terms of tokens that are indexed, those of their components instead if any."""
    for token in tokens:
        components = [token.getComponent(i) for i in range(token.getNumComponents())]
        if components and not token.isSpecialToken():
            yield from _terms(components)
        elif token.isSpecialToken() or token.isIndexable():
            term = str(token.getTokenString() or "")
            if term.strip():
                yield term
