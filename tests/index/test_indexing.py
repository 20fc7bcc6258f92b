from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.vespa_java.tiny_package import (
    DIM,
    WORDS,
    embedding_table,
    write_embedder,
    write_embedder_package,
)
from vespa_colbert.app.reader import read_schema
from vespa_colbert.errors import CollectionError, SchemaSyntaxError
from vespa_colbert.index import Feed, FeedFields, read_corpus
from vespa_colbert.index.embedding import derived_texts, embedded_passages
from vespa_colbert.index.indexing import read_embed_statement
from vespa_colbert.vespa_java import VespaJava

TO_CONTEXTS = "| embed colbert context | attribute"


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
    assert statement.texts({"text": "body"}) == [text]


@pytest.mark.parametrize(
    ("indexing", "text"),
    [
        ('input contexts | join ", " | embed colbert | attribute', "one, , two"),
        (
            '(input title || "") . ": " . (input contexts | join " ") | embed colbert | attribute',
            "Red: one  two",
        ),
        ('(input contexts | join "") . "." | embed colbert | attribute', "onetwo."),
    ],
)
def test_a_list_is_joined_to_one_text(indexing: str, text: str) -> None:
    statement = read_embed_statement(indexing, "here")

    assert statement is not None
    assert statement.texts({"title": "Red", "contexts": ["one", "", "two"]}) == [text]
    assert statement.texts({"title": "Red"}) is None
    with pytest.raises(CollectionError, match="expected a list of texts, got a text 'one'"):
        statement.texts({"title": "Red", "contexts": "one"})


def test_nothing_is_embedded_where_a_field_is_absent() -> None:
    statement = read_embed_statement("input text | embed colbert | attribute", "here")

    assert statement is not None
    assert statement.texts({"title": "x"}) is None
    assert statement.passages({"title": "x"}) == {}


def test_a_statement_without_embed_embeds_nothing() -> None:
    assert read_embed_statement("index | summary", "here") is None


@pytest.mark.parametrize(
    "indexing",
    [
        "input text | lowercase | embed colbert | attribute",
        "input a || input b | embed colbert | attribute",
        "for_each { embed } | attribute",
        "input text | chunk fixed-length 1024 | embed colbert | attribute",
        "input text | attribute | embed colbert",
        "input text | chunk semantic | embed colbert context | attribute",
        "input text | chunk fixed-length 0 | embed colbert context | attribute",
        "input text | chunk | embed colbert context | attribute",
        "input texts | for_each { lowercase } | embed colbert context | attribute",
        "input texts | for_each { _ } | embed colbert | attribute",
        "input texts | embed colbert context more | attribute",
        "input texts | join | embed colbert | attribute",
        'input title . input texts | join " " | embed colbert | attribute',
        'input texts | lowercase | join " " | embed colbert | attribute',
        '(input texts | lowercase) . "." | embed colbert | attribute',
    ],
)
def test_what_is_not_understood_is_an_error_and_never_another_text(indexing: str) -> None:
    with pytest.raises(SchemaSyntaxError, match=r"here: .*not understood"):
        read_embed_statement(indexing, "here")


@pytest.mark.parametrize(
    ("indexing", "passages"),
    [
        ("input contexts | embed colbert context | attribute", {0: "one", 3: "two"}),
        (
            f'input contexts | for_each {{ (input title || "") . ": " . _ }} {TO_CONTEXTS}',
            {0: "Red: one", 1: "Red: ", 2: "Red:  \t", 3: "Red: two"},
        ),
        ("input text | chunk sentence | embed colbert context | attribute", {0: "A b.", 1: " C!"}),
        (
            f'input text | chunk fixed-length 4 | for_each {{ "-" . _ }} {TO_CONTEXTS}',
            {0: "-A b.", 1: "- C!"},
        ),
    ],
)
def test_a_list_is_embedded_element_by_element_and_blank_ones_are_left_out(
    indexing: str, passages: dict[int, str]
) -> None:
    statement = read_embed_statement(indexing, "here")

    assert statement is not None
    assert statement.dimension == "context"
    document = {"title": "Red", "text": "A b. C!", "contexts": ["one", "", " \t", "two"]}
    assert statement.passages(document) == passages


