"""Documents of a corpus embedded window by window into an index that is being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app import Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import ArrayError, CollectionError
from vespa_colbert.index import CodedField, Document, embedded_fields
from vespa_colbert.index.embedding import EmbeddedField, derived_texts
from vespa_colbert.index.key_table import keys_of
from vespa_colbert.index.segment import SegmentPart, document_line
from vespa_colbert.index.writer import IndexWriter

__all__ = ["CorpusEmbedding", "NumberedDocument", "SkippedLine"]

WINDOW_DOCUMENTS, WINDOW_CHARACTERS = 2048, 1 << 18
"""Documents that are sorted by length together: what is in memory at full precision."""

COMMIT_BYTES, COMMIT_SECONDS = 64 << 20, 10.0
"""After so much, or so long, what was embedded is written: a kill costs no more."""

EmbedTexts = Callable[[Sequence[str], Executor, Callable[[int], None]], list[TokenVectors]]
"""Texts of documents, threads to use and what hears of the progress → the token vectors of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedDocument:
    """A document of a corpus.

    Attributes:
        place: Where it stands among the documents.
        line: Its line in the file.
        document: The document.
    """

    place: int
    line: int
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedLine:
    """A line of a corpus that is not in the index.

    Attributes:
        line: Which one.
        reason: Why.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A document on its way.

    Attributes:
        given: The document.
        stored: Its line in the index.
        texts: What is embedded of it.
    """

    given: NumberedDocument
    stored: bytes
    texts: tuple[str, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class CorpusEmbedding:
    """What is done to each document of a corpus, and what came of it.

    Attributes:
        schema: Its tensor fields say what is embedded and which cells are kept.
        embed: The encoder.
        pool: Its threads.
        writer: The index; documents that it has as they are given are left alone.
        skips: Whether a document that cannot be embedded is passed over.
        progress: Called with the number of documents embedded.
        coded: The field of residuals, where the index holds residuals.
        ids: Keys of the documents that are in the index, in order.
        places: Where they stand.
        skipped: What was passed over.
    """

    schema: Schema
    embed: EmbedTexts
    pool: Executor
    writer: IndexWriter
    skips: bool
    progress: Callable[[int], None]
    coded: CodedField | None = None
    ids: list[NDArray[np.uint64]] = field(default_factory=list)
    places: list[NDArray[np.int64]] = field(default_factory=list)
    skipped: list[SkippedLine] = field(default_factory=list)
    done: int = 0
    _fields: dict[str, EmbeddedField | CodedField] = field(init=False)
    _pending: list[SegmentPart] = field(default_factory=list)
    _committed: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        known: dict[str, EmbeddedField | CodedField] = {**embedded_fields(self.schema)}
        if self.coded is not None:
            known[self.coded.name] = self.coded
        self._fields = {name: known[name] for name in self.writer.manifest.fields}

    def run(self, documents: Iterable[NumberedDocument]) -> None:
        """Embed documents; they are in the index when this returns.

        Raises:
            CollectionError: If one cannot be embedded, and is not passed over.
            ArrayError: If the model gives a value that is not finite, likewise.
            OutputError: If the index cannot be written.
        """
        window: list[NumberedDocument] = []
        characters = 0
        for each in documents:
            window.append(each)
            characters += sum(map(len, map(each.document.text, each.document.fields)))
            if len(window) >= WINDOW_DOCUMENTS or characters >= WINDOW_CHARACTERS:
                self._add(window)
                window, characters = [], 0
        if window:
            self._add(window)
        self._commit()

    def _add(self, window: Sequence[NumberedDocument]) -> None:
        ready = [each for given in window if (each := self._ready(given)) is not None]
        same = self.writer.holds(
            keys_of(each.given.document.id for each in ready),
            keys_of(each.stored for each in ready),
        )
        new = [each for each, is_same in zip(ready, same.tolist(), strict=True) if not is_same]
        vectors = self._vectors(new)
        lacking = {id(each) for each in new if not self._is_whole(each, vectors)}
        self._keep([each for each in new if id(each) not in lacking], vectors)
        kept = [each for each in ready if id(each) not in lacking]
        self.ids.append(keys_of(each.given.document.id for each in kept))
        self.places.append(np.array([each.given.place for each in kept], np.int64))
        self.done += len(new)
        self.progress(self.done)

    def _ready(self, given: NumberedDocument) -> _Ready | None:
        """Return what there is to do of a document; nothing if it is passed over.

        Raises:
            CollectionError: If it cannot be embedded, and is not passed over.
        """
        fields = given.document.fields
        try:
            texts = tuple(
                text
                for each in self._fields.values()
                for text in each.statement.passages(fields).values()
            )
            stored = document_line(given.document, derived_texts(self.schema, fields))
        except CollectionError as error:
            if not self.skips:
                error.add_note(f"document {given.document.id!r}")
                raise
            self.skipped.append(SkippedLine(line=given.line, reason=str(error)))
            return None
        return _Ready(given=given, stored=stored, texts=texts)

    def _vectors(self, ready: Sequence[_Ready]) -> dict[str, TokenVectors]:
        """Return text → token vectors; a text that occurs again is embedded once."""
        texts = list(dict.fromkeys(text for each in ready for text in each.texts))
        if not texts:
            return {}

        def progress(done: int) -> None:
            self.progress(self.done + done * len(ready) // (len(texts) + 1))

        return dict(zip(texts, self.embed(texts, self.pool, progress), strict=True))

    def _is_whole(self, ready: _Ready, vectors: dict[str, TokenVectors]) -> bool:
        """Return whether all token vectors of a document are numbers.

        Raises:
            ArrayError: If not, and it is not passed over.
        """
        if all(np.isfinite(vectors[text]).all() for text in ready.texts):
            return True
        reason = f"document {ready.given.document.id!r}: the model gave NaN or infinity"
        if not self.skips:
            raise ArrayError(f"contextual: expected finite values; {reason}")
        self.skipped.append(SkippedLine(line=ready.given.line, reason=reason))
        return False

    def _keep(self, ready: Sequence[_Ready], vectors: dict[str, TokenVectors]) -> None:
        if not ready:
            return
        rows: dict[str, Any] = {}
        for name, each in self._fields.items():
            cells = each.cells()
            for one in ready:
                cells.add(one.given.document.fields, vectors.__getitem__)
            rows[name] = cells.rows()
        lines = {each.given.document.id: each.stored for each in ready}
        self._pending.append(SegmentPart.of(lines, [each.given.place for each in ready], rows))
        size = sum(
            part.values.nbytes for each in self._pending for part in each.fields.values()
        ) + sum(len(each.texts) for each in self._pending)
        if size >= COMMIT_BYTES or time.monotonic() - self._committed >= COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        if self._pending:
            self.writer.add(self._pending)
        self._pending, self._committed = [], time.monotonic()
