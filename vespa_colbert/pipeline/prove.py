"""The proof: what is served equals what was evaluated here, by Vespa's own Java."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.app.build import EMBEDDER_NAME
from vespa_colbert.app.sent import holds_tokens
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.index import CodedRows, Document, embedded_fields
from vespa_colbert.pipeline.query import (
    other_inputs,
    package_queries,
    sent_fields,
    token_inputs,
)
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.scored_pairs import BROKEN, scored_pairs
from vespa_colbert.pipeline.search import Searcher
from vespa_colbert.pipeline.served import (
    Answering,
    Served,
    downloads_others,
    embeds_tokens,
    local_copies,
)
from vespa_colbert.rank import Ranker
from vespa_colbert.rank.expand import calls, plain
from vespa_colbert.rank.language.nodes import Call, Node, Operation
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.tensor import CellType, TensorType
from vespa_colbert.verify import (
    ParityReport,
    Rung,
    Verdict,
    compare_embeddings,
    compare_results,
    compare_scores,
)
from vespa_colbert.verify.judges import (
    EmbeddingJudge,
    JavaEmbeddings,
    JavaScores,
    LocalEmbeddings,
    LocalScores,
    PooledEmbeddings,
    TextCase,
)
from vespa_colbert.verify.parity import EXACT, SCORES_TOLERANCE
from vespa_colbert.verify.report import RungCount
from vespa_colbert.verify.result_judges import JavaResults, LocalResults
from vespa_colbert.vespa_java import EmbedderComponent, EmbedderFiles, VespaJava

__all__ = ["ProofOptions", "prove"]

CONTENT_NODE = frozenset({"bm25", "closeness", "distance", "firstPhase", "secondPhase"})
"""Features that a content node computes: the Java judge is given the local ranker's values."""

RESULT = frozenset({
    "normalize_linear",
    "reciprocal_rank",
    "reciprocal_rank_fusion",
    "relevanceScore",
})
"""Features that a hit has among others only, not by itself."""

DIVIDES = "Cannot perform divide on tensor"
"""What Vespa's Java says of ``1 / tensor``. Source: DoubleValue.divide, Vespa 8.700.24."""

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
    theirs: EmbeddingJudge = JavaEmbeddings(java=java, component=_component(searcher))
    if (pooling := searcher.pooling).is_active:
        dim = searcher.embedder.spec.dim
        theirs = PooledEmbeddings(judge=theirs, pooling=pooling, dim=dim)
    with tell.track("embedding with Vespa's Java", len(cases)) as progress:
        rungs = compare_embeddings(cases, (local, theirs), progress)
    rungs += _unchecked_codes(searcher)
    served = Served(searcher, java, sampled.tolist())
    rungs += _score_rungs(searcher, java, _Sample(asked, options.pairs, options.seed, served), tell)
    return ParityReport(
        judges=("local", "Vespa's Java"), rungs=tuple(rungs), versions=java.versions()
    )


def _unchecked_codes(searcher: Searcher) -> Iterator[Rung]:
    """Yield the rung of codes of token vectors, if the index has some: nothing else makes them."""
    tensors = searcher.index.tensors.items()
    for name in (name for name, rows in tensors if isinstance(rows, CodedRows)):
        reason = f"{name}: codes, which Vespa does not make: their scores alone are compared"
        yield RungCount("rows, residuals", EXACT, "exact").rung(reason)


def _some_queries(searcher: Searcher, queries: Mapping[str, str], count: int) -> dict[str, str]:
    """Return queries to compare with: those given, else what documents begin with."""
    if queries:
        return dict(list(queries.items())[:count])
    found = {}
    for document in searcher.index.documents[:count]:
        said = document.text("title") or document.text("text") or document.text("contexts")
        words = said.split()
        found[f"title of {document.id}"] = " ".join(words[:8])
    return found


def _component(searcher: Searcher) -> EmbedderComponent | EmbedderFiles:
    """Return what fills the tensor fields: the package's component, or the model that fed them."""
    fields = embedded_fields(searcher.schema)
    names = [each.statement.component for each in fields.values() if each.holds_tokens]
    is_fed = any(searcher.schema.field(name).in_document for name in fields)
    if is_fed or not (names or embeds_tokens(searcher.application)):
        folder = searcher.embedder.folder
        return EmbedderFiles(
            model=folder.model_path, tokenizer=folder.tokenizer_path, spec=folder.embedder
        )
    name = next(filter(None, names), EMBEDDER_NAME)
    copies = local_copies(searcher.application, searcher.embedder.folder)
    return EmbedderComponent(folder=searcher.application, component_id=name, models=copies)


