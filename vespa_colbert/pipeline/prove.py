"""The proof: what is served equals what was evaluated here, by Vespa's own Java."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.build import EMBEDDER_NAME
from vespa_colbert.index import embedded_text, tensor_fields
from vespa_colbert.index.indexing import read_embed_statement
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.search import Searcher
from vespa_colbert.rank import Ranker
from vespa_colbert.rank.expand import calls
from vespa_colbert.rank.language.nodes import Node
from vespa_colbert.tensor import TensorType
from vespa_colbert.verify import ParityReport, Rung, compare_embeddings, compare_scores
from vespa_colbert.verify.judges import (
    JavaEmbeddings,
    JavaScores,
    LocalEmbeddings,
    LocalScores,
    ScoreCase,
    TextCase,
)
from vespa_colbert.verify.parity import SCORES_TOLERANCE
from vespa_colbert.verify.report import RungCount
from vespa_colbert.vespa_java import EmbedderComponent, VespaJava

__all__ = ["ProofOptions", "prove"]

CONTENT_NODE = frozenset({"bm25", "closeness", "distance", "firstPhase", "secondPhase"})
"""Features that the local ranker has and the Java judge has not: a content node computes them."""

RESULT = frozenset({
    "normalize_linear",
    "reciprocal_rank",
    "reciprocal_rank_fusion",
    "relevanceScore",
})
"""Features that a hit has among others only, not by itself."""

REPEATED_PAIRS = 10
"""Pairs for an expression that another profile has been proved with already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOptions:
    """How much is compared: the table ``[verify]`` of a recipe.

    Attributes:
        documents: Documents embedded by both sides.
        queries: Queries embedded by both sides.
        pairs: Pairs scored by both sides, for each distinct expression.
        seed: Of the sample.
    """

    documents: int = 50
    queries: int = 10
    pairs: int = 100
    seed: int = 0


def prove(
    searcher: Searcher,
    java: VespaJava,
    queries: Mapping[str, str],
    options: ProofOptions,
    reporter: Reporter | None = None,
) -> ParityReport:
    """Return the ladder between the local code and Vespa's Java.

    Args:
        searcher: The package, the index and the model.
        java: The judge.
        queries: Query id → text; the first ``options.queries`` of them are used, or titles and
            beginnings of documents where there are none.
        options: How much is compared.
        reporter: Hears of the progress.

    Raises:
        VespaJavaError: If Vespa's code cannot be run.
    """
    tell = reporter or Silent()
    random = np.random.default_rng(options.seed)
    asked = _some_queries(searcher, queries, options.queries)
    count = min(options.documents, len(searcher.index))
    sampled = np.sort(random.choice(len(searcher.index), count, replace=False))
    cases = _text_cases(searcher, asked, sampled)
    local = LocalEmbeddings(embedder=searcher.embedder, index=searcher.index)
    component = EmbedderComponent(folder=searcher.application, component_id=_component(searcher))
    theirs = JavaEmbeddings(java=java, component=component)
    with tell.track("embedding with Vespa's Java", len(cases)) as progress:
        rungs = compare_embeddings(cases, (local, theirs), progress)
    rungs += _score_rungs(searcher, java, asked, options, tell)
    return ParityReport(
        judges=("local", "Vespa's Java"), rungs=tuple(rungs), versions=java.versions()
    )


def _some_queries(searcher: Searcher, queries: Mapping[str, str], count: int) -> dict[str, str]:
    """Return queries to compare with: those given, else what documents begin with."""
    if queries:
        return dict(list(queries.items())[:count])
    found = {}
    for document in searcher.index.documents[:count]:
        words = (document.fields.get("title") or document.fields.get("text", "")).split()
        found[f"title of {document.id}"] = " ".join(words[:8])
    return found


def _component(searcher: Searcher) -> str:
    """Return the id of the component that fills the tensor fields."""
    for field in tensor_fields(searcher.schema):
        for indexing in field.indexing:
            statement = read_embed_statement(indexing, field.name)
            if statement is not None and statement.component is not None:
                return statement.component
    return EMBEDDER_NAME


