"""What an ``indexing:`` statement embeds: read from the schema, so that it is said in one place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeAlias

from vespa_colbert.errors import CollectionError, SchemaSyntaxError
from vespa_colbert.index.chunkers import Chunk, chunker, is_blank

__all__ = ["EmbedStatement", "TextFields", "read_embed_statement", "read_text_statement"]

TextFields: TypeAlias = Mapping[str, str | Sequence[str]]
"""Name of a field → its text, or its texts in order."""

TOKEN = re.compile(
    r'\s*(?:(\|\||[|.();{}])|("(?:[^"\\]|\\.)*")|([A-Za-z_][A-Za-z0-9_-]*)|([0-9]+))'
)
STORES = frozenset({"attribute", "index", "summary"})
ELEMENT = "_"
"""What the indexing language calls the element at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of a text that is put together.

    Attributes:
        field: Name of the document field, ``_`` for the element at hand, or ``None`` for a fixed
            text.
        text: The fixed text; for a field, what stands for it where it is absent (``None``: then
            there is no text at all).
        delimiter: Put between the texts of the field, which is a list; ``None``: it is not joined.
    """

    field: str | None
    text: str | None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedStatement:
    """An indexing statement that embeds, or one that only makes texts.

    Attributes:
        component: Id of the embedder, ``None`` where the statement names none.
        parts: What is put together, in order.
        chunk: What cuts that into chunks; ``None`` if nothing does.
        element: What is put together for each element of a list; empty for the element alone.
        dimension: The dimension whose labels are the places in that list; empty for a single text.
        is_embedded: Whether it embeds.
    """

    component: str | None
    parts: tuple[Part, ...]
    chunk: Chunk | None = None
    element: tuple[Part, ...] = ()
    dimension: str = ""
    is_embedded: bool = True

    def texts(self, fields: TextFields) -> list[str] | None:
        """Return the texts that a document gives; ``None`` if a field is absent.

        Args:
            fields: The document.

        Raises:
            CollectionError: If a list is put together with texts, or stands where one text is to,
                or the other way round.

        Source: CatExpression, JoinExpression, ForEachExpression, ChunkExpression, Vespa 8.700.24.
        """
        source = _put_together(self.parts, fields)
        if source is None:
            return None
        is_list = not isinstance(source, str)
        if self.chunk is not None:
            source = self.chunk(_one_text(source))
        elif (self.dimension or self.element) and not is_list:
            raise CollectionError(f"expected a list of texts, got a text {source!r:.40}")
        elif not (self.dimension or self.element):
            return list(source) if is_list and not self.is_embedded else [_one_text(source)]
        if not self.element:
            return list(source)
        made = (_put_together(self.element, {**fields, ELEMENT: each}) for each in source)
        return [_one_text(each) for each in made if each is not None]

    def passages(self, fields: TextFields) -> dict[int, str]:
        """Return the texts that are embedded for a document, each by its place; blank ones are not.

        Args:
            fields: The document.

        Raises:
            CollectionError: As ``texts``.

        Source: EmbedExpression, Vespa 8.700.24.
        """
        texts = self.texts(fields) or []
        return {place: text for place, text in enumerate(texts) if not is_blank(text)}


def read_embed_statement(indexing: str, where: str) -> EmbedStatement | None:
    """Return what an indexing statement embeds, or ``None`` if it embeds nothing.

    Read are ``input FIELD``, ``(input FIELD || "text")``, ``(input FIELD | join "text")``, texts,
    and these put together by dots, then ``| join "text"`` behind a single field, ``| chunk ID
    LENGTH`` and ``| for_each { … }`` where there, ``| embed ID DIMENSION`` and where it is stored.

    Args:
        indexing: The statement, as in ``input text | embed colbert | attribute``.
        where: Names the field in an error.

    Raises:
        SchemaSyntaxError: If it embeds in a way that is not understood.

    Source: IndexingParser.jj, Vespa 8.700.24.
    """
    if not re.search(r"\bembed\b", indexing):
        return None
    return _read(indexing, where, is_embedded=True)


def read_text_statement(indexing: str, where: str) -> EmbedStatement | None:
    """Return what an indexing statement makes of other fields, or ``None`` if it names none.

    Args:
        indexing: The statement, as in ``input text | chunk sentence | summary``.
        where: Names the field in an error.

    Raises:
        SchemaSyntaxError: If it makes it in a way that is not understood.
    """
    if not re.search(r"\binput\b", indexing):
        return None
    return _read(indexing, where, is_embedded=False)


def _read(indexing: str, where: str, *, is_embedded: bool) -> EmbedStatement:
    """Return a statement.

    Raises:
        SchemaSyntaxError: If it is none of the forms read.
    """
    steps = _split(_tokens(indexing, where), "|")
    stored = [*takewhile(lambda step: len(step) == 1 and step[0] in STORES, reversed(steps))]
    steps = steps[: len(steps) - len(stored)]
    embed = steps.pop() if is_embedded and steps[-1][0] == "embed" else []
    bad = SchemaSyntaxError(_not_understood(indexing, where))
    if is_embedded != bool(embed) or not steps or not 0 <= len(embed) <= 3:
        raise bad
    source, *others = steps
    if others and others[0][0] == "join":
        source = ["(", *source, "|", *others.pop(0), ")"]
    parts = tuple(_part(piece, bad) for piece in _split(source, "."))
    chunk = _chunk(others.pop(0), where) if others and others[0][0] == "chunk" else None
    element = _element(others.pop(0), bad) if others and others[0][0] == "for_each" else ()
    dimension = embed[2] if len(embed) == 3 else ""
    if others or (is_embedded and (element or chunk) and not dimension):
        raise bad
    return EmbedStatement(
        component=embed[1] if len(embed) > 1 else None,
        parts=parts,
        chunk=chunk,
        element=element,
        dimension=dimension,
        is_embedded=is_embedded,
    )


def _chunk(step: list[str], where: str) -> Chunk:
    """Return the chunker that a step names.

    Raises:
        SchemaSyntaxError: If it is not known here.
    """
    try:
        return chunker(step[1] if len(step) > 1 else "", tuple(step[2:]))
    except SchemaSyntaxError as error:
        raise SchemaSyntaxError(f"{where}: {error}; its texts are not understood") from None


def _element(step: list[str], bad: SchemaSyntaxError) -> tuple[Part, ...]:
    """Return what is put together for each element.

    Raises:
        SchemaSyntaxError: If it is none of the forms read.
    """
    if step[1:2] != ["{"] or step[-1] != "}" or len(step) < 4:
        raise bad
    return tuple(
        Part(field=ELEMENT, text=None) if piece == [ELEMENT] else _part(piece, bad)
        for piece in _split(step[2:-1], ".")
    )


def _part(piece: list[str], bad: SchemaSyntaxError) -> Part:
    """Return one piece of the text.

    Raises:
        SchemaSyntaxError: If it is none of the forms read.
    """
    match piece:
        case [text] if text.startswith('"'):
            return Part(field=None, text=json.loads(text))
        case ["input", field]:
            return Part(field=field, text=None)
        case ["(", "input", field, "||", text, ")"] if text.startswith('"'):
            return Part(field=field, text=json.loads(text))
        case ["(", "input", field, "|", "join", text, ")"] if text.startswith('"'):
            return Part(field=field, text=None, delimiter=json.loads(text))
    raise bad


def _put_together(parts: tuple[Part, ...], fields: TextFields) -> str | Sequence[str] | None:
    """Return the text of some parts, or the list that a single part names; ``None`` for none."""
    pieces = []
    for part in parts:
        piece = part.text if part.field is None else fields.get(part.field, part.text)
        if piece is None:
            return None
        pieces.append(piece if part.delimiter is None else _joined(piece, part.delimiter))
    return pieces[0] if len(pieces) == 1 else "".join(map(_one_text, pieces))


def _joined(value: str | Sequence[str], delimiter: str) -> str:
    """Return the texts of a list with a delimiter between them.

    Raises:
        CollectionError: If it is a text.
    """
    if isinstance(value, str):
        raise CollectionError(f"expected a list of texts, got a text {value!r:.40}")
    return delimiter.join(value)


def _one_text(value: str | Sequence[str]) -> str:
    """Return a text.

    Raises:
        CollectionError: If it is a list.
    """
    if not isinstance(value, str):
        raise CollectionError(f"expected a text, got a list of {len(value)}")
    return value


def _tokens(indexing: str, where: str) -> list[str]:
    """Return the tokens of a statement.

    Raises:
        SchemaSyntaxError: At anything else.
    """
    tokens, place, text = [], 0, indexing.strip().rstrip(";")
    while place < len(text.rstrip()):
        if (match := TOKEN.match(text, place)) is None:
            raise SchemaSyntaxError(_not_understood(indexing, where))
        tokens.append(match[0].strip())
        place = match.end()
    return tokens


def _split(tokens: list[str], separator: str) -> list[list[str]]:
    """Return the parts between separators; those in parentheses are part of a part."""
    parts: list[list[str]] = [[]]
    depth = 0
    for each in tokens:
        depth += {"(": 1, ")": -1}.get(each, 0)
        if each == separator and not depth:
            parts.append([])
        else:
            parts[-1].append(each)
    return [part or [""] for part in parts]


def _not_understood(indexing: str, where: str) -> str:
    return (
        f"{where}: expected indexing such as 'input text | embed colbert | attribute', got "
        f"{indexing.strip()!r}; what is embedded there is not understood"
    )
