from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vespa_java.tiny_package import write_package
from vespa_colbert.index.chunkers import chunker, fixed_length_chunks, is_blank, sentences
from vespa_colbert.vespa_java import VespaJava

SCHEMA = """
schema doc {{
    document doc {{
        field text type string {{ indexing: index }}
    }}
    {fields}
}}
"""
LENGTHS = (1, 7, 20, 50, 1000)

TEXTS = [
    "",
    " ",
    "a",
    "Short.",
    "One sentence. Another one! A third? Yes... no?! 3.14 is pi. Done",
    "word " * 60,
    "no_separator_at_all" * 12,
    "Ends in two spaces.  And goes on;  with double  gaps  everywhere.  " * 4,
    "\u4e2d\u6587\u5b57\u7b26\u3002\u7b2c\u4e8c\u53e5\uff01\u300c\u5f15\u7528\u300d\u3002" * 9,
    "emoji \U0001f98a\U0001f98a! \U0001f600. \u2600. Symbols \u00a9. $. + . = !" * 3,
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643\u061f \u0646\u0639\u0645.  \u0968\u0969 \u0964 x"
    * 5,
    "combining e\u0301 a\u0300. \U0001d4d0\U0001d4d1 \U00010400.  \u0660\u0661 \u00bd \u2163." * 4,
    ". . . leading marks. ???. !",
    "tabs\tand\nnew\r\nlines.\n\nParagraph two.\n" * 6,
]


def test_a_chunk_ends_where_two_signs_are_no_letters() -> None:
    # 26 characters in chunks of 13: the first gap of two behind 13 is too far, a single one is not.
    assert fixed_length_chunks("aaaa bbbb cccc dddd eeee.", 13) == ["aaaa bbbb cccc", " dddd eeee."]
    assert fixed_length_chunks("abcdefghij", 100) == ["abcdefghij"]
    assert fixed_length_chunks("", 10) == []


def test_a_sentence_keeps_its_marks_and_needs_a_letter() -> None:
    assert sentences("A b! ... C?! d") == ["A b!", " ... C?!", " d"]


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_of_a_text_is_lost(text: str) -> None:
    assert "".join(sentences(text)) == text
    for length in LENGTHS:
        assert "".join(fixed_length_chunks(text, length)) == text


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("", True),
        (" \t\n\x1c\u2003\u3000", True),
        ("\u00a0", False),
        ("\u0085", False),
        (".", False),
    ],
)
def test_blank_is_what_java_calls_whitespace(text: str, *, blank: bool) -> None:
    assert is_blank(text) is blank


def test_a_chunker_without_a_length_takes_vespas() -> None:
    text = "word " * 900

    assert chunker("fixed-length", ())(text) == fixed_length_chunks(text, 1000)


@pytest.mark.java
def test_texts_are_cut_where_vespa_cuts_them(java: VespaJava, tmp_path: Path) -> None:
    asked = {"sentences": "sentence"}
    asked |= {f"chunks_{length}": f"fixed-length {length}" for length in LENGTHS}
    fields = "\n".join(
        f"field {name} type array<string> {{ indexing: input text | chunk {words} | summary }}"
        for name, words in asked.items()
    )
    app = write_package(tmp_path / "app", schema=SCHEMA.format(fields=fields))
    operations = [
        {"put": f"id:content:doc::{place}", "fields": {"text": text}}
        for place, text in enumerate(TEXTS)
    ]

    for text, judged in zip(TEXTS, java.index_documents(app, operations), strict=True):
        for name, words in asked.items():
            kind, *arguments = words.split()
            ours = chunker(kind, tuple(arguments))(text)
            assert ours == judged[name], json.dumps([text, words])
