"""Vespa's chunkers: a text cut into pieces that hold all of it.

Differs: what is a letter is asked of Python's Unicode tables, which are newer than those of the
Java that Vespa runs on; characters that came to Unicode in between may be cut at other places.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator

from vespa_colbert.errors import SchemaSyntaxError

__all__ = ["DEFAULT_LENGTH", "Chunk", "chunker", "fixed_length_chunks", "is_blank", "sentences"]

Chunk = Callable[[str], list[str]]
"""Text → its chunks, in order."""

DEFAULT_LENGTH = 1000
"""Characters of a chunk where a statement says none. Source: FixedLengthChunker, Vespa 8.700.24."""

CJK_BRACKETS = frozenset(map(chr, range(0x3008, 0x3012)))
SENTENCE_ENDS = frozenset(".!?\u061f\u0964\u0965\u1362\u203d\u2e2e\u3002\uff01\uff1f\uff61")
LETTERS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Mn", "Mc", "Me"})
NOT_BREAKING = frozenset("\u00a0\u2007\u202f")


def chunker(name: str, arguments: tuple[str, ...]) -> Chunk:
    """Return the chunker that an indexing statement names.

    Args:
        name: Its id: ``fixed-length`` or ``sentence``.
        arguments: What stands behind the id.

    Raises:
        SchemaSyntaxError: If it is another one, or the arguments are not understood.

    Source: ApplicationContainerCluster, FixedLengthChunker.chunk, Vespa 8.700.24.
    """
    if name == "sentence" and not arguments:
        return sentences
    if name == "fixed-length" and len(arguments) < 2:
        length = int(arguments[0]) if arguments and arguments[0].isdecimal() else 0
        if not arguments or length:
            return lambda text: fixed_length_chunks(text, length or DEFAULT_LENGTH)
    asked = " ".join((name, *arguments))
    raise SchemaSyntaxError(
        f"chunk {asked}: expected fixed-length with a number of characters, or sentence; other "
        "chunkers run in Vespa alone"
    )


def fixed_length_chunks(text: str, length: int) -> list[str]:
    """Return chunks of about equal length, cut where words end.

    Args:
        text: Any text.
        length: Characters that a chunk is to have at most; up to 10 % more are taken.

    Source: FixedLengthChunker, Vespa 8.700.24: the number of chunks is counted in UTF-16 units and
    their length in characters; the language is never known there, so that nothing is taken for CJK.
    """
    ratio = len(text.encode("utf-16-le")) / 2 / length
    target = math.ceil(ratio / math.ceil(ratio) * length) if text else 0
    soft, hard = (math.floor(target * most + 0.5) for most in (1.05, 1.10))
    chunks, start = [], 0
    for place in range(len(text)):
        size = place + 1 - start
        if size < target:
            continue
        if size < soft:
            ends = not _is_letter(text, place) and not _is_letter(text, place + 1)
        else:
            ends = size >= hard or not _is_letter(text, place)
        if ends:
            chunks.append(text[start : place + 1])
            start = place + 1
    return [*chunks, text[start:]] if start < len(text) else chunks


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each with the marks that end it.

    Source: SentenceChunker, Vespa 8.700.24.
    """
    ends = list(_sentence_ends(text))
    starts = [0, *ends]
    return [
        text[start:end]
        for start, end in zip(starts, [*ends, len(text)], strict=True)
        if start < end
    ]


def is_blank(text: str) -> bool:
    """Return whether Vespa embeds nothing of a text: it is empty, or all whitespace to Java.

    Source: EmbedExpression, Vespa 8.700.24; Character.isWhitespace.
    """
    return all(map(_is_java_space, text))


def _is_java_space(character: str) -> bool:
    if character in NOT_BREAKING:
        return False
    is_separator = unicodedata.category(character) in {"Zs", "Zl", "Zp"}
    return is_separator or character in "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"


def _sentence_ends(text: str) -> Iterator[int]:
    """Yield the place behind each sentence that has a letter or symbol and is ended by a mark."""
    has_content = False
    for place, character in enumerate(text):
        following = text[place + 1 : place + 2] or "\0"
        is_end = character in SENTENCE_ENDS
        if has_content and is_end and following not in SENTENCE_ENDS:
            yield place + 1
            has_content = False
        else:
            has_content |= _is_letter(text, place) or unicodedata.category(character) == "So"


def _is_letter(text: str, place: int) -> bool:
    """Return whether there is a letter, digit or mark at a place; behind the end there is none.

    Source: CharacterClasses.isLetterOrDigit, Vespa 8.700.24.
    """
    if place >= len(text):
        return False
    return text[place] in CJK_BRACKETS or unicodedata.category(text[place]) in LETTERS
