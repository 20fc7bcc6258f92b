"""The demo's corpus: the Python language reference that every CPython carries, cut into passages.

``pydoc_data.topics`` holds some eighty topics and 65 000 words. Many topics are sections of larger
ones (``for`` of ``compound``, ``customization`` of ``specialnames``): about 53 000 words stand
there once. A section is cut the same way wherever it stands, so that its copies come out as equal
passages; equal passages become one, which names every topic it belongs to.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path

from vespa_colbert.errors import CollectionError
from vespa_colbert.files import atomic_file

__all__ = [
    "Passage",
    "collapse_to_topics",
    "cut_topic",
    "demo_passages",
    "merge_copies",
    "write_corpus",
]

AIM_WORDS = 33
"""A passage's wanted length. Most paragraphs are longer and stay whole, so that the mean is 49; a
longer aim leaves fewer than a thousand passages on CPython 3.11, whose reference is the shortest.
"""
LEAST_WORDS = 20
"""A shorter section is joined to the next one; a shorter passage is avoided, see SHORT_COST."""
SHORT_COST = 30.0**2
"""A passage below the least costs as much as missing the aim by 30 more."""
INDENT_COST = 10.0**2
"""A passage that starts below a definition or list item costs as much as missing the aim by 10."""
CODE_INDENT = 3
"""Spaces by which Sphinx's text writer indents a code block below the text before it."""

UNDERLINE = re.compile(r"([*=~^\-])\1{2,}")
TABLE_LINE = re.compile(r" *[+|][-=+|]+[+|]")
ITEM = re.compile(r"\* +|\d+\. +|\[\d+\] +")
RUBRIC = re.compile(r"-\[ (.+) \]-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A self-contained piece of the reference.

    Attributes:
        id: The narrowest topic that has it and its number there: ``for#2``.
        title: Heading of that topic, then what the passage stands under, where that says more.
        text: Whole paragraphs, between empty lines, as the reference prints them.
        topic: The narrowest of ``topics``.
        topics: Every topic that has this text, narrowest first.
    """

    id: str
    title: str
    text: str
    topic: str
    topics: tuple[str, ...]


class _Kind(Enum):
    """What a piece of a topic is."""

    HEADING = auto()
    TEXT = auto()
    TABLE_HEAD = auto()
    TABLE_ROW = auto()


TABLE = frozenset({_Kind.TABLE_HEAD, _Kind.TABLE_ROW})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Lines that are never cut: a heading, a paragraph or a row of a table.

    Attributes:
        kind: Which of them.
        text: The lines, indented as in the reference.
        under: The definition whose indented body it belongs to; empty if none.
        is_held: Whether it stays with the piece before it.
    """

    kind: _Kind
    text: str
    under: str = ""
    is_held: bool = False

    @property
    def indent(self) -> int:
        """Return the spaces before the first line."""
        return _indent(self.text)

    @property
    def introduces(self) -> bool:
        """Return whether it announces what comes next."""
        return self.text.endswith(":")

    @property
    def code_indent(self) -> int:
        """Return the spaces before code that it introduces."""
        item = ITEM.match(self.text.lstrip())
        return self.indent + (len(item[0]) if item else 0) + CODE_INDENT

    @property
    def term(self) -> str:
        """Return what it defines: its first line, if that line is no sentence; else nothing."""
        first, *more = self.text.split("\n")
        if ITEM.match(first.lstrip()) or self.kind in TABLE or first.endswith((".", ":")):
            return ""
        is_signature = not self.text.endswith(".") and all(
            _indent(line) == self.indent for line in more
        )
        is_defined_term = bool(more) and _indent(more[0]) > self.indent
        return first.strip() if is_signature or is_defined_term else ""


def demo_passages() -> list[Passage]:
    """Return the passages of this interpreter's language reference, ordered by topic.

    A text that several topics share is there once (see ``Passage.topics``). The reference differs a
    little between versions of Python, and with it the passages and every figure of the demo.

    Raises:
        CollectionError: If this Python was installed without its ``pydoc_data``.
    """
    try:
        return list(_passages())
    except ImportError as error:
        raise CollectionError(
            "pydoc_data.topics: expected the language reference of this Python, found none; "
            "use a Python with its whole standard library"
        ) from error


@lru_cache(maxsize=1)
def _passages() -> tuple[Passage, ...]:
    """Return the passages, cut once in a process: half a second."""
    from pydoc_data.topics import topics

    return tuple(merge_copies({name: cut_topic(name, text) for name, text in topics.items()}))


def write_corpus(path: Path) -> None:
    """Write the passages as JSON lines in BEIR's form, with ``topic`` and ``topics`` added.

    Raises:
        OutputError: If ``path`` cannot be written; nothing stands under that name then.
    """
    with atomic_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as stream:
        for passage in demo_passages():
            row = {
                "_id": passage.id,
                "title": passage.title,
                "text": passage.text,
                "topic": passage.topic,
                "topics": list(passage.topics),
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def collapse_to_topics(
    scores: Mapping[str, float], passages: Sequence[Passage]
) -> list[tuple[str, float]]:
    """Return topics, best first, each with the score of its best passage.

    A passage that several topics share counts for each of them. Equal scores are ordered by name.

    Args:
        scores: Passage id → score, of the passages that were ranked.
        passages: Every passage those ids may name.

    Raises:
        CollectionError: If an id names no passage, or a score is not a number.
    """
    topics_of = {passage.id: passage.topics for passage in passages}
    for identifier, score in scores.items():
        if identifier not in topics_of or math.isnan(score):
            raise CollectionError(
                f"{identifier!r}: expected the id of one of {len(topics_of)} passages and a score, "
                f"got {score!r}; were other passages ranked?"
            )
    best: dict[str, float] = {}
    for identifier, score in scores.items():
        for topic in topics_of[identifier]:
            best[topic] = max(score, best.get(topic, score))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))


