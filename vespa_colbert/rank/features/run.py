"""What a rank feature is computed from: query, documents, profile, and the batch at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ExpressionTypeError, UnknownFeatureError
from vespa_colbert.rank.compiled import CompiledProfile
from vespa_colbert.rank.documents import Documents, Tokenize
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.expand import plain
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.language.nodes import Node
from vespa_colbert.rank.query import RankQuery
from vespa_colbert.tensor import Tensor

__all__ = ["FeatureRun", "Scores"]

Scores: TypeAlias = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class FeatureRun:
    """One query against a batch of documents.

    Attributes:
        profile: The profile.
        documents: All documents.
        query: What the query brings.
        positions: (document,) int64, the documents of the batch.
        tokenize: Text → terms, for bm25.
        first_phase: What the first phase gave the batch, where it is known already.
        relevance: Relevance from the content nodes, in the global phase only; the batch is then
            its window, the best hit first.
        evaluation: Computes expressions over the batch.
    """

    profile: CompiledProfile
    documents: Documents
    query: RankQuery
    positions: NDArray[np.int64]
    tokenize: Tokenize
    first_phase: Scores | None = None
    relevance: Scores | None = None
    evaluation: Evaluation = field(init=False)
    _numbers: dict[Node, Scores] = field(default_factory=dict, init=False)

    def value_of(self, expression: str, where: str) -> Tensor:
        """Return the value of an expression that stands in a feature's argument."""
        return self.evaluation.value(self.profile.tree(expression, where), {})

    def numbers_of(self, node: Node) -> Scores:
        """Return an expression's value: (document,) float64."""
        node = plain(node)
        if node not in self._numbers:
            parts = [part.evaluation.scores(node) for part in self.parts(node)]
            self._numbers[node] = np.concatenate(parts)
        return self._numbers[node]

    def knows(self, node: Node) -> bool:
        """Return whether an expression's value is known, as a number for each document."""
        return plain(node) in self._numbers or self.evaluation.knows(node)

    def parts(self, node: Node) -> Iterator[FeatureRun]:
        """Yield the batch, or parts of it, one at a time, where an expression needs too much."""
        del node
        yield self

    def arguments(self, feature: FeatureName, *counts: int) -> tuple[str, ...]:
        """Return a feature's arguments without quotes.

        Raises:
            ExpressionTypeError: If there are more or fewer than the feature takes.
        """
        return feature.taken(self.profile.where, *counts)

    def query_value(self, name: str) -> Tensor:
        """Return ``query(name)``: what the query brings, else its default.

        Raises:
            UnknownFeatureError: If the profile declares no such input and the query brings no
                number of that name, or nothing brings a value.
            ExpressionTypeError: If the query brings another type.
        """
        feature, where = f"query({name})", self.profile.where
        wanted, given = self.profile.input_type(name), self.query.tensors.get(name)
        if given is None:
            given = self.profile.input_default(name)
        if wanted is None and (given is None or not given.type.is_number):
            known = ", ".join(self.profile.profile.input_types) or "none"
            raise UnknownFeatureError(f"{feature}: not an input of {where} (inputs: {known})")
        if given is None:
            raise UnknownFeatureError(f"{feature}: expected {wanted}, got nothing ({where})")
        if wanted is not None and given.type != wanted:
            raise ExpressionTypeError(f"{feature}: expected {wanted}, got {given.type} ({where})")
        return given
