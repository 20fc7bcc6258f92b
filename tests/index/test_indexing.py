from __future__ import annotations

import pytest

from vespa_colbert.errors import SchemaSyntaxError
from vespa_colbert.index.indexing import read_embed_statement


@pytest.mark.parametrize(
    ("indexing", "component", "text"),
    [
        ("input text | embed colbert | attribute", "colbert", "body"),
        ("input text | embed | attribute | index", None, "body"),
        (
            '(input title || "") . " " . (input text || "") | embed colbert | attribute',
            "colbert",
            " body",
        ),
        ('"passage: " . input text | embed c | attribute;', "c", "passage: body"),
    ],
)
def test_the_embedded_text_is_read_from_the_statement(
    indexing: str, component: str | None, text: str
) -> None:
    statement = read_embed_statement(indexing, "here")

    assert statement is not None
    assert statement.component == component
    assert statement.text({"text": "body"}) == text


def test_nothing_is_embedded_where_a_field_is_absent() -> None:
    statement = read_embed_statement("input text | embed colbert | attribute", "here")

    assert statement is not None
    assert statement.text({"title": "x"}) is None


def test_a_statement_without_embed_embeds_nothing() -> None:
    assert read_embed_statement("index | summary", "here") is None


@pytest.mark.parametrize(
    "indexing",
    [
        "input text | lowercase | embed colbert | attribute",
        "input text | embed colbert context | attribute",
        "input a || input b | embed colbert | attribute",
        "for_each { embed } | attribute",
        "input text | chunk fixed-length 1024 | embed colbert | attribute",
        "input text | attribute | embed colbert",
    ],
)
def test_what_is_not_understood_is_an_error_and_never_another_text(indexing: str) -> None:
    with pytest.raises(SchemaSyntaxError, match=r"here: .*not understood"):
        read_embed_statement(indexing, "here")
