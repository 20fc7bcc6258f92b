"""How the local ranker finds the documents that it ranks: as the package asks, or otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.query import ANY_WORD, NearestTokens
from vespa_colbert.app.sent import holds_tokens
from vespa_colbert.arrays import pack_bits
from vespa_colbert.errors import SpecError, UnknownFeatureError
from vespa_colbert.index import LocalIndex
from vespa_colbert.index.candidates import (
    best_matches,
    nearest_documents,
    scanned_documents,
    united,
)
from vespa_colbert.index.store import Rows
from vespa_colbert.index.token_graph import (
    GraphOptions,
    TokenGraph,
    build_graph,
    graph_path,
    open_graph,
    write_graph,
)
from vespa_colbert.rank import NearestNeighbor, Ranker, RankQuery
from vespa_colbert.rank.documents import FieldTensors
from vespa_colbert.rank.expand import calls
from vespa_colbert.rank.features.distance import METRICS, closenesses
from vespa_colbert.tensor import CellType, Tensor

__all__ = [
    "By",
    "Finding",
    "TokenSearch",
    "field_graph",
    "found_by_condition",
    "found_by_words",
    "nearest_items",
    "token_search",
]

By: TypeAlias = Literal["query", "all", "nearest", "scan", "graph", "words"]
"""What finds documents: ``query`` as the package asks for the profile, ``all`` every document,
``nearest`` the nearest to each query token as a graph without misses, ``scan`` as Vespa's
``approximate: false``, ``graph`` a graph of our own, ``words`` bm25."""

Positions: TypeAlias = NDArray[np.int64]

NEAREST = re.compile(r"\{targetHits:\s*(\d+)\}\s*nearestNeighbor\((\w+),\s*(\w+)\)")

TARGET_HITS = 100
"""Of a profile for which the package says no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How documents are found.

    Attributes:
        by: What finds them.
        target_hits: Documents for each token of the query, or for all its words; 0 for what the
            package asks, 100 where it says nothing.
        graph: How the graph is built and searched.
        rebuild: Whether a graph that stands beside the index is built again.
    """

    by: By = "query"
    target_hits: int = 0
    graph: GraphOptions = field(default_factory=GraphOptions)
    rebuild: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSearch:
    """The tokens of a query and the field whose vectors they look for.

    Attributes:
        field: Name of the field.
        metric: What is near.
        vectors: One a token, each a tensor of the field's indexed dimension.
        target_hits: Documents that each of them finds.
    """

    field: str
    metric: str
    vectors: tuple[Tensor, ...]
    target_hits: int

    def exact(self, ranker: Ranker, *, by_scan: bool = False) -> Positions:
        """Return what the tokens find, none of the nearest missed: (found,) int64.

        Args:
            ranker: Has the documents.
            by_scan: Whether as with ``approximate: false``, which finds more.
        """
        rows, metric = ranker.documents.tensors[self.field], METRICS[self.metric]
        choose = scanned_documents if by_scan else nearest_documents
        return united(
            choose(closenesses(rows, each, metric), self.target_hits, furthest=metric.furthest)
            for each in self.vectors
        )

    def by_graph(self, graph: TokenGraph) -> Positions:
        """Return what the tokens find in a graph, some of the nearest missed: (found,) int64."""
        if not self.vectors:
            return np.zeros(0, np.int64)
        asked = np.concatenate([each.values for each in self.vectors], axis=0)
        return united(graph.nearest(asked, self.target_hits))


def token_search(
    ranker: Ranker, query: RankQuery, nearest: NearestTokens | None, target_hits: int = 0
) -> TokenSearch:
    """Return how the tokens of a query look for documents.

    Where the package does not say it, the first field of token vectors that the profile reads is
    searched: bits by their hamming distance, numbers by the dot product of MaxSim.

    Args:
        ranker: Of the profile.
        query: With its tensors.
        nearest: How the package asks; ``None`` if by something else.
        target_hits: Documents that each token finds; 0 for what the package says.

    Raises:
        SpecError: If the profile compares no tokens, or tokens of another width.
        UnknownFeatureError: If the documents lack the field that the package asks by.
    """
    if nearest is not None:
        _require_field(ranker, nearest.field)
        names = nearest.names(nearest.most)
        return TokenSearch(
            field=nearest.field,
            metric=ranker.compiled.distance_metric(nearest.field),
            vectors=tuple(query.tensors[name] for name in names if name in query.tensors),
            target_hits=target_hits or nearest.target_hits,
        )
    name, source = _compared(ranker, query)
    vectors = _vectors(ranker, name, query.tensors[source])
    is_packed = ranker.documents.tensors[name].type.cell_type is CellType.INT8
    return TokenSearch(
        field=name,
        metric="hamming" if is_packed else "dotproduct",
        vectors=vectors,
        target_hits=target_hits or TARGET_HITS,
    )


def _require_field(ranker: Ranker, name: str) -> None:
    """Return nothing if the documents have a tensor field.

    Raises:
        UnknownFeatureError: If they do not.
    """
    documents = ranker.documents
    if name not in documents.tensors:
        raise UnknownFeatureError(
            f"rank profile {ranker.profile.name}: finds documents by {name}, which "
            f"{documents.where} does not have (tensor fields: "
            f"{', '.join(documents.tensors) or 'none'}); {documents.hint}"
        )


def _compared(ranker: Ranker, query: RankQuery) -> tuple[str, str]:
    """Return the field of token vectors that a profile reads first, and the query's tensor.

    Raises:
        SpecError: If it reads none.
    """
    for node in ranker.phases.values():
        read = [(call.name, str(call.arguments[0])) for call in calls(node) if call.arguments]
        fields = [name for kind, name in read if kind == "attribute" and _is_tokens(ranker, name)]
        given = [
            name
            for kind, name in read
            if kind == "query" and name in query.tensors and holds_tokens(query.tensors[name].type)
        ]
        if fields and given:
            return fields[0], given[0]
    raise SpecError(
        f"rank profile {ranker.profile.name}: expected one that compares token vectors, got none "
        "of the query's and of documents; take another profile, or other candidates"
    )


def _is_tokens(ranker: Ranker, name: str) -> bool:
    found = ranker.documents.tensors.get(name)
    if found is None or (isinstance(found, FieldTensors) and found.is_coded):
        return False
    return len(found.type.indexed) == 1 and bool(found.type.mapped)


def _vectors(ranker: Ranker, name: str, asked: Tensor) -> tuple[Tensor, ...]:
    """Return a query's vectors in the cells of a field, one a tensor.

    Raises:
        SpecError: If they are of another width.
    """
    kind = ranker.documents.tensors[name].type
    for dimension in kind.mapped:
        kind = kind.without(dimension)
    cells = asked.values
    if kind.cell_type is CellType.INT8 and asked.type.cell_type is not CellType.INT8:
        cells = pack_bits(cells.astype(np.float32))
    if cells.shape[1:] != kind.shape:
        raise SpecError(
            f"field {name}: expected vectors of {kind.shape[0]} cells, got {cells.shape[1]} of the "
            "query"
        )
    dtype = kind.cell_type.dtype
    return tuple(Tensor.dense(kind, each.astype(dtype, copy=False)) for each in cells)


def nearest_items(where: str) -> tuple[NearestNeighbor, ...]:
    """Return the nearestNeighbor items of a condition, each with the hits that it finds."""
    return tuple(
        NearestNeighbor(field=name, tensor=tensor, target_hits=int(hits))
        for hits, name, tensor in NEAREST.findall(where)
    )


def found_by_condition(
    ranker: Ranker, query: RankQuery, where: str, target_hits: int = 0
) -> Positions | None:
    """Return what a condition with nearestNeighbor items finds: (found,) int64.

    The nearest are found exactly; with them what has a word of the query, where that is asked for.

    Args:
        ranker: Has the documents.
        query: With its words and tensors.
        where: The condition.
        target_hits: Documents that each item finds; 0 for what the condition says.

    Returns:
        ``None`` for a condition without such items: what the profile matches by itself.

    Raises:
        SpecError: If a number is given for a condition without such items.
        UnknownFeatureError: If the documents lack a field that an item names.
    """
    if not (items := nearest_items(where)):
        if target_hits:
            raise SpecError(
                f"rank profile {ranker.profile.name}: the package asks without nearestNeighbor, "
                "so that --target-hits would count nothing; leave it out, or take --candidates "
                "nearest or words"
            )
        return None
    found = [found_by_words(ranker, query, len(ranker.documents))] if ANY_WORD in where else []
    for each in items:
        _require_field(ranker, each.field)
        metric = METRICS[ranker.compiled.distance_metric(each.field)]
        rows = ranker.documents.tensors[each.field]
        near = closenesses(rows, query.tensors[each.tensor], metric)
        count = target_hits or each.target_hits
        found.append(nearest_documents(near, count, furthest=metric.furthest))
    return united(found)


def found_by_words(ranker: Ranker, query: RankQuery, target_hits: int = 0) -> Positions:
    """Return the best documents by bm25 over all text fields that are indexed: (found,) int64.

    Args:
        ranker: Has the documents and knows what their terms are.
        query: With its words.
        target_hits: How many; 100 for 0.

    Raises:
        SpecError: If the schema indexes no text, or no document has one.
    """
    count, known = len(ranker.documents), ranker.documents.values
    fields = [
        each.name
        for each in (*ranker.schema.fields, *ranker.schema.derived_fields)
        if each.is_index and each.tensor_type is None and (each.name in known or not count)
    ]
    if not fields:
        raise SpecError(f"schema {ranker.schema.name}: expected an indexed text, found none")
    words = ranker.tokenize(query.text)
    scores, matches = np.zeros(count), np.zeros(count, np.bool_)
    for name in dict.fromkeys(fields):
        inverted = ranker.documents.lexical(name, ranker.tokenize)
        scores += inverted.scores(words)
        matches |= inverted.matches(words)
    return best_matches(scores, matches, target_hits or TARGET_HITS)


def field_graph(
    index: LocalIndex,
    search: TokenSearch,
    finding: Finding,
    *,
    folder: Path | None,
    say: Callable[[str], None] = lambda _line: None,
) -> TokenGraph:
    """Return the graph of a field: the one beside the index, or a new one, which is kept there.

    Args:
        index: The index.
        search: Names field and metric.
        finding: How it is built.
        folder: The index on disk; ``None`` for one in memory, whose graph is not kept.
        say: Hears that one is built, which takes minutes for a million vectors.

    Raises:
        IndexFolderError: If the one beside the index was built from other vectors.
        SpecError: If there is no graph by that metric.
        MissingExtraError: If faiss is not installed.
        OutputError: If it cannot be written.
    """
    rows: Rows = index.tensors[search.field]
    path = None if folder is None else graph_path(folder, search.field)
    if path is not None and path.is_file() and not finding.rebuild:
        return open_graph(path, rows, search.metric, finding.graph)
    say(f"building a graph over {len(rows.values)} vectors of {search.field}")
    graph = build_graph(rows, search.metric, finding.graph)
    if path is not None:
        write_graph(graph, path, rows)
        say(f"{path}: written")
    return graph