def _text_cases(
    searcher: Searcher, queries: Mapping[str, str], sampled: NDArray[np.int64]
) -> list[TextCase]:
    """Return the queries, and each document once for every text that its fields embed."""
    inputs = {
        f"query({name})": each
        for profile in searcher.schema.rank_profiles
        for name, each in token_inputs(searcher.schema.profile(profile.name)).items()
        if holds_tokens(each) and each.cell_type is not CellType.INT8
    }
    cases = [
        TextCase(name=f"query {name}", text=text, role="query", targets=inputs)
        for name, text in queries.items()
    ]
    for position in sampled.tolist():
        document = searcher.index.documents[position]
        cases += [
            TextCase(
                name=f"document {document.id}" + (f" text {place}" if place else ""),
                text=text,
                role="document",
                targets=targets,
                document=position,
                place=place,
            )
            for (place, text), targets in _embedded_texts(searcher, document).items()
        ]
    return cases


def _embedded_texts(
    searcher: Searcher, document: Document
) -> dict[tuple[int, str], dict[str, TensorType]]:
    """Return place and text of what a document's fields embed → the fields, with their types."""
    found: dict[tuple[int, str], dict[str, TensorType]] = {}
    for name, field in embedded_fields(searcher.schema).items():
        if name in searcher.index.tensors:
            for each in field.statement.passages(document.fields).items():
                found.setdefault(each, {})[f"{searcher.schema.name}.{name}"] = field.inner_type
    return found


@dataclass(frozen=True, slots=True)
class _Sample:
    """Which pairs are scored; those of profiles that ask for other models are of ``served``."""

    queries: Mapping[str, str]
    pairs: int
    seed: int
    served: Served


@dataclass(frozen=True, slots=True)
class _Job:
    """A phase to prove, and who has its documents and questions."""

    source: Answering
    ranker: Ranker
    phase: str

    @property
    def node(self) -> Node:
        """The phase's expression, functions expanded."""
        return self.ranker.phases[self.phase]

    @property
    def name(self) -> str:
        """Name of the rung."""
        return f"score, {self.ranker.profile.name} {self.phase}"

    def not_checked(self, reason: str) -> Rung:
        """Return the rung of a phase that nothing was compared of."""
        return _not_checked(self.name, reason)


def _not_checked(name: str, reason: str) -> Rung:
    return RungCount(name, SCORES_TOLERANCE, "relative").rung(reason)


def _score_rungs(
    searcher: Searcher, java: VespaJava, sample: _Sample, tell: Reporter
) -> list[Rung]:
    """Return a rung for every phase of every profile, and one for a profile that has none."""
    proved = set[Node]()
    rungs = []
    jobs = [
        job for each in searcher.schema.rank_profiles for job in _jobs(searcher, each.name, sample)
    ]
    with tell.track("scoring with Vespa's Java", len(jobs)) as progress:
        for done, job in enumerate(jobs, start=1):
            if isinstance(job, Rung):
                rungs.append(job)
            else:
                rungs.append(_checked(searcher, java, job, sample, proved))
            progress(done)
    return rungs


def _checked(
    searcher: Searcher, java: VespaJava, job: _Job, sample: _Sample, proved: set[Node]
) -> Rung:
    """Return the rung of a phase, not checked where the profile is broken.

    Args:
        searcher: The package, the index and the model.
        java: The judge.
        job: The phase.
        sample: Which pairs are scored.
        proved: Expressions that have passed; this one is added if it does.
    """
    pairs = sample.pairs if job.node not in proved else min(REPEATED_PAIRS, sample.pairs)
    try:
        rung = _score_rung(searcher, java, job, replace(sample, pairs=pairs))
    except BROKEN as error:
        return job.not_checked(str(error).split("\n")[0])
    if rung.verdict is Verdict.PASSED:
        proved.add(job.node)
    return rung


