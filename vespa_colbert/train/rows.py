"""Training rows in JSON lines: which documents answer a query, which do not, what a teacher says.

A line is one of::

    {"query_id": …, "pos_id": …, "neg_ids": […]}          ids, resolved in a corpus and its queries
    {"query": …, "positive": …, "negative": …}            texts
    {"query": …, "positives": […], "negatives": […], "scores": […]}
    {"query_id": …, "document_ids": […], "scores": […]}   scored n-ways; the best is the positive

``pos_id`` and ``pos_ids``, ``neg_id`` and ``neg_ids``, ``document_ids`` and ``documents`` go with
either kind of query. Without negatives a line is a pair. Scores are those of the positives, then of
the negatives. Keys that begin with an underscore are left alone, others are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from vespa_colbert.errors import TrainingDataError
from vespa_colbert.json_lines import json_object, numbered_lines, valid_text

__all__ = ["LONGEST_LINE", "TrainingData", "TrainingRow", "read_training_data"]

LONGEST_LINE = 16 << 20
"""Bytes of a line: more is one JSON document that was taken for JSON lines."""

LARGEST = 3e38
"""Of a teacher's scores: they become float32."""

QUERY = ("query", "query_id")
POSITIVES = ("positive", "positives", "pos_id", "pos_ids")
NEGATIVES = ("negative", "negatives", "neg_id", "neg_ids")
DOCUMENTS = ("documents", "document_ids")
SCORES = ("scores",)
KEYS = (*QUERY, *POSITIVES, *NEGATIVES, *DOCUMENTS, *SCORES)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """One line, its texts by their places.

    Attributes:
        query: Place in ``TrainingData.queries``.
        positives: Places in ``TrainingData.documents``: one at least.
        negatives: The same; may be none.
        scores: A teacher's, of the positives and then of the negatives; none or all.
        line: Where it stood, from 1.
    """

    query: int
    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    scores: tuple[float, ...]
    line: int

    @property
    def documents(self) -> tuple[int, ...]:
        """Positives, then negatives."""
        return self.positives + self.negatives


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """All rows of a file; each text is here once.

    Attributes:
        queries: Texts.
        documents: Texts.
        rows: The lines.
        positives: Query → every document that a row says answers it.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    rows: tuple[TrainingRow, ...]
    positives: Mapping[int, frozenset[int]]

    @property
    def is_scored(self) -> bool:
        """Whether the rows carry a teacher's scores."""
        return bool(self.rows[0].scores)

    def part(self, rows: Sequence[TrainingRow]) -> TrainingData:
        """Return some of the rows, and of the texts those that are in them."""
        queries = list(dict.fromkeys(row.query for row in rows))
        documents = list(dict.fromkeys(place for row in rows for place in row.documents))
        of_query = {place: number for number, place in enumerate(queries)}
        of_document = {place: number for number, place in enumerate(documents)}
        return TrainingData(
            queries=tuple(self.queries[place] for place in queries),
            documents=tuple(self.documents[place] for place in documents),
            rows=tuple(
                replace(
                    row,
                    query=of_query[row.query],
                    positives=tuple(of_document[place] for place in row.positives),
                    negatives=tuple(of_document[place] for place in row.negatives),
                )
                for row in rows
            ),
            positives={
                of_query[query]: frozenset(
                    of_document[place] for place in self.positives[query] if place in of_document
                )
                for query in queries
            },
        )


def read_training_data(
    path: Path,
    *,
    queries: Mapping[str, str] | None = None,
    documents: Mapping[str, str] | None = None,
) -> TrainingData:
    """Return the rows of a JSON-lines file.

    Args:
        path: The file.
        queries: Id → text, for rows with ``query_id``.
        documents: Id → text, for rows with ids of documents.

    Raises:
        TrainingDataError: With file and line, if a line is bad, contradicts itself or an earlier
            one, some rows are scored and others not, or there is none.
    """
    reader = _Reader(queries=_Texts("query", queries), documents=_Texts("document", documents))
    for number, line in numbered_lines(path, longest=LONGEST_LINE, error=TrainingDataError):
        reader.add(line, number, f"{path} line {number}")
    if not reader.rows:
        raise TrainingDataError(f"{path}: expected a training row at least, got an empty file")
    return TrainingData(
        queries=tuple(reader.queries.texts),
        documents=tuple(reader.documents.texts),
        rows=tuple(reader.rows),
        positives={
            query: frozenset(place for place, (answers, _line) in said.items() if answers)
            for query, said in reader.said.items()
        },
    )


