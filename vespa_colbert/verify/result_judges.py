"""The global phase of a whole result, asked of the local ranker and of Vespa's container.

Both start from the hits of the local content node: what the earlier phases gave is judged by
itself, features that only a content node has are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.vespa_java import NodeHit, VespaJava

__all__ = ["JavaResults", "LocalResults", "RankedHit", "ResultJudge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedHit:
    """A hit of a result, in its place.

    Attributes:
        id: Document id.
        relevance: Score after the global phase.
    """

    id: str
    relevance: float


class ResultJudge(Protocol):
    """Ranks the hits of a query by the last phase of a profile."""

    def result(self, query: RankQuery) -> list[RankedHit]:
        """Return the hits, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalResults:
    """The local ranker as a judge of its global phase.

    Attributes:
        ranker: Of the profile.
        hits: How many are asked for.
    """

    ranker: Ranker
    hits: int

    def result(self, query: RankQuery) -> list[RankedHit]:
        """Return the hits, the best first."""
        found = self.ranker.rank(query, hits=self.hits)
        return [RankedHit(id=hit.id, relevance=hit.relevance) for hit in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaResults:
    """Vespa's GlobalPhaseRanker over the hits of the local content node.

    Attributes:
        java: The worker.
        application: The package.
        ranker: Names schema and profile, and gives the hits.
        hits: How many are asked for.
    """

    java: VespaJava
    application: Path
    ranker: Ranker
    hits: int

    def result(self, query: RankQuery) -> list[RankedHit]:
        """Return the hits, the best first."""
        names = self.ranker.schema.name, self.ranker.profile.name
        node_hits = [
            NodeHit(id=hit.id, relevance=hit.relevance, match_features=hit.match_features)
            for hit in self.ranker.rank_on_node(query, self.features(), hits=self.hits)
        ]
        tensors = {f"query({name})": tensor for name, tensor in query.tensors.items()}
        found = self.java.rerank(self.application, *names, node_hits, tensors)
        return [RankedHit(id=hit.id, relevance=hit.relevance) for hit in found][: self.hits]

    def features(self) -> Sequence[str]:
        """Return the features of a hit that the phase reads."""
        return self.java.global_phase_features(
            self.application, self.ranker.schema.name, self.ranker.profile.name
        )