def test_a_list_where_a_text_is_embedded_is_an_error_and_so_is_the_other_way_round() -> None:
    one = read_embed_statement("input contexts | embed colbert | attribute", "here")
    several = read_embed_statement("input text | embed colbert context | attribute", "here")

    assert one is not None
    assert several is not None
    with pytest.raises(CollectionError, match="expected a text, got a list of 2"):
        one.texts({"contexts": ["a", "b"]})
    with pytest.raises(CollectionError, match="expected a list of texts, got a text 'a'"):
        several.texts({"text": "a"})


WITH_TITLE = '(input title || "") . " " . (input text || "")'
EACH_WITH_TITLE = 'input contexts | for_each { (input title || "") . " " . _ }'
EMPTY = f"""
schema doc {{
    document doc {{
        field title type string {{ indexing: index | summary }}
        field text type string {{ indexing: index | summary }}
        field contexts type array<string> {{ indexing: index }}
    }}
    field joined type string {{ indexing: {WITH_TITLE} | summary }}
    field listed type string {{ indexing: input contexts | join "-" | summary }}
    field whole type tensor<float>(token{{}},x[16]) {{
        indexing: {WITH_TITLE} | embed colbert | attribute
    }}
    field body type tensor<float>(token{{}},x[16]) {{
        indexing: input text | embed colbert | attribute
    }}
    field deep type tensor<float>(t{{}},token{{}},x[16]) {{
        indexing: {EACH_WITH_TITLE} | embed colbert t | attribute
    }}
}}
"""
"""What a generated schema embeds, and the same of a text alone."""

SPARSE: tuple[Mapping[str, object], ...] = (
    {"title": "red", "text": ""},
    {"title": "red", "text": " \t"},
    {"title": "red", "contexts": []},
    {"title": "red", "text": "", "contexts": ["", "green"]},
    {"title": "", "text": "green"},
    {"text": "green", "contexts": []},
    {"title": "red", "text": "green"},
)


@pytest.mark.java
def test_of_empty_fields_vespa_makes_the_same_texts_and_embeds_the_same(
    java: VespaJava, tmp_path: Path
) -> None:
    app = write_embedder_package(tmp_path / "app", write_embedder(tmp_path), "path")
    (app / "schemas" / "doc.sd").write_text(EMPTY, encoding="utf-8")
    lines = [json.dumps({"_id": f"d{at}", **each}) + "\n" for at, each in enumerate(SPARSE)]
    (tmp_path / "corpus.jsonl").write_text("".join(lines), encoding="utf-8")
    documents = read_corpus(tmp_path / "corpus.jsonl")
    schema = read_schema(app / "schemas" / "doc.sd")
    feed = Feed(documents=documents, fields=FeedFields.of_schema(schema, namespace="n"))

    judged = java.index_documents(app, [json.loads(each.line()) for each in feed.operations()])

    for document, found in zip(documents, judged, strict=True):
        derived = derived_texts(schema, document.fields)
        assert {name: found[name] for name in ("joined", "listed") if name in found} == derived
        for name in ("whole", "body", "deep"):
            passages = embedded_passages(schema, name, document.fields)
            # What is attended to is doubled. Of a blank text there is no tensor, of an empty list
            # one without cells: neither has a token vector.
            rows = [2 * embedding_table()[words_of(each)] for each in passages.values()]
            values = found[name].values if name in found else np.zeros((0, DIM))
            assert values.tolist() == np.concatenate([np.zeros((0, DIM)), *rows]).tolist()


def words_of(text: str) -> list[int]:
    """Return the numbers of the words of a text, as those of a document are marked."""
    return [WORDS.index(each) for each in ("[CLS]", "[D]", *text.split(), "[SEP]")]
