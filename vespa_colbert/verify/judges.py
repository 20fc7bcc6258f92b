"""Who is asked: the local code, and Vespa's Java behind the same two questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vespa_colbert.embedder import LocalEmbedder, Role
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.index import LocalIndex
from vespa_colbert.index.rows import text_tensor
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.rank.language.nodes import Node
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType, cells_of
from vespa_colbert.vespa_java import EmbedderComponent, EmbedderFiles, VespaJava

__all__ = [
    "Embedded",
    "EmbeddingJudge",
    "JavaEmbeddings",
    "JavaScores",
    "LocalEmbeddings",
    "LocalScores",
    "PooledEmbeddings",
    "ScoreCase",
    "ScoreJudge",
    "TextCase",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What a judge makes of one text.

    Attributes:
        ids: Token ids given to the encoder.
        attention: Attention mask given to the encoder.
        tensors: Destination → tensor.
    """

    ids: tuple[int, ...]
    attention: tuple[int, ...]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCase:
    """A text to embed.

    Attributes:
        name: How a report calls it.
        text: The text.
        role: Which side it is on.
        targets: Destination, as in ``query(qt)`` or ``passage.colbert``, → its tensor type.
        document: Position in the index of the document it was taken from.
        place: Of the text in that document's list of texts; 0 where it has one.
    """

    name: str
    text: str
    role: Role
    targets: Mapping[str, TensorType]
    document: int | None = None
    place: int = 0


class EmbeddingJudge(Protocol):
    """Embeds texts."""

    def embed(self, case: TextCase) -> Embedded:
        """Return ids, attention and one tensor a destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCase:
    """A query and a document to be scored.

    Attributes:
        query: The query's tensors.
        document: Position of the document in the index.
    """

    query: RankQuery
    document: int


class ScoreJudge(Protocol):
    """Scores pairs by one expression of one profile."""

    def scores(self, cases: Sequence[ScoreCase]) -> list[float]:
        """Return one score a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEmbeddings:
    """The local embedder as a judge; documents as the index keeps them.

    Attributes:
        embedder: Makes ids, attention and queries.
        index: Where the cells of documents are taken from.
    """

    embedder: LocalEmbedder
    index: LocalIndex

    def embed(self, case: TextCase) -> Embedded:
        """Return what the local embedder makes of a text."""
        given = self.embedder.transformer_input(case.text, case.role)
        tensors = {}
        for destination, target in case.targets.items():
            if case.document is not None:
                field = destination.partition(".")[2]
                rows = self.index.tensors[field]
                tensors[destination] = text_tensor(rows, case.document, case.place)
            else:
                cells = cells_of(self.embedder.embed(case.text, case.role), target)
                tensors[destination] = Tensor.rows(target, cells)
        return Embedded(ids=given.ids, attention=given.attention, tensors=tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaEmbeddings:
    """Vespa's ColBertEmbedder, configured from the package's own services.xml, or by its files."""

    java: VespaJava
    component: EmbedderComponent | EmbedderFiles

    def embed(self, case: TextCase) -> Embedded:
        """Return what Vespa's embedder makes of a text."""
        found = {
            destination: self.java.embed(self.component, case.text, destination, target)
            for destination, target in case.targets.items()
        }
        one = next(iter(found.values()))
        return Embedded(
            ids=tuple(one.token_ids.tolist()),
            attention=tuple(one.attention_mask.tolist()),
            tensors={destination: each.tensor for destination, each in found.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledEmbeddings:
    """A judge whose vectors of documents are pooled, as whoever feeds them pools them.

    Attributes:
        judge: Makes the vectors.
        pooling: How they are pooled.
        dim: Components of a token vector; they are pooled before any are cut off.
    """

    judge: EmbeddingJudge
    pooling: TokenPooling
    dim: int

    def embed(self, case: TextCase) -> Embedded:
        """Return what the judge makes of a text, pooled if it is a document's."""
        if case.document is None:
            return self.judge.embed(case)
        wide = {
            name: TensorType(
                CellType.FLOAT,
                (
                    *(Dimension(each) for each in kind.mapped),
                    Dimension(kind.indexed[0], self.dim),
                ),
            )
            for name, kind in case.targets.items()
        }
        made = self.judge.embed(replace(case, targets=wide))
        tensors = {}
        for name, kind in case.targets.items():
            pooled = self.pooling.pool(made.tensors[name].values.astype(np.float32))
            tensors[name] = Tensor.rows(kind, cells_of(pooled, kind))
        return replace(made, tensors=tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalScores:
    """The local ranker as a judge of one expression."""

    ranker: Ranker
    node: Node

    def scores(self, cases: Sequence[ScoreCase]) -> list[float]:
        """Return one score a case."""
        return [
            float(self.ranker.scores(case.query, self.node, np.array([case.document]))[0])
            for case in cases
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaScores:
    """Vespa's ModelsEvaluator over the profiles derived from the package.

    Attributes:
        java: The worker.
        application: The package.
        ranker: Names schema and profile, and has the values that are bound.
        function: ``first-phase``, ``second-phase`` or a function's name.
    """

    java: VespaJava
    application: Path
    ranker: Ranker
    function: str

    def scores(self, cases: Sequence[ScoreCase]) -> list[float]:
        """Return one score a case."""
        where = self.application, self.ranker.schema.name, self.ranker.profile.name, self.function
        names = self.java.function_arguments(*where)
        found = self.java.evaluate_many(*where, [self._bindings(case, names) for case in cases])
        return [each.as_number() for each in found]

    def _bindings(self, case: ScoreCase, names: Iterable[str]) -> dict[str, Tensor]:
        """Return the value of each feature: those of a content node are the local ranker's."""
        bindings = {}
        for name in names:
            value = self.ranker.feature(case.query, name, case.document)
            bindings[name] = Tensor.number(value) if isinstance(value, float) else value
        return bindings
