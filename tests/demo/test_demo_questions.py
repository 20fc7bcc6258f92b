"""The demo's questions: well formed, of this reference, and spread over it."""

import json
import re
from collections import Counter
from importlib.resources import files
from pydoc_data.topics import topics

from vespa_colbert.demo.corpus import demo_passages
from vespa_colbert.demo.questions import demo_questions


def test_there_are_enough_questions_on_enough_topics() -> None:
    questions = demo_questions()
    assert len(questions) >= 48
    assert len({topic for question in questions for topic in question.topics}) >= 35


def test_the_file_is_plain_lines_of_json() -> None:
    raw = files("vespa_colbert.demo").joinpath("questions.jsonl").read_bytes()
    assert raw.endswith(b"}\n")
    assert b"\r" not in raw
    assert not raw.startswith(b"\xef\xbb\xbf")
    rows = [json.loads(line) for line in raw.decode("utf-8").splitlines()]
    assert all(list(row) == ["_id", "text", "topics"] for row in rows)
    assert [row["_id"] for row in rows] == [f"q{n:02d}" for n in range(1, len(rows) + 1)]


def test_no_question_is_asked_twice() -> None:
    texts = Counter(question.text.casefold() for question in demo_questions())
    assert texts.most_common(1)[0][1] == 1


def test_every_judged_topic_is_in_the_reference_of_this_python() -> None:
    for question in demo_questions():
        assert question.topics, question.id
        assert set(question.topics) <= set(topics), question.id
        assert list(question.topics) == sorted(set(question.topics)), question.id


def test_a_section_that_answers_brings_the_topics_that_are_all_of_it() -> None:
    """Whoever judges a topic good must judge a topic good that has the same whole text."""
    passages = demo_passages()
    whole = {
        topic: {passage.topics for passage in passages if topic in passage.topics}
        for question in demo_questions()
        for topic in question.topics
    }
    for question in demo_questions():
        for topic in question.topics:
            always = set.intersection(*(set(names) for names in whole[topic]))
            assert always <= set(question.topics), (question.id, topic)


def test_no_question_repeats_the_reference() -> None:
    """Six words in a row from the reference would hand the answer to bm25."""
    six_words: set[tuple[str, ...]] = set()
    for passage in demo_passages():
        words = re.findall(r"\w+", passage.text.casefold())
        six_words.update(zip(*(words[start:] for start in range(6)), strict=False))
    for question in demo_questions():
        words = re.findall(r"\w+", question.text.casefold())
        asked = set(zip(*(words[start:] for start in range(6)), strict=False))
        assert not asked & six_words, question.id
