"""Queries with their documents → the documents in a cross-encoder's order, while they come in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vespa_colbert.errors import CollectionError
from vespa_colbert.index.collection import Document, Query
from vespa_colbert.json_lines import json_object, valid_text
from vespa_colbert.pipeline.mine import document_text
from vespa_colbert.reranker import Ranked, Reranker, RerankRecord

__all__ = ["RunToRerank", "rerank_lines", "rerank_run"]

SHOWN = 60
"""Characters of a faulty value that a message shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One line: a query, its documents' texts, and what they are called."""

    id: str | None
    query: str
    names: tuple[str | None, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToRerank:
    """A run and the texts of what it names.

    Attributes:
        run: Query id → document ids, best first.
        queries: Their texts.
        documents: Id → document.
        depth: How many documents of each query are looked at; None for all.
        top: How many of them are left; None for all.
        name: What the new run calls itself.
    """

    run: Mapping[str, Sequence[str]]
    queries: Sequence[Query]
    documents: Mapping[str, Document]
    depth: int | None = None
    top: int | None = None
    name: str = "rerank"


def rerank_lines(
    lines: Iterable[str],
    reranker: Reranker,
    *,
    source: str = "input",
    top: int | None = None,
    log: Callable[[RerankRecord], None] = lambda _record: None,
) -> Iterator[str]:
    """Yield a line for each line with a query and its documents, as soon as it is read.

    It is ``{"_id": …, "results": [{"_id": …, "position": 0, "score": 1.5}, …]}``, best first; an
    ``_id`` is there where one was given, and ``position`` counts the documents of the line.

    Args:
        lines: ``{"_id": …, "query": …, "documents": […]}`` each, a document a text or an object
            with ``text`` and, if need be, ``_id`` and ``title``. Blank lines are passed over.
        reranker: Scores them.
        source: What errors call the lines.
        top: How many documents are left; None for all.
        log: Hears how each query went.

    Raises:
        CollectionError: With the number of the line, if it is no object or lacks a text. Lines
            before it were yielded.
        ArrayError: If the model gives a score that is not finite.
        OutputError: If the cache cannot be used.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        request = _request(line.removeprefix("\ufeff") if number == 1 else line, source, number)
        name = str(number) if request.id is None else request.id
        ranked = reranker.rerank_logged(name, request.query, request.texts, log)
        yield json.dumps(_answer(request, ranked[:top]), ensure_ascii=False)


def rerank_run(
    asked: RunToRerank,
    reranker: Reranker,
    *,
    log: Callable[[RerankRecord], None] = lambda _record: None,
) -> Iterator[str]:
    """Yield the lines of a TREC run: the documents of each query by their new scores.

    Args:
        asked: The run with the texts.
        reranker: Scores them.
        log: Hears how each query went.

    Raises:
        CollectionError: If a query of the run has no text.
        ArrayError: If the model gives a score that is not finite.
        OutputError: If the cache cannot be used.
    """
    texts = {each.id: each.text for each in asked.queries}
    if unknown := sorted(asked.run.keys() - texts.keys()):
        raise CollectionError(f"the run asks query {unknown[0]!r}, which is not among the queries")
    for query, found in asked.run.items():
        kept = list(found)[: asked.depth]
        passages = [document_text(asked.documents[each]) for each in kept]
        ranked = reranker.rerank_logged(query, texts[query], passages, log)
        for rank, each in enumerate(ranked[: asked.top], start=1):
            # The text of a double that is read as the same double again.
            yield f"{query} Q0 {kept[each.position]} {rank} {each.score!r} {asked.name}"


def _answer(request: _Request, ranked: Sequence[Ranked]) -> dict[str, Any]:
    results = []
    for each in ranked:
        called = request.names[each.position]
        identifier = {} if called is None else {"_id": called}
        results.append({**identifier, "position": each.position, "score": each.score})
    return {**({} if request.id is None else {"_id": request.id}), "results": results}


def _request(line: str, source: str, number: int) -> _Request:
    """Return what a line asks.

    Raises:
        CollectionError: With the place of what is no query or no document.
    """
    where = f"{source} line {number}"
    row = json_object(line, where)
    documents = row.get("documents")
    if not isinstance(documents, list):
        raise CollectionError(
            f'{where}: expected a list of documents under "documents", got {documents!r:.{SHOWN}}'
        )
    read = [_document(each, f"{where}: documents[{at}]") for at, each in enumerate(documents)]
    found = row.get("_id")
    return _Request(
        id=None if found is None else str(found),
        query=_text(row, "query", where),
        names=tuple(name for name, _text in read),
        texts=tuple(text for _name, text in read),
    )


def _document(value: Any, where: str) -> tuple[str | None, str]:
    """Return id and text of a document.

    Raises:
        CollectionError: If it is neither a text nor an object with one.
    """
    if isinstance(value, str):
        return None, valid_text(value, "text", where)
    if not isinstance(value, dict):
        raise CollectionError(f"{where}: expected a text or an object, got {value!r:.{SHOWN}}")
    text = _text(value, "text", where)
    title = _text(value, "title", where) if value.get("title") else ""
    found = value.get("_id")
    return None if found is None else str(found), f"{title} {text}" if title else text


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    """Return a text of an object.

    Raises:
        CollectionError: If it is none.
    """
    if not isinstance(value := row.get(key), str):
        raise CollectionError(f'{where}: expected a text under "{key}", got {value!r:.{SHOWN}}')
    return valid_text(value, key, where)
