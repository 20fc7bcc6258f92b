from __future__ import annotations

import pytest

from vespa_colbert.app import Field, Schema
from vespa_colbert.app.field_settings import (
    ATTRIBUTE_WORDS,
    INDEX_WORDS,
    MATCH_WORDS,
    RANK_WORDS,
    VALUES,
    setting_fault,
)
from vespa_colbert.errors import SpecError

BLOCKS = {
    "index": INDEX_WORDS,
    "attribute": ATTRIBUTE_WORDS,
    "match": MATCH_WORDS,
    "rank": RANK_WORDS,
}


@pytest.mark.parametrize(
    ("block", "word"), [(block, word) for block, known in BLOCKS.items() for word in sorted(known)]
)
def test_a_setting_has_a_value_where_it_needs_one_and_none_elsewhere(block: str, word: str) -> None:
    assert bool(setting_fault(word, BLOCKS[block])) == (word in VALUES)
    with_values = [f"{word}: {value}" for value in ("some-name", "8", "0.5", '"@@"')]
    accepted = [text for text in with_values if not setting_fault(text, BLOCKS[block])]
    assert len(accepted) == (word in VALUES)


@pytest.mark.parametrize(
    "text", ["alias", "alias:", "alias: ", "alias: 8", "stemming", "arity: x", "lower-bound: 1.5"]
)
def test_a_setting_that_would_take_in_the_next_line_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"field 'a': index: .*expected"):
        Schema(
            name="doc",
            fields=(Field(name="a", type="string", indexing=("index",), index=(text, "prefix")),),
        )