def merge_copies(cut: Mapping[str, Sequence[Passage]]) -> list[Passage]:
    """Return the passages of all topics with equal texts joined into one.

    The one that stays is the narrowest topic's: that with the fewest passages, then the first name.

    Args:
        cut: Topic → its passages.
    """
    kept: dict[str, Passage] = {}
    for topic in sorted(cut, key=lambda name: (len(cut[name]), name)):
        for passage in cut[topic]:
            key = " ".join(passage.text.split())
            first = kept.setdefault(key, passage)
            if topic not in first.topics:
                kept[key] = replace(first, topics=(*first.topics, topic))
    return sorted(kept.values(), key=lambda passage: (passage.topic, int(passage.id.split("#")[1])))


def cut_topic(topic: str, text: str) -> list[Passage]:
    """Return the passages of one topic, copies of other topics' passages included.

    Cuts fall between paragraphs or between the rows of a table. A heading stays with what follows
    it; a definition, a list item or a line ending with a colon with the indented text or code after
    it. Lines that only draw (below headings, around tables) are left out; every word is kept.

    Args:
        topic: Name of the topic, for ids.
        text: The topic as ``pydoc_data`` has it.
    """
    passages: list[Passage] = []
    main = ""
    for section in _sections(text):
        headings = [_heading(piece) for piece in section if piece.kind is _Kind.HEADING]
        main = main or (headings or [topic])[0]
        for run in _runs(section):
            above = (main, *headings[-1:], run[0].under)
            passages.append(
                Passage(
                    id=f"{topic}#{len(passages)}",
                    title=": ".join(dict.fromkeys(part for part in above if part)),
                    text=textwrap.dedent(_printed(run)),
                    topic=topic,
                    topics=(topic,),
                )
            )
    return passages


def _sections(text: str) -> list[list[_Piece]]:
    """Return the pieces of each section; one too short to stand alone opens the next one."""
    sections: list[list[_Piece]] = []
    for kind, lines in _paragraphs(text):
        if not sections or (kind is _Kind.HEADING and _words(sections[-1]) >= LEAST_WORDS):
            sections.append([])
        section = sections[-1]
        section.append(_placed(kind, "\n".join(lines), section))
    return sections


