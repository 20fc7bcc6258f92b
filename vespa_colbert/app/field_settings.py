"""Settings of a field that a word says, or a word and a value: of indexes, attributes, matching."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

__all__ = ["ATTRIBUTE_WORDS", "INDEX_WORDS", "MATCH_WORDS", "RANK_WORDS", "VALUES", "setting_fault"]

SETTING = re.compile(r'([a-z][a-z0-9-]*)(?:: ([A-Za-z0-9_.+-]+|"[^"]*"))?')
GRAPH_SETTING = re.compile(
    r"(hnsw) \{(?: (?:max-links-per-node|neighbors-to-explore-at-insert): [0-9]{1,9}"
    r"| multi-threaded-indexing: (?:true|false))+ \}"
)
"""What an index of vectors says in a block. Source: SchemaParser.jj, hnswIndexBody, 8.700.24."""

A_NAME, A_NUMBER, A_DECIMAL = "a name", "a whole number", "a number with a decimal point"
A_TEXT = "a text in double quotes"

KINDS = {
    A_NAME: re.compile(r"[A-Za-z_](?:[A-Za-z0-9_-]*|[A-Za-z0-9_.]*)"),
    A_NUMBER: re.compile(r"-?[0-9]{1,19}L?"),
    A_DECIMAL: re.compile(r"-?[0-9]{1,300}\.[0-9]+"),
    A_TEXT: re.compile(r'"[^"]*"'),
}
"""What is expected behind a colon → how it is written. Source: SchemaParser.jj, Vespa 8.700.24."""

VALUES = {
    "alias": A_NAME,
    "stemming": A_NAME,
    "arity": A_NUMBER,
    "lower-bound": A_NUMBER,
    "upper-bound": A_NUMBER,
    "dense-posting-list-threshold": A_DECIMAL,
    "distance-metric": A_NAME,
    "exact-terminator": A_TEXT,
    "gram-size": A_NUMBER,
    "max-length": A_NUMBER,
    "max-occurrences": A_NUMBER,
    "max-token-length": A_NUMBER,
}
"""Setting → what it needs behind its colon; without, Vespa reads on in the next line. Others have
none.

Source: SchemaParser.jj, indexBody, attributeSetting and matchItem, Vespa 8.700.24.
"""

INDEX_WORDS = frozenset({
    "prefix",
    "alias",
    "stemming",
    "arity",
    "lower-bound",
    "upper-bound",
    "dense-posting-list-threshold",
    "enable-bm25",
    "hnsw",
})
"""Settings of ``index``. Source: SchemaParser.jj, indexBody, Vespa 8.700.24."""

ATTRIBUTE_WORDS = frozenset({
    "fast-rank",
    "fast-search",
    "fast-access",
    "mutable",
    "paged",
    "enable-only-bit-vector",
    "distance-metric",
})
"""Settings of ``attribute``. Source: SchemaParser.jj, attributeSetting, Vespa 8.700.24."""

MATCH_WORDS = frozenset({
    "token",
    "text",
    "word",
    "exact",
    "gram",
    "cased",
    "uncased",
    "prefix",
    "substring",
    "suffix",
    "exact-terminator",
    "gram-size",
    "max-length",
    "max-occurrences",
    "max-token-length",
})
"""Settings of ``match``. Source: SchemaParser.jj, matchItem, Vespa 8.700.24."""

RANK_WORDS = frozenset({"filter", "literal", "normal"})
"""Settings of ``rank`` in a field. Source: SchemaParser.jj, rankSetting, Vespa 8.700.24."""


def setting_fault(text: str, known: AbstractSet[str]) -> str:
    """Return why a text is no setting of a field such as ``enable-bm25``, or an empty text."""
    if GRAPH_SETTING.fullmatch(text) and "hnsw" in known:
        return ""
    match = SETTING.fullmatch(text)
    if match is None or match[1] not in known:
        return f"expected one of {', '.join(sorted(known))}, got {text[:80]!r}"
    word, value = match.groups()
    kind = VALUES.get(word)
    if kind is None and value is not None:
        return f"{word}: expected no value, got {text[:80]!r}"
    if kind is not None and not KINDS[kind].fullmatch(value or ""):
        return f"{word}: expected {kind} behind a colon, got {text[:80]!r}"
    return "" if text.isprintable() else f"expected one line, got {text[:80]!r}"
