"""The features of one query and a batch of documents: each is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from vespa_colbert.errors import ExpressionError, UnsupportedFunctionError, VespaColbertError
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.batches import part_of_batch
from vespa_colbert.rank.evaluate import Evaluation
from vespa_colbert.rank.expand import calls
from vespa_colbert.rank.features.name import read_feature_name
from vespa_colbert.rank.features.run import FeatureRun
from vespa_colbert.rank.features.table import FEATURES, REFUSED, Value
from vespa_colbert.rank.fused import fused_max_sim, fused_max_sims
from vespa_colbert.rank.language.nodes import Node
from vespa_colbert.rank.profile_types import ProfileTypes
from vespa_colbert.rank.working_set import MOST_BYTES, WorkingSet
from vespa_colbert.tensor import Tensor

__all__ = ["Features", "share_max_sims"]

BY_PART = frozenset({
    "attribute",
    "customTokenInputIds",
    "onnx",
    "rankingExpression",
    "tokenAttentionMask",
    "tokenInputIds",
    "tokenTypeIds",
})
"""Features with a tensor for each document: a part of a batch has its own. The others are numbers,
some of them over all documents of the batch, and are there for the whole of it."""

HAS_LABELS = ("attribute", "constant", "query")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a part stands in a batch.

    Attributes:
        whole: The batch.
        start: Its first document.
        end: The one after its last.
        nodes: Trees that are computed for the whole batch.
    """

    whole: Features
    start: int
    end: int
    nodes: frozenset[Node]

    def value(self, node: Node) -> Tensor | None:
        """Return the value of a tree that is computed for the whole batch, else ``None``."""
        if node not in self.nodes:
            return None
        return part_of_batch(self.whole.evaluation.value(node, {}), self.start, self.end)

    def feature(self, name: str) -> Value | None:
        """Return the value of a feature that is there for the whole batch."""
        found = self.whole(name)
        return part_of_batch(found, self.start, self.end) if isinstance(found, Tensor) else found


@dataclass(slots=True, kw_only=True)
class Features(FeatureRun):
    """Feature name → value, for one query and a batch of documents.

    Attributes:
        types: The types of the profile's expressions.
        most_bytes: What evaluating a part of the batch may take beside its documents.
        place: Where it stands, if it is a part of a batch.
    """

    types: ProfileTypes
    most_bytes: int = MOST_BYTES
    place: _Place | None = None
    _entered: list[str] = field(default_factory=list, init=False)
    _values: dict[str, Value] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.evaluation = Evaluation(self, len(self.positions))
        if self.place is not None:
            self.evaluation.given = self.place.value

    def __call__(self, name: str) -> Value | None:
        """Return the value of a feature, ``None`` if there is none of that name.

        Raises:
            UnsupportedFunctionError: If Vespa has it and it is not reproduced.
            ExpressionError: If its value needs itself.
        """
        if name in self._values:
            return self._values[name]
        feature = read_feature_name(name)
        if feature.name in REFUSED:
            raise UnsupportedFunctionError(
                f"{name}: {feature.name} is a rank feature of Vespa that is not reproduced here "
                f"({self.profile.where})"
            )
        if (row := FEATURES.get(feature.name)) is None:
            return None
        if self.place is not None and feature.name not in BY_PART:
            return self.place.feature(name)
        if name in self._entered:
            cycle = " → ".join((*self._entered, name))
            raise ExpressionError(f"{name} needs its own value: {cycle} ({self.profile.where})")
        self._entered.append(name)
        try:
            self._values[name] = row.read(self, feature)
        finally:
            self._entered.pop()
        return self._values[name]

    def parts(self, node: Node) -> Iterator[FeatureRun]:
        """Yield the batch, or parts of it, one at a time, where an expression needs too much."""
        if self.place is not None:
            yield self
            return
        count = len(self.positions)
        needed = WorkingSet(
            type_of=self.types.of,
            labels=self._labels(node),
            is_fused=self._is_fused,
            features=FEATURES.keys() | REFUSED,
        )
        try:
            a_document = needed.bytes_a_document(node)
        except RecursionError:
            a_document = 0  # the evaluation says that it is nested too deeply
        if a_document * count <= self.most_bytes:
            yield self
            return
        size = max(1, self.most_bytes // a_document)
        for start in range(0, count, size):
            part = self._part(start, min(start + size, count), frozenset(needed.whole))
            yield part
            part.forget()

    def forget(self) -> None:
        """Let go of what was read and computed."""
        self._values.clear()
        self.evaluation.forget()

    def _part(self, start: int, end: int, nodes: frozenset[Node] = frozenset()) -> Features:
        return Features(
            profile=self.profile,
            documents=self.documents,
            query=self.query,
            positions=self.positions[start:end],
            tokenize=self.tokenize,
            first_phase=None if self.first_phase is None else self.first_phase[start:end],
            relevance=None if self.relevance is None else self.relevance[start:end],
            types=self.types,
            place=_Place(whole=self, start=start, end=end, nodes=nodes),
        )

    def _is_fused(self, node: Node) -> bool:
        """Return whether a kernel computes a tree: it is asked for one document."""
        try:
            return fused_max_sim(node, self._part(0, 1).evaluation) is not None
        except VespaColbertError:
            return False

    def _labels(self, node: Node) -> dict[str, int]:
        """Return mapped dimension → the most labels that one document, or the query, has."""
        most: dict[str, int] = {}
        for name in {call.feature_name for call in calls(node) if call.name in HAS_LABELS}:
            for dimension, count in self._labels_of(name).items():
                most[dimension] = max(count, most.get(dimension, 1))
        return most

    def _labels_of(self, name: str) -> dict[str, int]:
        feature = read_feature_name(name)
        if feature.name == "attribute":
            rows = self.documents.tensors.get(feature.words()[0]) if feature.arguments else None
            if rows is None:
                return {}
            longest = int(np.diff(rows.offsets)[self.positions].max(initial=1))
            if isinstance(rows, DocumentRows):
                return dict.fromkeys(rows.type.mapped, longest)
            sizes = (min(longest, len(labels)) for labels in rows.labels)
            return dict(zip(rows.type.mapped, sizes, strict=True))
        try:
            found = self(name)
        except VespaColbertError:
            return {}
        if not isinstance(found, Tensor):
            return {}
        return dict(zip(found.type.mapped, map(len, found.labels), strict=True))


def share_max_sims(node: Node, runs: Sequence[Features]) -> None:
    """Compute every MaxSim of a tree that kernels serve, for several queries at once.

    Args:
        node: The tree, which is evaluated afterwards.
        runs: Its features, those of a query each, all of the same documents.
    """
    evaluations = [run.evaluation for run in runs]
    shared: list[dict[Node, Tensor]] = [{} for _ in runs]
    for call in set(calls(node)):
        try:
            found = fused_max_sims(call, evaluations)
        except (VespaColbertError, RecursionError):
            continue  # said, with its place, where the tree is evaluated
        for known, value in zip(shared, found or (), strict=False):
            known[call] = value
    for evaluation, known in zip(evaluations, shared, strict=True):
        evaluation.given = known.get