def _text_cases(
    searcher: Searcher, queries: Mapping[str, str], sampled: NDArray[np.int64]
) -> list[TextCase]:
    """Return the queries, and each document once for every text that its fields embed."""
    inputs = {
        f"query({name})": each
        for profile in searcher.schema.rank_profiles
        for name, each in searcher.schema.profile(profile.name).input_types.items()
        if not each.is_number
    }
    cases = [
        TextCase(name=f"query {name}", text=text, role="query", targets=inputs)
        for name, text in queries.items()
    ]
    for position in sampled.tolist():
        document = searcher.index.documents[position]
        by_text: dict[str, dict[str, TensorType]] = {}
        for name, rows in searcher.index.tensors.items():
            text = embedded_text(searcher.schema, name, document.fields)
            if text is not None:
                by_text.setdefault(text, {})[f"{searcher.schema.name}.{name}"] = rows.type
        cases += [
            TextCase(
                name=f"document {document.id}",
                text=text,
                role="document",
                targets=targets,
                document=position,
            )
            for text, targets in by_text.items()
        ]
    return cases


def _score_rungs(
    searcher: Searcher,
    java: VespaJava,
    queries: Mapping[str, str],
    options: ProofOptions,
    tell: Reporter,
) -> list[Rung]:
    """Return a rung for every phase of every profile."""
    proved: dict[Node, str] = {}
    rungs = []
    jobs = [
        (searcher.ranker(profile.name), phase)
        for profile in searcher.schema.rank_profiles
        for phase in searcher.ranker(profile.name).phases
    ]
    with tell.track("scoring with Vespa's Java", len(jobs)) as progress:
        for done, (ranker, phase) in enumerate(jobs, start=1):
            node = ranker.phases[phase]
            pairs = options.pairs if node not in proved else min(REPEATED_PAIRS, options.pairs)
            rung = _score_rung(
                searcher, java, (ranker, phase), _Sample(queries, pairs, options.seed)
            )
            proved.setdefault(node, rung.name)
            rungs.append(rung)
            progress(done)
    return rungs


@dataclass(frozen=True, slots=True)
class _Sample:
    """Which pairs are scored."""

    queries: Mapping[str, str]
    pairs: int
    seed: int


def _score_rung(
    searcher: Searcher, java: VespaJava, job: tuple[Ranker, str], sample: _Sample
) -> Rung:
    """Return the rung of one phase of one profile."""
    ranker, phase = job
    node = ranker.phases[phase]
    name = f"score, {ranker.profile.name} {phase}"
    features = {call.feature_name for call in calls(node) if call.name in CONTENT_NODE}
    if features:
        count = RungCount(name, SCORES_TOLERANCE, "relative")
        return count.rung(f"{', '.join(sorted(features))}: computed by a content node, not by Java")
    if among := {call.feature_name for call in calls(node) if call.name in RESULT}:
        count = RungCount(name, SCORES_TOLERANCE, "relative")
        return count.rung(f"{', '.join(sorted(among))}: computed over a result, not for a hit")
    cases = _pairs(searcher, ranker, sample)
    judges = (
        LocalScores(ranker=ranker, node=node),
        JavaScores(
            java=java,
            application=searcher.application,
            ranker=ranker,
            function=phase,
            node=node,
        ),
    )
    return compare_scores(name, cases, judges)


def _pairs(searcher: Searcher, ranker: Ranker, sample: _Sample) -> list[tuple[str, ScoreCase]]:
    """Return pairs: for each query half of its best hits, half documents at random."""
    random = np.random.default_rng(sample.seed)
    each = -(-sample.pairs // max(1, len(sample.queries)))
    found = []
    for name, text in sample.queries.items():
        query = searcher.query(text, ranker.profile.name)
        best = [hit.position for hit in ranker.rank(query, hits=each - each // 2)]
        others = [place for place in range(len(searcher.index)) if place not in set(best)]
        count = min(each - len(best), len(others))
        chosen = best + random.choice(others, count, replace=False).tolist() if others else best
        for position in chosen:
            case = ScoreCase(query=query, document=position)
            found.append((f"{name} with {searcher.index.documents[position].id}", case))
    return found[: sample.pairs]
