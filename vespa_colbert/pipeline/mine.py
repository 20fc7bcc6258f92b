"""Training rows for a judged collection: its positives, and negatives that a search finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vespa_colbert.errors import CollectionError
from vespa_colbert.evaluate import JudgedCollection
from vespa_colbert.index import Document
from vespa_colbert.index.lexical import LexicalField, plain_tokens
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.search import Searcher
from vespa_colbert.train import Found, MinedRow, MiningOptions, Search, mine_rows, write_rows

__all__ = ["Mined", "bm25_search", "document_text", "mine_collection", "profile_search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """What mining gave.

    Attributes:
        path: The file of training rows.
        rows: As they stand there.
    """

    path: Path
    rows: tuple[MinedRow, ...]

    @property
    def negatives(self) -> int:
        """Of all rows together: the triples."""
        return sum(len(row.negatives) for row in self.rows)

    @property
    def without(self) -> int:
        """Rows for which no negative was found; they stay, as pairs."""
        return sum(not row.negatives for row in self.rows)


def document_text(document: Document) -> str:
    """Return title and text, or contexts, of a document, as one text."""
    parts = (document.text(name) for name in ("title", "text", "contexts"))
    return " ".join(part for part in parts if part)


def bm25_search(
    documents: Sequence[Document], tokenize: Callable[[str], list[str]] = plain_tokens
) -> Search:
    """Return a search by bm25 of title and text together; what shares no word is not found.

    Args:
        documents: The corpus.
        tokenize: Text → its terms.
    """
    lexical = LexicalField([document_text(each) for each in documents], tokenize)

    def search(text: str, depth: int) -> list[Found]:
        words = tokenize(text)
        scores = np.where(lexical.matches(words), lexical.scores(words), -np.inf)
        best = np.argsort(-scores, kind="stable")[:depth]
        return [
            Found(id=documents[place].id, score=float(scores[place]))
            for place in best.tolist()
            if scores[place] > -np.inf
        ]

    return search


def profile_search(searcher: Searcher, profile: str) -> Search:
    """Return a search by a rank profile of a package.

    Args:
        searcher: Package, index and model.
        profile: Its name.
    """

    def search(text: str, depth: int) -> list[Found]:
        hits = searcher.search(text, profile, hits=depth)
        return [Found(id=hit.id, score=hit.relevance) for hit in hits]

    return search


def mine_collection(
    collection: JudgedCollection,
    search: Search,
    options: MiningOptions,
    output: Path,
    reporter: Reporter | None = None,
) -> Mined:
    """Return the training rows of a collection, a row for each query and document of grade 1 up.

    Args:
        collection: Documents, queries, judgements.
        search: Finds candidates.
        options: Which of them become negatives.
        output: The file of rows.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If the search finds documents of another corpus, or no negative at all;
            nothing is written then.
        OutputError: If the file cannot be written.
    """
    answers = {
        query: [name for name, grade in collection.qrels[query].items() if grade >= 1]
        for query in collection.queries
    }
    documents = {each.id: document_text(each) for each in collection.documents}
    rows: list[MinedRow] = []
    with (reporter or Silent()).track("mining", len(answers)) as progress:
        mined = mine_rows(collection.queries, answers, documents, search, options)
        for done, (_query, found) in enumerate(mined, start=1):
            rows += found
            progress(done)
    made = Mined(path=output, rows=tuple(rows))
    if not made.negatives:
        raise CollectionError(
            f"{collection.files.qrels}: expected negatives for some query, found none between "
            f"ranks {options.first} and {options.last}; widen the ranks or lower the margin"
        )
    write_rows(made.rows, output)
    return made
