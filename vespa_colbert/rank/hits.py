"""Hits as Vespa returns them, with the values of their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.algebra import user_dimensions
from vespa_colbert.rank.compiled import located
from vespa_colbert.rank.features.run import FeatureRun
from vespa_colbert.rank.features.values import Features
from vespa_colbert.rank.language.nodes import Node
from vespa_colbert.rank.phases import Ranked
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["FeatureValues", "Hit", "ranked_hits", "values_by_document"]

FeatureValues: TypeAlias = Mapping[str, float | Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One hit of a result.

    Attributes:
        id: Document id as in the corpus.
        position: Its place among the documents.
        relevance: Score of the last phase it went through.
        match_features: Feature name → value.
        summary_features: Feature name → value.
    """

    id: str
    position: int
    relevance: float
    match_features: FeatureValues
    summary_features: FeatureValues = field(default_factory=dict)


def ranked_hits(best: Ranked, run: Features, ranked: Features, ids: Sequence[str]) -> list[Hit]:
    """Return hits with their match and summary features.

    Args:
        best: The hits, best first.
        run: Their features.
        ranked: Those of all documents that the first phase ranked; what it computed is taken.
        ids: Of all documents.
    """
    profile = run.profile
    by_position = np.argsort(ranked.positions, kind="stable")
    found = np.searchsorted(ranked.positions, run.positions, sorter=by_position)
    match, summary = (
        _values(run, ranked, by_position[found], nodes, f"{profile.where}, {place}")
        for nodes, place in (
            (profile.match_features, "match-features"),
            (profile.summary_features, "summary-features"),
        )
    )
    return [
        Hit(
            id=ids[position],
            position=position,
            relevance=float(score),
            match_features={name: values[row] for name, values in match.items()},
            summary_features={name: values[row] for name, values in summary.items()},
        )
        for row, (position, score) in enumerate(
            zip(best.positions.tolist(), best.scores.tolist(), strict=True)
        )
    ]


def _values(
    run: Features,
    ranked: Features,
    places: NDArray[np.int64],
    nodes: Mapping[str, Node],
    where: str,
) -> dict[str, list[float | Tensor]]:
    """Return name → a value a hit; what the first phase computed is not done again.

    Args:
        run: The hits' features.
        ranked: Those of all documents that were ranked.
        places: (hit,) int64, where the hits stand among those documents.
        nodes: Name → tree.
        where: Of the trees, for errors.
    """
    found: dict[str, list[float | Tensor]] = {}
    with located(where):
        for name, node in nodes.items():
            if ranked.knows(node) and run.types.of(node).is_number:
                found[name] = ranked.numbers_of(node)[places].tolist()
            else:
                found[name] = values_by_document(run, node)
    return found


def values_by_document(run: FeatureRun, node: Node) -> list[float | Tensor]:
    """Return an expression's value a hit: numbers, or tensors where it gives those."""
    found: list[float | Tensor] = []
    for part in run.parts(node):
        value = part.evaluation.value(node, {})
        if not user_dimensions(value.type):
            found += part.evaluation.scores(node).tolist()
        else:
            found += [_one(value, document) for document in range(len(part.positions))]
    return found


def _one(value: Tensor, document: int) -> Tensor:
    """Return what a value of a batch is for one document."""
    kind = TensorType(value.type.cell_type, user_dimensions(value.type))
    if kind == value.type:
        return value
    hidden = next(each for each in value.type.dimensions if each not in kind.dimensions)
    if not hidden.is_mapped:
        axis = 1 + value.type.indexed.index(hidden.name)
        return Tensor(kind, value.codes, value.labels, value.values.take(document, axis=axis))
    place = value.type.mapped.index(hidden.name)
    rows = np.array([value.labels[place][code] == str(document) for code in value.codes[:, place]])
    labels = (*value.labels[:place], *value.labels[place + 1 :])
    codes = np.delete(value.codes, place, axis=1)
    picked = np.flatnonzero(rows)
    if not kind.mapped and not len(picked):
        return Tensor.empty(kind)
    return Tensor(kind, codes[picked], labels, value.values[picked])