def _jobs(searcher: Searcher, profile: str, sample: _Sample) -> Iterator[_Job | Rung]:
    """Yield the phases of a profile; what other models fill is filled by Vespa's own code.

    For a profile that is broken as a whole its rung.
    """
    source: Answering = searcher
    try:
        ranker = source.ranker(profile)
        if other_inputs(ranker.profile) and not _unfilled(searcher, profile):
            ranker, source = sample.served.ranker(profile), sample.served
    except BROKEN as error:
        yield _not_checked(f"score, {profile}", str(error).split("\n")[0])
        return
    for phase in ranker.phases:
        yield _Job(source, ranker, phase)


def _unfilled(searcher: Searcher, profile: str) -> str:
    """Return why a profile's inputs of other models cannot be filled; empty if they can."""
    known = package_queries(searcher.application)
    if profile not in known:
        return "it is not known what fills it"
    others = other_inputs(searcher.ranker(profile).profile)
    if any(not source for name, source in known[profile].inputs if name in others):
        return "sent by whoever asks"
    if downloads_others(searcher.application):
        return "made by a model that Vespa downloads, which is not at hand"
    return ""


def _score_rung(searcher: Searcher, java: VespaJava, job: _Job, sample: _Sample) -> Rung:
    """Return the rung of one phase of one profile.

    Raises:
        VespaJavaError: If Vespa's code cannot be run.
    """
    if (others := other_inputs(job.ranker.profile)) and job.source is searcher:
        why = _unfilled(searcher, job.ranker.profile.name)
        return job.not_checked(f"query({others[0]}): {why}")
    if why := _absent_field(searcher, job.node):
        return job.not_checked(why)
    if any(call.name in RESULT for call in calls(job.node)):
        return _result_rung(searcher, java, job, sample)
    given = _given_features(calls(job.node))
    if _is_given(job.node):
        return job.not_checked(f"{given}: computed by a content node, not by Java")
    judges = (
        LocalScores(ranker=job.ranker, node=job.node),
        JavaScores(
            java=java,
            application=searcher.application,
            ranker=job.ranker,
            function=job.phase,
        ),
    )
    queries, count = sample.queries, sample.pairs
    pairs = scored_pairs(job.source, job.ranker, queries, count=count, seed=sample.seed)
    remark = "; ".join(filter(None, (_remark(given), pairs.remark)))
    try:
        return compare_scores(job.name, pairs.cases, judges, remark)
    except VespaJavaError as error:
        if DIVIDES not in str(error):
            raise
        return job.not_checked("divides a number by a tensor: a content node does, Java does not")


def _absent_field(searcher: Searcher, node: Node) -> str:
    """Return which tensor field of an expression the index lacks, and why; empty for none."""
    embedded = embedded_fields(searcher.schema).items()
    whys = {name: "not in this index" for name, each in embedded if each.holds_tokens}
    whys |= dict.fromkeys(sent_fields(searcher.application), "sent by whoever feeds")
    named = {
        str(each.arguments[0])
        for each in calls(node)
        if each.name == "attribute" and each.arguments
    }
    absent = sorted(named & whys.keys() - searcher.index.tensors.keys())
    return f"attribute({absent[0]}): {whys[absent[0]]}" if absent else ""


def _is_given(node: Node) -> bool:
    """Return whether an expression is but a sum of what a content node computes."""
    node = plain(node)
    if isinstance(node, Operation):
        return node.operator == "+" and _is_given(node.left) and _is_given(node.right)
    return isinstance(node, Call) and node.name in CONTENT_NODE


def _given_features(features: Sequence[Call]) -> str:
    """Return which features the judge is given, as no Java computes them; empty for none."""
    return ", ".join(sorted({each.feature_name for each in features if each.name in CONTENT_NODE}))


def _remark(given: str) -> str:
    return f"own value not checked, computed by a content node: {given}" if given else ""


def _result_rung(searcher: Searcher, java: VespaJava, job: _Job, sample: _Sample) -> Rung:
    """Return the rung of a phase over whole results, which the container computes."""
    ranker, name = job.ranker, job.ranker.profile.name
    hits = max(1, sample.pairs // max(1, len(sample.queries)))
    theirs = JavaResults(java=java, application=searcher.application, ranker=ranker, hits=hits)
    given = [parse_expression(name) for name in theirs.features()]
    return compare_results(
        job.name,
        {said: job.source.query(text, name) for said, text in sample.queries.items()},
        (LocalResults(ranker=ranker, hits=hits), theirs),
        _remark(_given_features([call for each in given for call in calls(each)])),
    )