@dataclass(slots=True)
class _Texts:
    """Texts of one kind, each once, in the order in which they came."""

    what: str
    by_id: Mapping[str, str] | None
    texts: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, text: str) -> int:
        """Return the place of a text."""
        place = self._places.setdefault(text, len(self.texts))
        if place == len(self.texts):
            self.texts.append(text)
        return place

    def of_id(self, identifier: str, where: str) -> str:
        """Return the text of an id.

        Raises:
            TrainingDataError: If nothing has it.
        """
        files = {"query": "queries", "document": "corpus"}
        if self.by_id is None:
            raise TrainingDataError(
                f"{where}: {self.what} id {identifier!r} cannot be looked up: "
                f"name the {files[self.what]} file, or write texts instead of ids"
            )
        if (text := self.by_id.get(identifier)) is None:
            raise TrainingDataError(
                f"{where}: {self.what} id {identifier!r} is not in the {files[self.what]} file"
            )
        return text


@dataclass(slots=True)
class _Reader:
    """Lines as they come in; what was said of a query and a document is remembered."""

    queries: _Texts
    documents: _Texts
    rows: list[TrainingRow] = field(default_factory=list)
    said: dict[int, dict[int, tuple[bool, int]]] = field(default_factory=dict)

    def add(self, line: str, number: int, where: str) -> None:
        """Read a line.

        Raises:
            TrainingDataError: If it is bad.
        """
        said = json_object(line, where, error=TrainingDataError, once=True)
        _check_keys(said, where)
        query = self.queries.add(self._texts(said, QUERY, self.queries, where)[0])
        positives = self._places(said, POSITIVES, where)
        negatives = self._places(said, NEGATIVES, where)
        documents = self._places(said, DOCUMENTS, where)
        scores = _scores(said, len(positives) + len(negatives) + len(documents), where)
        if documents:
            positives, negatives, scores = _best_first(documents, scores)
        elif not positives:
            _refuse(where, "a positive", f"none (keys: {', '.join(said)})")
        row = TrainingRow(
            query=query, positives=positives, negatives=negatives, scores=scores, line=number
        )
        self._check(row, where)
        self.rows.append(row)

    def _places(
        self, said: Mapping[str, Any], keys: tuple[str, ...], where: str
    ) -> tuple[int, ...]:
        """Return the places of the documents that stand under one of some keys."""
        texts = self._texts(said, keys, self.documents, where)
        return tuple(self.documents.add(text) for text in texts)

    @staticmethod
    def _texts(
        said: Mapping[str, Any], keys: tuple[str, ...], known: _Texts, where: str
    ) -> list[str]:
        """Return the texts that stand under one of some keys, ids resolved.

        Raises:
            TrainingDataError: If one has no words, or no text is where one must be.
        """
        given = [key for key in keys if key in said]
        if len(given) > 1:
            _refuse(where, f"one of {', '.join(keys)}", " and ".join(given))
        if not given:
            if keys is QUERY:
                _refuse(where, "a query", f"none (keys: {', '.join(said) or 'none'})")
            return []
        key = given[0]
        texts = []
        for value in _listed(said[key], key, where):
            written = valid_text(value, key, where, error=TrainingDataError)
            text = known.of_id(written, where) if "id" in key.split("_")[-1] else written
            if not text.strip():
                _refuse(where, f'a "{key}" with words', repr(value)[:40])
            texts.append(text)
        return texts

    def _check(self, row: TrainingRow, where: str) -> None:
        """Return nothing if a row fits itself, the rows before it, and their kind.

        Raises:
            TrainingDataError: If it does not.
        """
        said = self.said.setdefault(row.query, {})
        seen: set[int] = set()
        for number, place in enumerate(row.documents):
            answers = number < len(row.positives)
            shown = repr(self.documents.texts[place][:40])
            if place in seen and not answers and place in row.positives:
                _refuse(where, "negatives that are no positive", f"{shown} as both")
            if place in seen:
                _refuse(where, "every document once", f"{shown} twice")
            seen.add(place)
            before, line = said.setdefault(place, (answers, row.line))
            if before != answers and not row.scores:
                kind, other = ("positive", "negative") if before else ("negative", "positive")
                _refuse(where, f"a {kind}, as on line {line}", f"{shown} as a {other}")
        first = self.rows[0] if self.rows else row
        if bool(first.scores) != bool(row.scores):
            kind, other = ("scores", "none") if first.scores else ("no scores", "some")
            _refuse(where, f"{kind}, as on line {first.line}", other)


