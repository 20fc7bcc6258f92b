"""What a schema may say without any bearing on ranking, each with the reason why it has none."""

from __future__ import annotations

from typing import Any

from vespa_colbert.app.source import Source

__all__ = ["PASSED_OVER", "is_passed_over", "pass_over"]

OTHER_NAME = "another name that queries may use; what it names is ranked as before"
QUERY_ONLY = "said to those who write queries; a content node does not read it"
SORTED = "orders hits by a field's value, when a query asks for that instead of a score"
SHOWN = "how the field is shown in a hit"

PASSED_OVER = {
    "schema": {
        "documentid": "where a document's id is kept",
        "annotation": "a type of marks in texts; no rank feature reads one",
    },
    "document": {
        "annotation": "a type of marks in texts; no rank feature reads one",
    },
    "field": {
        "alias": OTHER_NAME,
        "bolding": SHOWN,
        "dictionary": "how the words of an attribute are looked up when documents are matched",
        "id": "the number that stands for the field's name when documents are sent",
        "map": "how the keys of a map are looked up when documents are matched",
        "query-command": QUERY_ONLY,
        "sorting": SORTED,
        "summary-to": SHOWN,
        "weightedset": "what an update does to an element that is not there, or weighs nothing",
    },
    "struct-field": {
        "query-command": QUERY_ONLY,
        "summary-to": SHOWN,
    },
    "attribute": {
        "alias": OTHER_NAME,
        "enable-bit-vectors": "nothing any more",
        "sorting": SORTED,
    },
    "fieldset": {
        "query-command": QUERY_ONLY,
    },
    "rank-profile": {},
}
"""Block → setting in it → why it changes no score.

Source: SchemaParser.jj and RawRankProfile, Vespa 8.700.24.
"""


def is_passed_over(word: Any, block: str) -> bool:
    """Return whether a setting of a block changes no score."""
    return str(word) in PASSED_OVER.get(block, {})


def pass_over(source: Source, tree: Any, block: str) -> None:
    """Return nothing for a setting that changes no score.

    Args:
        source: The file.
        tree: What stands in it; the setting's word comes first.
        block: The block that it stands in.

    Raises:
        SchemaSyntaxError: For any other.
    """
    word = tree.children[0]
    if not is_passed_over(word, block):
        raise source.error(word, f"{word} in {block} is not known and may bear on ranking")
