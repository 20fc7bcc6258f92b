"""What an ``indexing:`` statement embeds: read from the schema, so that it is said in one place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from vespa_colbert.errors import SchemaSyntaxError

__all__ = ["EmbedStatement", "read_embed_statement"]

TOKEN = re.compile(r'\s*(?:(\|\||[|.();])|("(?:[^"\\]|\\.)*")|([A-Za-z_][A-Za-z0-9_]*))')
STORES = frozenset({"attribute", "index", "summary"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of the embedded text.

    Attributes:
        field: Name of the document field, or ``None`` for a fixed text.
        text: The fixed text; for a field, what stands for it where it is absent (``None``: then
            nothing is embedded at all).
    """

    field: str | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedStatement:
    """An indexing statement that embeds.

    Attributes:
        component: Id of the embedder, ``None`` where the statement names none.
        parts: What is put together, in order.
    """

    component: str | None
    parts: tuple[Part, ...]

    def text(self, fields: Mapping[str, str]) -> str | None:
        """Return the text that is embedded for a document, ``None`` if a field is absent."""
        pieces = []
        for part in self.parts:
            piece = part.text if part.field is None else fields.get(part.field, part.text)
            if piece is None:
                return None
            pieces.append(piece)
        return "".join(pieces)


def read_embed_statement(indexing: str, where: str) -> EmbedStatement | None:
    """Return what an indexing statement embeds, or ``None`` if it embeds nothing.

    Read are ``input FIELD``, ``(input FIELD || "text")``, texts, and these joined by dots, then
    ``| embed ID`` and where it is stored.

    Args:
        indexing: The statement, as in ``input text | embed colbert | attribute``.
        where: Names the field in an error.

    Raises:
        SchemaSyntaxError: If it embeds in a way that is not understood.

    Source: IndexingParser.jj, Vespa 8.700.24.
    """
    if not re.search(r"\bembed\b", indexing):
        return None
    tokens = _tokens(indexing, where)
    steps = _split(tokens, "|")
    embed = next((place for place, step in enumerate(steps) if step[0] == "embed"), 0)
    stored = all(len(step) == 1 and step[0] in STORES for step in steps[embed + 1 :])
    if embed != 1 or len(steps[1]) > 2 or not stored:
        raise SchemaSyntaxError(_not_understood(indexing, where))
    parts = [_part(piece, indexing, where) for piece in _split(steps[0], ".")]
    component = steps[1][1] if len(steps[1]) == 2 else None
    return EmbedStatement(component=component, parts=tuple(parts))


def _part(piece: list[str], indexing: str, where: str) -> Part:
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
    raise SchemaSyntaxError(_not_understood(indexing, where))


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
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part or [""] for part in parts]


def _not_understood(indexing: str, where: str) -> str:
    return (
        f"{where}: expected indexing such as 'input text | embed colbert | attribute', got "
        f"{indexing.strip()!r}; what is embedded there is not understood"
    )