def _check_keys(said: Mapping[str, Any], where: str) -> None:
    """Return nothing if all keys are known.

    Raises:
        TrainingDataError: If one is not, or kinds of rows are mixed.
    """
    unknown = [key for key in said if key not in KEYS and not key.startswith("_")]
    if unknown:
        _refuse(where, f"keys out of {', '.join(KEYS)}", repr(unknown[0])[:40])
    mixed = [key for key in (*POSITIVES, *NEGATIVES) if key in said]
    listed = [key for key in DOCUMENTS if key in said]
    if mixed and listed:
        _refuse(where, f'"{listed[0]}" alone', f'"{mixed[0]}" beside it')


def _listed(value: Any, key: str, where: str) -> list[str]:
    """Return a value as a list of texts: the one text where the key is in the singular.

    Raises:
        TrainingDataError: If it is of another kind, or an empty list.
    """
    if not key.endswith("s"):
        if not isinstance(value, str):
            _refuse(where, f'a text "{key}"', f"{type(value).__name__} {value!r:.40}")
        return [value]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        _refuse(where, f'a list of texts "{key}"', f"{type(value).__name__} {value!r:.40}")
    if not value and key not in NEGATIVES:
        _refuse(where, f'"{key}" with one text at least', "an empty list")
    return list(value)


def _scores(said: Mapping[str, Any], count: int, where: str) -> tuple[float, ...]:
    """Return a teacher's scores, one a document, or none.

    Raises:
        TrainingDataError: If there are fewer or more, or one is no finite number.
    """
    listed = next((key for key in DOCUMENTS if key in said), None)
    if "scores" not in said:
        if listed is not None:
            _refuse(where, f'"scores" beside "{listed}"', "none")
        return ()
    scores = said["scores"]
    if not isinstance(scores, list):
        _refuse(where, 'a list of numbers "scores"', f"{type(scores).__name__} {scores!r:.40}")
    if len(scores) != count or count < 2:
        _refuse(where, "a score for each of two documents at least", f"{len(scores)} for {count}")
    for place, score in enumerate(scores):
        if not _is_finite(score):
            _refuse(where, f"a finite number as scores[{place}]", repr(score)[:40])
    return tuple(float(score) for score in scores)


def _is_finite(value: Any) -> bool:
    """Return whether a value is a number that float32 can hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= LARGEST


def _best_first(
    documents: tuple[int, ...], scores: tuple[float, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]:
    """Return the document that a teacher likes best, the others in their order, and the scores."""
    best = max(range(len(scores)), key=scores.__getitem__)
    order = [best, *(place for place in range(len(scores)) if place != best)]
    placed = tuple(documents[place] for place in order)
    return placed[:1], placed[1:], tuple(scores[place] for place in order)


def _refuse(where: str, expected: str, got: str) -> NoReturn:
    """End the reading.

    Raises:
        TrainingDataError: Always.
    """
    raise TrainingDataError(f"{where}: expected {expected}, got {got}")
