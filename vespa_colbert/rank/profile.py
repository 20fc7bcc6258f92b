"""A rank profile run over documents: features, phases, windows, hits as Vespa returns them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.profile import RankProfile
from vespa_colbert.app.reader import read_application
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import SpecError, UnsupportedFunctionError
from vespa_colbert.index.lexical import plain_tokens
from vespa_colbert.index.store import LocalIndex
from vespa_colbert.rank.compiled import CompiledProfile, compile_profile, located
from vespa_colbert.rank.document_file import read_documents
from vespa_colbert.rank.documents import Documents, Tokenize, index_documents
from vespa_colbert.rank.expand import calls
from vespa_colbert.rank.features.bm25 import require_bm25, require_texts
from vespa_colbert.rank.features.onnx import OpenOnnx
from vespa_colbert.rank.features.table import FEATURES, REFUSED
from vespa_colbert.rank.features.values import Features, share_max_sims
from vespa_colbert.rank.features.vectors import found_by_vectors
from vespa_colbert.rank.hits import Hit, ranked_hits, values_by_document
from vespa_colbert.rank.language.nodes import Call, Node
from vespa_colbert.rank.phases import (
    Ranked,
    Window,
    above,
    order,
    rescored_globally,
    rescored_on_node,
    usable_scores,
)
from vespa_colbert.rank.profile_types import ProfileTypes, require_types
from vespa_colbert.rank.query import NearestNeighbor, RankQuery
from vespa_colbert.rank.working_set import MOST_BYTES
from vespa_colbert.tensor import Tensor

__all__ = ["Hit", "NearestNeighbor", "RankQuery", "Ranker"]

Scores: TypeAlias = NDArray[np.float64]
Positions: TypeAlias = NDArray[np.int64]

QUERIES_AT_ONCE = 64
"""Whose scores of all documents are held together, if there is room for them."""
SCORE_BYTES = 16
"""Of a score with the position of its document."""

NO_HITS = np.zeros(0, np.int64)


class Ranker:
    """A profile of a schema over documents, all of them on one content node.

    Counts that hold for each node (``rerank-count`` of the second phase, ``max-hits`` of a match
    phase) hold here for all documents, as in a cluster of one node. With several nodes Vespa ranks
    so many on each; ``total-rerank-count`` is the number for all of them together.
    """

    def __init__(
        self,
        schema: Schema,
        profile: str,
        index: LocalIndex | Documents,
        *,
        folder: Path | None = None,
        tokenize: Tokenize = plain_tokens,
        open_onnx: OpenOnnx | None = None,
    ) -> None:
        """Parse the profile's expressions and expand its functions.

        Args:
            schema: Read from the .sd that Vespa will read.
            profile: Name of a rank profile.
            index: The documents.
            folder: The application package, where constants and models stand.
            tokenize: Text → terms, for bm25: of documents and of queries. Plain words by default;
                Vespa's own stems.
            open_onnx: Opens models, for ``onnx(…)``.

        Raises:
            ExpressionError: If an expression does not parse; the message names profile and place.
            SpecError: If there is no such profile.
            UnsupportedFunctionError: If it has something that is not reproduced.
        """
        self.compiled: CompiledProfile = compile_profile(
            schema, profile, folder=folder, open_onnx=open_onnx
        )
        self.documents = index if isinstance(index, Documents) else index_documents(index)
        self.tokenize = tokenize
        self._index = index if isinstance(index, LocalIndex) else None
        self.most_bytes = MOST_BYTES
        self._types = ProfileTypes(self.compiled)
        self._global_types = ProfileTypes(self.compiled, is_global=True)
        self._has_types = False

    @classmethod
    def from_application(
        cls,
        folder: Path,
        profile: str,
        documents: LocalIndex | Documents | Path,
        *,
        schema: str = "",
        tokenize: Tokenize = plain_tokens,
        open_onnx: OpenOnnx | None = None,
    ) -> Self:
        """Return a ranker for a profile of an application package.

        Args:
            folder: The package, as it would be deployed.
            profile: Name of a rank profile.
            documents: An index, documents, or a file of documents in JSON lines.
            schema: Name of the schema; may be left out if the package has one.
            tokenize: As in the constructor.
            open_onnx: As in the constructor.

        Raises:
            SpecError: If there is no such schema or profile.
            SchemaSyntaxError: If a schema cannot be read.
            CollectionError: If the file of documents has a bad line.
            ExpressionError: If an expression does not parse.
        """
        found = read_application(folder).schema(schema)
        if isinstance(documents, Path):
            documents = read_documents(documents, found)
        return cls(found, profile, documents, folder=folder, tokenize=tokenize, open_onnx=open_onnx)

    @property
    def schema(self) -> Schema:
        """The schema."""
        return self.compiled.schema

    @property
    def profile(self) -> RankProfile:
        """The profile, with everything it inherits."""
        return self.compiled.profile

    @property
    def index(self) -> LocalIndex:
        """The local index that is ranked.

        Raises:
            SpecError: If documents are ranked that stand in no index.
        """
        if self._index is None:
            raise SpecError(f"{self.documents.where}: expected a local index, got documents")
        return self._index

    @property
    def phases(self) -> dict[str, Node]:
        """Phase → its expanded expression, for the phases that the profile has."""
        return self.compiled.phases

    @property
    def matches_text(self) -> bool:
        """Whether the first phase is made of bm25 alone: then only matching documents are hits."""
        return {call.name for call in self._first_features()} == {"bm25"}

    def candidates(self, query: RankQuery) -> Positions:
        """Return what matches: documents with a word of the query, or all of them.

        For a first phase of bm25 this is ``userQuery()`` with OR over the default fieldset, for
        any other ``where true``. Of nearest neighbours see ``found_by_vectors``.
        """
        if query.nearest:
            return found_by_vectors(self.run(query, self.documents.everything))
        if not self.matches_text:
            return self.documents.everything
        words = self.tokenize(query.text)
        found = np.zeros(len(self.documents), np.bool_)
        names = [str(name) for call in self._first_features() for name in call.arguments or ()]
        for name in names:
            with located(f"{self.compiled.where}, first-phase"):
                require_bm25(self.compiled, name)
                require_texts(self.compiled, self.documents, name)
            found |= self.documents.lexical(name, self.tokenize).matches(words)
        return np.flatnonzero(found)

    def _first_features(self) -> list[Call]:
        known = FEATURES.keys() | REFUSED
        return [call for call in calls(self.compiled.first) if call.name in known]

    def scores(self, query: RankQuery, node: Node, positions: Positions) -> Scores:
        """Return an expression's value for some documents: (document,) float64."""
        return self.run(query, positions).numbers_of(node)

    def rank(
        self, query: RankQuery, *, hits: int = 10, candidates: Positions | None = None
    ) -> list[Hit]:
        """Return the best hits, best first; equal scores in the order of the documents.

        Args:
            query: Words and tensors.
            hits: How many to return.
            candidates: Positions to rank; what the query matches when absent.

        Raises:
            ExpressionError: If a feature has no value; nothing scores 0 instead.
        """
        (found,) = self.rank_all([query], hits=hits, candidates=[candidates])
        return found

    def rank_all(
        self,
        queries: Sequence[RankQuery],
        *,
        hits: int = 10,
        candidates: Sequence[Positions | None] | None = None,
    ) -> list[list[Hit]]:
        """Return the best hits of each query, the same as ``rank`` returns for it.

        Where queries rank all documents, kernels take the tokens of many together. That saves time
        where a query has fewer tokens than the 32 that a kernel compares at once, or more.

        Args:
            queries: Words and tensors.
            hits: How many to return of each.
            candidates: Positions to rank, for each query; what it matches when absent.

        Raises:
            ExpressionError: If a feature has no value; nothing scores 0 instead.
            ValueError: If there are fewer or more candidates than queries.
        """
        self._require_types()
        given = [None] * len(queries) if candidates is None else candidates
        asked = list(zip(queries, given, strict=True))
        room = self.most_bytes // max(1, SCORE_BYTES * len(self.documents))
        at_once = max(1, min(QUERIES_AT_ONCE, room))
        found = []
        for start in range(0, len(asked), at_once):
            found += self._ranked_together(asked[start : start + at_once], hits)
        return found

    def _ranked_together(
        self, asked: Sequence[tuple[RankQuery, Positions | None]], hits: int
    ) -> list[list[Hit]]:
        """Return the best hits of a few queries."""
        runs = []
        for query, candidates in asked:
            positions = self.candidates(query) if candidates is None else candidates
            self._require_no_limit(len(positions))
            runs.append(self.run(query, positions))
        everything = self.documents.everything
        shared = [run for run in runs if np.array_equal(run.positions, everything)]
        if len(shared) > 1:
            share_max_sims(self.compiled.first, shared)
        found = []
        for (query, _candidates), run in zip(asked, runs, strict=True):
            found.append(self._ranked(query, run, hits))
            run.forget()
        return found

    def _ranked(self, query: RankQuery, run: Features, hits: int) -> list[Hit]:
        """Return the best hits of a query."""
        window = self.compiled.global_window
        found = self._on_node(query, run, max(hits, window))
        if window and len(found.positions):
            found = self._globally(query, found, window)
        best = found.best(np.arange(min(hits, len(found.positions))))
        if not len(best.positions):
            return []
        shown = self.run(query, best.positions, first_phase=best.first_phase)
        return ranked_hits(best, shown, run, self.documents.ids)

    def rank_on_node(
        self, query: RankQuery, features: Sequence[str], *, hits: int = 10
    ) -> list[Hit]:
        """Return the best hits of the content node, as the container gets them: no global phase.

        Args:
            query: Words and tensors.
            features: Names of the match features that a hit carries.
            hits: How many to return; the window of the global phase if that is more.
        """
        self._require_types()
        run = self.run(query, self.candidates(query))
        found = self._on_node(query, run, max(hits, self.compiled.global_window))
        if not len(found.positions):
            return []
        best = self.run(query, found.positions, first_phase=found.first_phase)
        values = {
            name: values_by_document(best, self.compiled.tree(name, name)) for name in features
        }
        return [
            Hit(
                id=self.documents.ids[position],
                position=position,
                relevance=float(found.scores[row]),
                match_features={name: each[row] for name, each in values.items()},
            )
            for row, position in enumerate(found.positions.tolist())
        ]

    def feature(self, query: RankQuery, name: str, position: int) -> float | Tensor:
        """Return the value of a feature or of a function of the profile for one document."""
        run = self.run(query, np.array([position], np.int64))
        return values_by_document(run, self.compiled.tree(name, name))[0]

    def _require_types(self) -> None:
        """Check the types of all that is ranked by, once."""
        if not self._has_types:
            require_types(self._types, self._global_types)
            self._has_types = True

    def _require_no_limit(self, matching: int) -> None:
        """Check that the match phase would look at all candidates.

        Raises:
            UnsupportedFunctionError: If it would not.
        """
        limits = self.profile.match_phase
        most = [each for each in (limits.max_hits, limits.total_max_hits) if each] if limits else []
        if most and matching > min(most):
            raise UnsupportedFunctionError(
                f"{self.compiled.where}: match-phase looks at {min(most)} documents, "
                f"{matching} match; which ones it takes is not reproduced"
            )

    def _on_node(self, query: RankQuery, run: Features, most: int) -> Ranked:
        """Return the hits of the content node, the best first: first and second phase."""
        if not len(run.positions):
            return Ranked(positions=NO_HITS, scores=np.zeros(0), first_phase=np.zeros(0))
        with located(f"{self.compiled.where}, first-phase"):
            computed = run.numbers_of(self.compiled.first)
        scores = usable_scores(computed)
        kept = np.flatnonzero(above(scores, self.profile.first_phase_drop_limit))
        found = Ranked(
            positions=run.positions[kept], scores=scores[kept], first_phase=computed[kept]
        )
        second = self.profile.second_phase
        if self.compiled.second is not None and second is not None and len(kept):
            found = self._rescored(query, found, self.compiled.second)
            kept = np.flatnonzero(above(found.scores, second.drop_limit))
            found = found.best(kept)
        return found.best(order(found.scores, found.positions)[:most])

    def _rescored(self, query: RankQuery, found: Ranked, second: Node) -> Ranked:
        places = order(found.scores, found.positions)[: self.compiled.rerank_count]
        if not len(places):
            return found
        run = self.run(query, found.positions[places], first_phase=found.first_phase[places])
        with located(f"{self.compiled.where}, second-phase"):
            window = Window(places=places, scores=run.numbers_of(second))
        scores = rescored_on_node(found.scores, found.positions, window)
        return Ranked(positions=found.positions, scores=scores, first_phase=found.first_phase)

    def _globally(self, query: RankQuery, found: Ranked, count: int) -> Ranked:
        """Return the hits after the global phase, the best first."""
        phase, node = self.profile.global_phase, self.compiled.global_phase
        if phase is None or node is None:
            return found
        places = np.arange(min(count, len(found.positions)))
        run = self.run(
            query,
            found.positions[places],
            first_phase=found.first_phase[places],
            relevance=found.scores[places],
        )
        with located(f"{self.compiled.where}, global-phase"):
            window = Window(places=places, scores=run.numbers_of(node))
        scores = rescored_globally(found.scores, window)
        found = Ranked(positions=found.positions, scores=scores, first_phase=found.first_phase)
        if (limit := phase.drop_limit) is not None:
            found = found.best(np.flatnonzero(~(scores <= limit)))
        return found.best(order(found.scores, np.arange(len(found.positions))))

    def run(
        self,
        query: RankQuery,
        positions: Positions,
        *,
        first_phase: Scores | None = None,
        relevance: Scores | None = None,
    ) -> Features:
        """Return the features of some documents for a query.

        Args:
            query: Words and tensors.
            positions: (document,) int64.
            first_phase: (document,) float64, what the first phase gave them, where it is known.
            relevance: (document,) float64, relevance from the content nodes: this is the window of
                the global phase, the best hit first.
        """
        types = self._types if relevance is None else self._global_types
        return Features(
            types=types,
            most_bytes=self.most_bytes,
            profile=self.compiled,
            documents=self.documents,
            query=query,
            positions=positions,
            tokenize=self.tokenize,
            first_phase=first_phase,
            relevance=relevance,
        )
