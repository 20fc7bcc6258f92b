"""The demo's corpus: nothing lost, nothing twice, cut where a reader would cut."""

import builtins
import json
import re
import statistics
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

from vespa_colbert.demo.corpus import (
    Passage,
    _passages,
    collapse_to_topics,
    cut_topic,
    demo_passages,
    merge_copies,
    write_corpus,
)
from vespa_colbert.errors import CollectionError
from vespa_colbert.index.collection import read_corpus

TWO_SECTIONS = """\
The "rain" statement
********************

The "rain" statement makes every object in reach of the statement wet, in the
order in which the objects were made, and it goes on until someone stops it:

   rain_stmt ::= "rain" [expression]

   sun_stmt ::= "sun"

Rain that was stopped begins again from its first drop when it is asked for once
more, whatever the number of drops that had fallen before somebody stopped it.


Umbrellas
=========

sky.open(umbrella, *, wide=False)

   Hold the umbrella between the rain and the object that calls this method, so
   that the object stays as dry as it was before the rain had been started at all.

   Changed in version 9.9: An umbrella that is already open is no longer opened
   again; before that the second opening turned it inside out, and it stayed so.
"""

TABLE = """\
Cloud types
***********

+------+--------------------------------------------------------------+
| Name | What falls out of it, as far as anybody has seen until today |
|======|==============================================================|
| "st" | Drizzle that nobody notices before the evening of that day,  |
|      | and fog in the valleys that lie below it in the early hours  |
|      | of a cold and windless morning in the month of November      |
+------+--------------------------------------------------------------+
| "cb" | Hail, thunder and as much water as the street can carry off  |
|      | in an hour, or twice as much where the drains are stopped    |
|      | up with the leaves of the year before and no one sweeps them |
+------+--------------------------------------------------------------+
"""


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return demo_passages()


def words_of(text: str) -> list[str]:
    """Words of a topic, without the lines that only draw: below headings and around tables."""
    drawn = re.compile(r"\s*(\*{3,}|={3,}|-{3,}|~{3,}|\^{3,}|[+|][-=+|]{3,}[+|])\s*")
    return " ".join(line for line in text.split("\n") if not drawn.fullmatch(line)).split()


def test_every_topic_keeps_every_word_in_order() -> None:
    for name, text in topics.items():
        kept = " ".join(passage.text for passage in cut_topic(name, text)).split()
        assert kept == words_of(text), name


def test_every_piece_of_every_topic_is_in_a_passage_that_names_the_topic(
    passages: list[Passage],
) -> None:
    held = {" ".join(passage.text.split()): passage.topics for passage in passages}
    for name, text in topics.items():
        for piece in cut_topic(name, text):
            assert name in held[" ".join(piece.text.split())], piece.id


def test_there_are_a_thousand_passages_of_every_topic(passages: list[Passage]) -> None:
    assert len(passages) >= 1000
    assert {topic for passage in passages for topic in passage.topics} == set(topics)


def test_no_passage_is_nearly_empty_and_few_are_long(passages: list[Passage]) -> None:
    lengths = [len(passage.text.split()) for passage in passages]
    assert min(lengths) >= 10
    assert 40 <= statistics.mean(lengths) <= 60
    # A paragraph or a table row is never cut, and a handful of them are long.
    assert sum(length > 140 for length in lengths) <= len(lengths) // 50


def test_no_text_is_there_twice(passages: list[Passage]) -> None:
    texts = Counter(" ".join(passage.text.split()) for passage in passages)
    assert texts.most_common(1)[0][1] == 1


def test_ids_are_unique_and_name_the_first_topic(passages: list[Passage]) -> None:
    assert len({passage.id for passage in passages}) == len(passages)
    for passage in passages:
        assert re.fullmatch(re.escape(passage.topic) + r"#\d+", passage.id)
        assert passage.topics[0] == passage.topic
        assert len(set(passage.topics)) == len(passage.topics)
        assert passage.title


def test_a_shared_section_belongs_to_the_narrow_topic_and_names_the_wide_one(
    passages: list[Passage],
) -> None:
    loops = [passage for passage in passages if passage.topic == "while"]
    assert loops
    assert all(passage.topics == ("while", "compound") for passage in loops)
    assert loops[0].title == 'The "while" statement'
    assert loops[0].text.startswith('The "while" statement\n\nThe "while" statement is used for')


