"""Corpora, queries and judgements as files: BEIR's JSON lines and tab-separated qrels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.errors import CollectionError

__all__ = ["Document", "Query", "read_corpus", "read_qrels", "read_queries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a corpus.

    Attributes:
        id: The user's id, unique in the corpus.
        fields: Field name → text; ``title`` and ``text`` in BEIR's form.
    """

    id: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query: its id and its text."""

    id: str
    text: str


def read_corpus(path: Path) -> list[Document]:
    """Return the documents of a JSON-lines file: ``{"_id": …, "title": …, "text": …}`` a line.

    ``title`` may be absent; other keys are left alone.

    Raises:
        CollectionError: With file and line, if a line is no JSON object, has no ``_id`` or no
            ``text``, has a value that is no text, or an id occurs twice; or if nothing is there.
    """
    documents = []
    for where, row in _json_lines(path, "document"):
        text = _text(row, "text", where)
        if not text.strip():
            raise CollectionError(f'{where}: expected a "text" with words, got an empty one')
        title = _text(row, "title", where) if row.get("title") is not None else ""
        documents.append(Document(id=row["_id"], fields={"title": title, "text": text}))
    return documents


def read_queries(path: Path) -> list[Query]:
    """Return the queries of a JSON-lines file: ``{"_id": …, "text": …}`` a line.

    Raises:
        CollectionError: As ``read_corpus``.
    """
    return [
        Query(id=row["_id"], text=_text(row, "text", where))
        for where, row in _json_lines(path, "query")
    ]


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query id → document id → grade from ``query-id<TAB>corpus-id<TAB>score`` lines.

    A first line whose score is no number is taken for the header.

    Raises:
        CollectionError: With file and line, if a line has not three fields or the score is no
            whole number.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        parts = line.split("\t")
        if len(parts) != 3:
            raise CollectionError(
                f"{path} line {number}: expected query-id, corpus-id and score between tabs, "
                f"got {len(parts)} fields"
            )
        if number == 1 and not parts[2].strip().lstrip("-").isdigit():
            continue
        try:
            qrels.setdefault(parts[0], {})[parts[1]] = int(parts[2])
        except ValueError:
            raise CollectionError(
                f"{path} line {number}: expected a whole number as score, got {parts[2]!r}"
            ) from None
    return qrels


def _json_lines(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and object of every line, ids checked.

    Raises:
        CollectionError: For a line that is no object or whose id is missing or known.
    """
    seen: dict[str, int] = {}
    for number, line in _lines(path):
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CollectionError(
                f"{where}: expected a JSON object, got {line[:60]!r} ({error})"
            ) from None
        if not isinstance(row, dict):
            raise CollectionError(f"{where}: expected a JSON object, got {line[:60]!r}")
        identifier = _text(row, "_id", where)
        if not identifier:
            raise CollectionError(f'{where}: expected a {what} with an "_id", got an empty one')
        if identifier in seen:
            raise CollectionError(
                f'{where}: "_id" {identifier!r} was used on line {seen[identifier]}'
            )
        seen[identifier] = number
        yield where, row
    if not seen:
        raise CollectionError(f"{path}: expected at least one {what}, got an empty file")


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    """Return a text of the row.

    Raises:
        CollectionError: If the key is missing, its value no text, or no valid Unicode.
    """
    value = row.get(key)
    if not isinstance(value, str):
        got = f"no {key}" if key not in row else f"{type(value).__name__} {value!r:.40}"
        keys = ", ".join(sorted(row)) or "none"
        raise CollectionError(f'{where}: expected a text "{key}", got {got} (keys: {keys})')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CollectionError(
            f'{where}: "{key}" holds half of a surrogate pair at character {error.start}'
        ) from None
    return value


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of every line that is not blank.

    Raises:
        CollectionError: If the file cannot be read or is not UTF-8.
    """
    if not path.is_file():
        raise CollectionError(f"{path}: expected a file, found none; check the path")
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise CollectionError(
                    f"{path} line {number}: expected UTF-8, got byte {raw[error.start]:#04x} "
                    f"at {error.start}"
                ) from None
            if line.strip():
                yield number, line
