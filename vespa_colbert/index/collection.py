"""Corpora, queries and judgements as files: BEIR's JSON lines and tab-separated qrels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.errors import CollectionError
from vespa_colbert.index.key_table import KeyTable
from vespa_colbert.json_lines import (
    decoded,
    json_object,
    numbered_lines,
    raw_lines,
    valid_text,
)

__all__ = [
    "CorpusLine",
    "Document",
    "Query",
    "corpus_lines",
    "iterate_corpus",
    "read_corpus",
    "read_qrels",
    "read_queries",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a corpus.

    Attributes:
        id: The user's id, unique in the corpus.
        fields: Field name → text; ``title`` and ``text`` in BEIR's form. A long document has
            ``contexts``, a list of texts.
        group: Whose it is, for personal search: ``alice`` in ``id:ns:type:g=alice:key``.
        tensors: Name of a field → its tensor as a Vespa document has it in JSON, not read yet.
    """

    id: str
    fields: Mapping[str, str | Sequence[str]]
    group: str = ""
    tensors: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the text of a field, of a list one text a line; empty if it is absent."""
        value = self.fields.get(name, "")
        return value if isinstance(value, str) else "\n".join(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query: its id and its text."""

    id: str
    text: str


def read_corpus(path: Path) -> list[Document]:
    """Return the documents of a JSON-lines file; see ``iterate_corpus``.

    Raises:
        CollectionError: With file and line, if a line is bad.
    """
    return list(iterate_corpus(path))


def iterate_corpus(path: Path) -> Iterator[Document]:
    """Yield the documents of a JSON-lines file: ``{"_id": …, "title": …, "text": …}`` a line.

    ``title`` may be absent. ``contexts``, a list of texts, may stand beside ``text`` or for it, and
    ``_group`` says whose the document is. ``_tensors`` holds what no model here makes, by field, as
    in a Vespa document. Other keys are left alone. One of title, text and contexts has words: some
    documents of BEIR's collections are a title alone, with an empty ``text``.

    Raises:
        CollectionError: With file and line, if a line is no JSON object, has no ``_id`` or neither
            ``text`` nor ``contexts``, has a value that is no text, or no words at all, or an id
            occurs twice; or if nothing is there.
    """
    for line in corpus_lines(path):
        if isinstance(line.found, CollectionError):
            raise line.found
        yield line.found


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusLine:
    """What a line of a corpus holds.

    Attributes:
        number: Which line, from 1.
        found: The document, or why there is none.
    """

    number: int
    found: Document | CollectionError


def corpus_lines(path: Path) -> Iterator[CorpusLine]:
    """Yield what each line of a corpus that is not blank holds, a bad line like a good one.

    Raises:
        CollectionError: If there is no file, or no line in it.
    """
    known, is_empty = KeyTable(), True
    for number, raw in raw_lines(path):
        try:
            if not (line := decoded(raw, number, path)).strip():
                continue
            found = _new_document(line, number, path, known)
        except CollectionError as error:
            is_empty = False
            yield CorpusLine(number=number, found=error)
        else:
            is_empty = False
            yield CorpusLine(number=number, found=found)
    if is_empty:
        raise CollectionError(f"{path}: expected at least one document, got an empty file")


def _new_document(line: str, number: int, path: Path, known: KeyTable) -> Document:
    """Return the document of a line.

    Raises:
        CollectionError: If there is none, or its id was used before.
    """
    where = f"{path} line {number}"
    found = _document(line, where)
    if (before := known.first(found.id, number)) >= 0:
        raise CollectionError(_used_before(found.id, where, before))
    return found


def _document(line: str, where: str) -> Document:
    """Return the document of a line.

    Raises:
        CollectionError: If there is none.
    """
    row = json_object(line, where)
    identifier = _identifier(row, "document", where)
    title = _text(row, "title", where) if row.get("title") is not None else ""
    fields: dict[str, str | Sequence[str]] = {"title": title}
    if row.get("contexts") is not None:
        fields["contexts"] = _texts(row, "contexts", where)
    if row.get("text") is not None or "contexts" not in fields:
        fields["text"] = _text(row, "text", where)
    _require_words(fields, where)
    group = _text(row, "_group", where) if row.get("_group") is not None else ""
    tensors = row.get("_tensors", {})
    if not isinstance(tensors, dict):
        raise CollectionError(f'{where}: expected an object "_tensors", got {tensors!r:.40}')
    return Document(id=identifier, fields=fields, group=group, tensors=tensors)


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
        CollectionError: With file and line, if a line has not three fields, the score is no whole
            number of 0 or more, or a document was judged before for that query.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in numbered_lines(path):
        parts = line.split("\t")
        where = f"{path} line {number}"
        if len(parts) != 3:
            raise CollectionError(
                f"{where}: expected query-id, corpus-id and score between tabs, "
                f"got {len(parts)} fields"
            )
        if number == 1 and not parts[2].strip().lstrip("-").isdigit():
            continue
        query, document, score = parts
        if document in qrels.setdefault(query, {}):
            raise CollectionError(
                f"{where}: document {document!r} was judged before for query {query!r}"
            )
        try:
            grade = int(score)
        except ValueError:
            raise CollectionError(
                f"{where}: expected a whole number as score, got {score!r}"
            ) from None
        if grade < 0:
            raise CollectionError(f"{where}: expected a score of 0 or more, got {grade}")
        qrels[query][document] = grade
    return qrels


def _json_lines(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and object of every line, ids checked.

    Raises:
        CollectionError: For a line that is no object or whose id is missing or known.
    """
    seen: dict[str, int] = {}
    for number, line in numbered_lines(path):
        where = f"{path} line {number}"
        row = json_object(line, where)
        identifier = _identifier(row, what, where)
        if identifier in seen:
            raise CollectionError(_used_before(identifier, where, seen[identifier]))
        seen[identifier] = number
        yield where, row
    if not seen:
        raise CollectionError(f"{path}: expected at least one {what}, got an empty file")


def _identifier(row: Mapping[str, Any], what: str, where: str) -> str:
    """Return the id that a row says.

    Raises:
        CollectionError: If it says none.
    """
    if identifier := _text(row, "_id", where):
        return identifier
    raise CollectionError(f'{where}: expected a {what} with an "_id", got an empty one')


def _used_before(identifier: str, where: str, line: int) -> str:
    return f'{where}: "_id" {identifier!r} was used on line {line}'


def _require_words(fields: Mapping[str, str | Sequence[str]], where: str) -> None:
    """Return nothing if a document has words, wherever they stand.

    Raises:
        CollectionError: If all is empty or whitespace.
    """
    if not any(text.strip() for each in fields.values() for text in each):
        *names, last = (f'"{name}"' for name in fields)
        raise CollectionError(
            f"{where}: expected words in {', '.join(names)} or {last}, got empty ones"
        )


def _texts(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return a list of texts of the row.

    Raises:
        CollectionError: If it is none, or one of them is no text.
    """
    value = row[key]
    if not isinstance(value, list):
        raise CollectionError(f'{where}: expected a list of texts "{key}", got {value!r:.40}')
    return tuple(
        _text({f"{key}[{place}]": each}, f"{key}[{place}]", where)
        for place, each in enumerate(value)
    )


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
    return valid_text(value, key, where)
