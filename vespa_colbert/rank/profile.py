"""A rank profile run over a local index: features, phases, windows, hits as Vespa returns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.profile import RankProfile
from vespa_colbert.app.schema import Schema
from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index.lexical import plain_tokens
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.index.store import LocalIndex
from vespa_colbert.rank.evaluate import Evaluation, batch_numbers
from vespa_colbert.rank.expand import FunctionBody, calls, expand
from vespa_colbert.rank.nodes import Call, Node
from vespa_colbert.rank.parser import parse_expression
from vespa_colbert.tensor import Tensor

__all__ = ["Hit", "RankQuery", "Ranker"]

Scores = NDArray[np.float64]
Positions = NDArray[np.int64]

DEFAULT_RERANK_COUNT = 100
"""Vespa's rerank-count of a second phase that states none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankQuery:
    """What a query brings.

    Attributes:
        text: The words, for bm25 and for matching.
        tensors: Name → tensor of each ``query(name)``, of the type the profile declares.
    """

    text: str = ""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One hit of a result.

    Attributes:
        id: Document id as in the corpus.
        position: Its place in the index.
        relevance: Score of the last phase it went through.
        match_features: Feature name → value.
    """

    id: str
    position: int
    relevance: float
    match_features: Mapping[str, float]


class Ranker:
    """A profile of a schema over an index."""

    def __init__(self, schema: Schema, profile: str, index: LocalIndex) -> None:
        """Parse the profile's expressions and expand its functions.

        Args:
            schema: Read from the .sd that Vespa will read.
            profile: Name of a rank profile.
            index: The documents.

        Raises:
            ExpressionError: If an expression does not parse; the message names profile and place.
            SpecError: If there is no such profile.
            UnsupportedFunctionError: If it has a global phase.
        """
        self.schema = schema
        self.profile: RankProfile = schema.profile(profile)
        self.index = index
        self._functions = {
            each.name: FunctionBody(
                parameters=each.arguments, body=self._parse(each.expression, each.name)
            )
            for each in self.profile.functions
        }
        second = self.profile.second_phase
        if self.profile.global_phase is not None:
            raise UnsupportedFunctionError(
                f"schema {schema.name}, profile {profile}: global-phase is not reproduced"
            )
        self._first = self._tree(self.profile.first_phase, "first-phase")
        self._second = None if second is None else self._tree(second.expression, "second-phase")
        self._match = {
            text: self._tree(text, "match-features") for text in self.profile.match_features
        }

    @property
    def phases(self) -> dict[str, Node]:
        """Phase → its expanded expression, for the phases that the profile has."""
        second = {} if self._second is None else {"second-phase": self._second}
        return {"first-phase": self._first, **second}

    @property
    def matches_text(self) -> bool:
        """Whether the first phase is made of bm25 alone: then only matching documents are hits."""
        return {call.name for call in self._first_features()} == {"bm25"}

    def candidates(self, query: RankQuery) -> Positions:
        """Return what matches: documents with a word of the query, or all of them.

        For a first phase of bm25 this is ``userQuery()`` with OR over the default fieldset, for
        any other ``where true``.
        """
        if not self.matches_text:
            return np.arange(len(self.index))
        words = plain_tokens(query.text)
        found = np.zeros(len(self.index), np.bool_)
        for call in self._first_features():
            for name in call.arguments or ():
                found |= self.index.lexical(str(name)).matches(words)
        return np.flatnonzero(found)

    def _first_features(self) -> list[Call]:
        return [call for call in calls(self._first) if call.name in READERS]

    def scores(self, query: RankQuery, node: Node, positions: Positions) -> Scores:
        """Return an expression's value for some documents: (document,) float64."""
        return self._evaluation(query, positions).scores(node)

    def rank(
        self, query: RankQuery, *, hits: int = 10, candidates: Positions | None = None
    ) -> list[Hit]:
        """Return the best hits, best first; equal scores in the order of the index.

        Args:
            query: Words and tensors.
            hits: How many to return.
            candidates: Positions to rank; what the query matches when absent.

        Raises:
            ExpressionError: If a feature has no value; nothing scores 0 instead.
        """
        positions = self.candidates(query) if candidates is None else candidates
        evaluation = self._evaluation(query, positions)
        first = evaluation.scores(self._first)
        scores = first if self._second is None else self._rescored(query, positions, first)
        best = np.lexsort((positions, -scores))[:hits]
        features = self._match_features(query, evaluation, positions, best)
        return [
            Hit(
                id=self.index.documents[int(positions[place])].id,
                position=int(positions[place]),
                relevance=float(scores[place]),
                match_features={name: float(values[row]) for name, values in features.items()},
            )
            for row, place in enumerate(best)
        ]

    def _rescored(self, query: RankQuery, positions: Positions, first: Scores) -> Scores:
        """Return final scores: second phase in the window, first phase below it.

        Where the lowest of the window would fall under the hits below it, these are scaled and
        moved under it.

        Source: FirstPhaseRescorer and HitCollector, Vespa 8.700.24, on one node.
        """
        window = np.lexsort((positions, -first))[: self._rerank_count]
        if self._second is None or not len(window):
            return first
        evaluation = self._evaluation(query, positions[window], first[window])
        second = evaluation.scores(self._second)
        final = first.copy()
        if first[window].min() > second.min():
            ranges = [max(1.0, float(np.ptp(each))) for each in (first[window], second)]
            scale = ranges[1] / ranges[0]
            final = first * scale - (first[window].min() * scale - second.min())
        final[window] = second
        return final

    def _match_features(
        self, query: RankQuery, ranked: Evaluation, positions: Positions, best: Positions
    ) -> dict[str, Scores]:
        """Return name → values of the hits; what the first phase computed is not done again."""
        first = ranked.scores(self._first)[best]
        hits = self._evaluation(query, positions[best], first)
        return {
            name: ranked.scores(node)[best] if ranked.knows(node) else hits.scores(node)
            for name, node in self._match.items()
        }

    @property
    def _rerank_count(self) -> int:
        second = self.profile.second_phase
        if second is None:
            return 0
        if second.total_rerank_count is not None:
            return second.total_rerank_count
        return DEFAULT_RERANK_COUNT if second.rerank_count is None else second.rerank_count

    def _evaluation(
        self, query: RankQuery, positions: Positions, first_phase: Scores | None = None
    ) -> Evaluation:
        lookup = _Features(
            schema=self.schema,
            profile=self.profile,
            index=self.index,
            query=query,
            positions=positions,
            first_phase=first_phase,
        )
        return Evaluation(lookup, len(positions))

    def _tree(self, text: str, where: str) -> Node:
        return expand(self._parse(text, where), self._functions)

    def _parse(self, text: str, where: str) -> Node:
        """Return the tree of an expression.

        Raises:
            ExpressionError: With the profile and the place in it.
        """
        try:
            return parse_expression(text)
        except ExpressionError as error:
            error.add_note(f"schema {self.schema.name}, profile {self.profile.name}, {where}")
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Features:
    """Feature name → value, for one query and some documents."""

    schema: Schema
    profile: RankProfile
    index: LocalIndex
    query: RankQuery
    positions: Positions
    first_phase: Scores | None

    def __call__(self, name: str) -> Tensor | DocumentRows | None:
        """Return the value of a feature, ``None`` if there is none of that name."""
        if name == "firstPhase" and self.first_phase is not None:
            return batch_numbers(self.first_phase)
        base, _, rest = name.partition("(")
        reader = READERS.get(base)
        return reader(self, rest.removesuffix(")")) if reader and rest.endswith(")") else None

    def query_input(self, name: str) -> Tensor:
        """Return ``query(name)``.

        Raises:
            UnknownFeatureError: If the profile declares no such input, or the query brings none.
            ExpressionTypeError: If the query brings another type.
        """
        feature = f"query({name})"
        where = f"schema {self.schema.name}, profile {self.profile.name}"
        if (wanted := self.profile.input_types.get(name)) is None:
            known = ", ".join(self.profile.input_types) or "none"
            raise UnknownFeatureError(f"{feature}: not an input of {where} (inputs: {known})")
        if (given := self.query.tensors.get(name)) is None:
            raise UnknownFeatureError(f"{feature}: expected {wanted}, got nothing ({where})")
        if given.type != wanted:
            raise ExpressionTypeError(f"{feature}: expected {wanted}, got {given.type} ({where})")
        return given

    def attribute(self, name: str) -> DocumentRows:
        """Return ``attribute(name)`` of the documents.

        Raises:
            UnknownFeatureError: If the index holds no such field.
            ExpressionTypeError: If the index holds another type than the schema says.
        """
        if (rows := self.index.tensors.get(name)) is None:
            known = ", ".join(self.index.tensors) or "none"
            raise UnknownFeatureError(
                f"attribute({name}): the index {self.index.path} has no such tensor field "
                f"(fields: {known}); embed again with this application"
            )
        wanted = next((each.tensor_type for each in self.schema.fields if each.name == name), None)
        if wanted != rows.type:
            raise ExpressionTypeError(
                f"attribute({name}): expected {wanted} as schema {self.schema.name} says, got "
                f"{rows.type} in {self.index.path}; embed again with this application"
            )
        everything = len(self.positions) == len(self.index) and bool(
            (self.positions == np.arange(len(self.index))).all()
        )
        return rows if everything else rows.select(self.positions)

    def bm25(self, name: str) -> Tensor:
        """Return ``bm25(name)`` of the documents.

        Raises:
            UnknownFeatureError: If the field is not indexed with bm25 enabled.
        """
        if not any(
            each.name == name and "enable-bm25" in each.index for each in self.schema.fields
        ):
            raise UnknownFeatureError(
                f"bm25({name}): schema {self.schema.name} has no such field with enable-bm25"
            )
        found = self.index.lexical(name).scores(plain_tokens(self.query.text))
        return batch_numbers(found[self.positions])


READERS: dict[str, Callable[[_Features, str], Tensor | DocumentRows]] = {
    "query": _Features.query_input,
    "attribute": _Features.attribute,
    "bm25": _Features.bm25,
}
"""Feature name → how its value is found."""
