"""A collection with judgements: documents, the judged queries, and which documents answer them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vespa_colbert.errors import CollectionError
from vespa_colbert.index import Document, read_corpus, read_qrels, read_queries

__all__ = ["CollectionFiles", "JudgedCollection", "beir_files", "read_judged"]

SHOWN = 3
"""Unknown ids that a message names."""

LONGEST_SHOWN = 60
"""Characters of an id that it shows."""

DEFAULT_SPLIT = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionFiles:
    """Where a collection stands.

    Attributes:
        corpus: JSON lines with ``_id``, ``title`` and ``text``.
        queries: JSON lines with ``_id`` and ``text``.
        qrels: Lines of query-id, corpus-id and score between tabs.
    """

    corpus: Path
    queries: Path
    qrels: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCollection:
    """Documents, judged queries, and judgements, all of whose ids are known.

    Attributes:
        files: Where it was read from.
        documents: The corpus.
        queries: Id → text of the queries that are judged, in the order of their file.
        qrels: Query id → document id → grade; from 1 on a document answers the query.
        unanswered: Judged queries that no document answers; every measure gives them 0.
        left_out: Judged queries that are not among these.
    """

    files: CollectionFiles
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    unanswered: int = 0
    left_out: int = 0

    def sampled(self, most: int) -> JudgedCollection:
        """Return the collection with so many of its judged queries at most, evenly spaced.

        Raises:
            CollectionError: If none of them is answered.
        """
        count = len(self.queries)
        if count <= most:
            return self
        names = list(self.queries)
        chosen = [names[place * count // most] for place in range(most)]
        qrels = {name: self.qrels[name] for name in chosen}
        unanswered = sum(max(grades.values()) < 1 for grades in qrels.values())
        if unanswered == most:
            raise CollectionError(
                f"{self.files.qrels}: expected a document of grade 1 or more for some of {most} "
                "queries, got none; take more of them"
            )
        return replace(
            self,
            queries={name: self.queries[name] for name in chosen},
            qrels=qrels,
            unanswered=unanswered,
            left_out=count - most,
        )


def beir_files(folder: Path, split: str = "") -> CollectionFiles:
    """Return the files of a folder in BEIR's form.

    Args:
        folder: With ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``.
        split: Name of the judgements; ``test``, or the only ones there are, when empty.

    Raises:
        CollectionError: If a file is missing, or it is not clear which judgements are meant.
    """
    splits = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    wanted = split or (DEFAULT_SPLIT if len(splits) != 1 else next(iter(splits)))
    if wanted not in splits:
        raise CollectionError(
            f"{folder}: expected qrels/{wanted}.tsv, found {', '.join(splits) or 'no judgements'}"
            f"{'; name them with --split' if splits else ''}"
        )
    files = CollectionFiles(
        corpus=folder / "corpus.jsonl", queries=folder / "queries.jsonl", qrels=splits[wanted]
    )
    for path in (files.corpus, files.queries):
        if not path.is_file():
            raise CollectionError(f"{path}: expected a file, found none; check the path")
    return files


def read_judged(files: CollectionFiles) -> JudgedCollection:
    """Return a collection, after a check that its files fit together.

    Raises:
        CollectionError: If a line is bad, no query is judged, no judged document answers any, or a
            judgement is about a query or a document that is not there.
    """
    qrels = read_qrels(files.qrels)
    if not qrels:
        raise CollectionError(f"{files.qrels}: expected judgements, got none")
    texts = {each.id: each.text for each in read_queries(files.queries)}
    documents = tuple(read_corpus(files.corpus))
    known = {each.id for each in documents}
    judged = {name for grades in qrels.values() for name in grades}
    _require_known(qrels.keys() - texts.keys(), "queries", files.queries, files.qrels)
    _require_known(judged - known, "documents", files.corpus, files.qrels)
    unanswered = sum(max(grades.values()) < 1 for grades in qrels.values())
    if unanswered == len(qrels):
        raise CollectionError(
            f"{files.qrels}: expected a document of grade 1 or more for some query, got none"
        )
    return JudgedCollection(
        files=files,
        documents=documents,
        queries={name: text for name, text in texts.items() if name in qrels},
        qrels=qrels,
        unanswered=unanswered,
    )


def _require_known(unknown: set[str], what: str, path: Path, qrels: Path) -> None:
    """Return nothing if there is no unknown id.

    Raises:
        CollectionError: If there is one.
    """
    if unknown:
        shown = ", ".join(name[:LONGEST_SHOWN] for name in sorted(unknown)[:SHOWN])
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise CollectionError(
            f"{qrels}: judges {what} that are not in {path}: {shown}{more}; check that both belong "
            "to the same collection"
        )