def test_a_heading_an_introduction_and_its_code_stay_together() -> None:
    first, *_ = cut_topic("rain", TWO_SECTIONS)
    assert first.text == TWO_SECTIONS.split("\n\nRain that", maxsplit=1)[0].replace(
        "*" * 20 + "\n", ""
    )


def test_a_section_is_never_mixed_with_the_next_and_titles_say_where_one_is() -> None:
    cut = cut_topic("rain", TWO_SECTIONS)
    assert [passage.title for passage in cut] == [
        'The "rain" statement',
        'The "rain" statement',
        'The "rain" statement: Umbrellas',
        'The "rain" statement: Umbrellas: sky.open(umbrella, *, wide=False)',
    ]
    assert [passage.id for passage in cut] == ["rain#0", "rain#1", "rain#2", "rain#3"]
    assert cut[2].text.startswith("Umbrellas\n\nsky.open(umbrella, *, wide=False)\n\n   Hold the")
    assert cut[3].text.startswith("Changed in version 9.9:")


def test_a_table_is_cut_between_rows_and_loses_only_its_frame() -> None:
    head, row = cut_topic("clouds", TABLE)
    lines = TABLE.split("\n")
    assert head.text == "\n".join(["Cloud types", "", lines[4], *lines[6:9]])
    assert row.text == "\n".join(lines[10:13])


def test_a_section_too_short_to_stand_alone_opens_the_next() -> None:
    text = "Weather\n*******\n\nSee below.\n\n\nRain\n====\n\n" + "It rains every day. " * 12 + "\n"
    (passage,) = cut_topic("weather", text)
    assert passage.title == "Weather: Rain"
    assert passage.text.startswith("Weather\n\nSee below.\n\nRain\n\nIt rains")


def test_copies_under_different_headings_and_indents_become_one_passage() -> None:
    part = "Sun\n" + "*" * 3 + "\n\n" + "The sun shines on every object of the program. " * 3 + "\n"
    whole = "Sky\n***\n\n" + "All that is above. " * 8 + "\n\n\n" + part.replace("***", "===")
    merged = merge_copies({"sky": cut_topic("sky", whole), "sun": cut_topic("sun", part)})
    assert [(passage.id, passage.title, passage.topics) for passage in merged] == [
        ("sky#0", "Sky", ("sky",)),
        ("sun#0", "Sun", ("sun", "sky")),
    ]


def test_the_corpus_file_is_read_back_as_documents_and_is_the_same_each_time(
    tmp_path: Path, passages: list[Passage]
) -> None:
    write_corpus(tmp_path / "a.jsonl")
    write_corpus(tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    documents = read_corpus(tmp_path / "a.jsonl")
    assert [(d.id, d.fields["title"], d.fields["text"]) for d in documents] == [
        (p.id, p.title, p.text) for p in passages
    ]
    row = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8").split("\n")[0])
    assert list(row) == ["_id", "title", "text", "topic", "topics"]


def test_no_control_character_reaches_the_feed(passages: list[Passage]) -> None:
    for passage in passages:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", passage.title + passage.text), passage.id


def test_a_python_without_its_reference_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__
    _passages.cache_clear()

    def without(name: str, *arguments: Any) -> Any:
        if name == "pydoc_data.topics":
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CollectionError, match="whole standard library"):
        demo_passages()


def passage(name: str, *shared: str) -> Passage:
    topic = name.split("#", maxsplit=1)[0]
    return Passage(id=name, title=topic, text="text", topic=topic, topics=(topic, *shared))


def test_a_topic_has_the_score_of_its_best_passage_and_ties_go_by_name() -> None:
    known = [passage("while#0", "compound"), passage("while#1"), passage("for#0"), passage("if#0")]
    scores = {"while#1": 1.0, "for#0": 2.5, "while#0": 2.5}
    assert collapse_to_topics(scores, known) == [("compound", 2.5), ("for", 2.5), ("while", 2.5)]
    assert collapse_to_topics({"while#1": -2.0, "while#0": -1.0}, known) == [
        ("compound", -1.0),
        ("while", -1.0),
    ]


@pytest.mark.parametrize("scores", [{"with#0": 1.0}, {"if#0": float("nan")}])
def test_a_score_of_no_passage_or_no_number_is_refused(scores: dict[str, float]) -> None:
    with pytest.raises(CollectionError, match=re.escape(next(iter(scores)))):
        collapse_to_topics(scores, [passage("if#0")])
