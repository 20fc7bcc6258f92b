"""Runs as TREC has them: a line for each hit, ``query Q0 document rank score name``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from vespa_colbert.errors import CollectionError
from vespa_colbert.json_lines import numbered_lines

__all__ = ["Run", "read_run"]

Run: TypeAlias = Mapping[str, Sequence[str]]
"""Query id → document ids, best first."""


def read_run(path: Path, *, documents: Collection[str]) -> dict[str, list[str]]:
    """Return a run; hits stand by their scores, equal ones by their ranks.

    Args:
        path: The file.
        documents: Ids of the corpus.

    Raises:
        CollectionError: With file and line, if a line is none of a run, a document is not in the
            corpus or comes twice for a query; or if there is no line.
    """
    hits: dict[str, dict[str, tuple[float, int]]] = {}
    for number, line in numbered_lines(path):
        try:
            query, document, score, rank = _hit(line, documents)
        except CollectionError as error:
            raise CollectionError(f"{path} line {number}: {error}") from None
        if document in hits.setdefault(query, {}):
            raise CollectionError(
                f"{path} line {number}: document {document!r:.60} is there twice for {query!r:.60}"
            )
        hits[query][document] = (-score, rank)
    if not hits:
        raise CollectionError(f"{path}: expected a run, got an empty file")
    return {query: sorted(found, key=found.__getitem__) for query, found in hits.items()}


def _hit(line: str, documents: Collection[str]) -> tuple[str, str, float, int]:
    """Return query, document, score and rank of a line.

    Raises:
        CollectionError: If it has other fields, or the document is unknown.
    """
    parts = line.split()
    try:
        query, _q0, document, rank, score, _name = parts
        found = query, document, float(score), int(rank)
    except ValueError:
        raise CollectionError(
            "expected query, Q0, document, rank (whole), score and a name between spaces, got "
            f"{line[:60]!r}"
        ) from None
    if math.isnan(found[2]):
        raise CollectionError("expected a number as score, got NaN")
    if document not in documents:
        raise CollectionError(f"document {document!r:.60} is not in the corpus")
    return found