def _placed(kind: _Kind, text: str, before: Sequence[_Piece]) -> _Piece:
    """Return the piece, knowing what it stands under and whether it stays with the one before.

    Args:
        kind: What the lines are.
        text: The lines.
        before: The pieces of its section so far.
    """
    piece = _Piece(kind=kind, text=text)
    if not before or kind is _Kind.HEADING:
        return replace(piece, is_held=bool(before))
    above = next((other for other in reversed(before) if other.indent < piece.indent), None)
    if above is None:
        return replace(piece, is_held=_is_held(piece, before[-1], above))
    return replace(piece, under=above.term, is_held=_is_held(piece, before[-1], above))


def _is_held(piece: _Piece, last: _Piece, above: _Piece | None) -> bool:
    """Return whether a paragraph or row would make no sense apart from the one before it.

    Args:
        piece: The paragraph or row.
        last: The piece before it.
        above: The last piece with less indent, if any.
    """
    if last.kind in {_Kind.HEADING, _Kind.TABLE_HEAD} or last.introduces:
        return True
    if piece.kind is not _Kind.TEXT:
        return False
    is_more_code = above is not None and above.introduces and piece.indent == above.code_indent
    ends_sentence = last.indent > piece.indent and piece.text.lstrip()[0].islower()
    return last.indent < piece.indent or is_more_code or (ends_sentence and not piece.term)


def _paragraphs(text: str) -> Iterator[tuple[_Kind, list[str]]]:
    """Yield kind and lines of every heading, paragraph and table row, drawn lines left out."""
    for block in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        lines = block.split("\n")
        if TABLE_LINE.fullmatch(lines[0]):
            yield from _rows(lines)
        elif len(lines) == 2 and UNDERLINE.fullmatch(lines[1]):
            yield _Kind.HEADING, lines[:1]
        elif RUBRIC.fullmatch(block):
            yield _Kind.HEADING, lines
        elif block.strip() and not UNDERLINE.fullmatch(block):
            yield _Kind.TEXT, lines


def _rows(lines: Sequence[str]) -> Iterator[tuple[_Kind, list[str]]]:
    """Yield the rows of a table drawn with lines between its rows."""
    kind, row = _Kind.TABLE_HEAD, list[str]()
    for line in lines:
        if not TABLE_LINE.fullmatch(line):
            row.append(line)
        elif row:
            yield kind, row
            kind, row = _Kind.TABLE_ROW, []
    if row:
        yield kind, row


def _runs(section: Sequence[_Piece]) -> list[list[_Piece]]:
    """Return the section cut into runs so that the sum of their costs is least."""
    units: list[list[_Piece]] = []
    for piece in section:
        if piece.is_held:
            units[-1].append(piece)
        else:
            units.append([piece])
    # best[end]: least cost of the units before end, and the runs that cost it, by their bounds
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, (0,))]
    for end in range(1, len(units) + 1):
        ways = (
            (best[start][0] + _cost(units[start:end]), (*best[start][1], end))
            for start in range(end)
        )
        best.append(min(ways))
    return [list(chain(*units[start:end])) for start, end in pairwise(best[-1][1])]


def _cost(units: Sequence[Sequence[_Piece]]) -> float:
    """Return how far a passage of these units is from what is wanted."""
    words = sum(map(_words, units))
    short = SHORT_COST if words < LEAST_WORDS else 0.0
    return (words - AIM_WORDS) ** 2 + short + (INDENT_COST if units[0][0].indent else 0.0)


def _printed(run: Sequence[_Piece]) -> str:
    """Return the pieces as one text: rows of a table on consecutive lines, else empty lines."""
    text = run[0].text
    for before, piece in pairwise(run):
        in_table = before.kind in TABLE and piece.kind is _Kind.TABLE_ROW
        text += ("\n" if in_table else "\n\n") + piece.text
    return text


def _words(pieces: Sequence[_Piece]) -> int:
    """Return the number of words between white space."""
    return sum(len(piece.text.split()) for piece in pieces)


def _heading(piece: _Piece) -> str:
    """Return the words of a heading."""
    rubric = RUBRIC.fullmatch(piece.text)
    return rubric[1] if rubric else piece.text.strip()


def _indent(text: str) -> int:
    """Return the spaces before the first line."""
    return len(text) - len(text.lstrip(" "))
