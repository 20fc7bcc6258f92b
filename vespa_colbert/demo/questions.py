"""The demo's judged questions: what a Python programmer would ask, and the topics that answer.

Judged by topic: a topic counts if its text answers the question, whether or not that is what the
topic is about; sections that stand in several topics make all of those count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

__all__ = ["Question", "demo_questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question and who answers it.

    Attributes:
        id: ``q01`` and so on.
        text: As a Python programmer would ask it.
        topics: Every topic whose text answers it on each CPython from 3.11 to 3.13, by name.
    """

    id: str
    text: str
    topics: tuple[str, ...]


def demo_questions() -> list[Question]:
    """Return the judged questions that come with this package, in order."""
    text = files("vespa_colbert.demo").joinpath("questions.jsonl").read_text(encoding="utf-8")
    return [
        Question(id=row["_id"], text=row["text"], topics=tuple(row["topics"]))
        for row in map(json.loads, text.splitlines())
    ]
