"""Applications ranked on a judged collection by their own profiles; vectors are made once."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vespa_colbert.app import Schema
from vespa_colbert.codec import read_codec
from vespa_colbert.errors import SpecError, VespaColbertError
from vespa_colbert.evaluate import (
    Evaluation,
    EvaluationOptions,
    JudgedCollection,
    System,
    compare_systems,
    cutoff,
    derive_index,
    parse_measures,
    read_run,
)
from vespa_colbert.evaluate.systems import PLAIN_TERMS
from vespa_colbert.files import digest_file
from vespa_colbert.index.lexical import plain_tokens
from vespa_colbert.pipeline.contender import Contender
from vespa_colbert.pipeline.corpus import index_origin
from vespa_colbert.pipeline.other_models import OtherModels
from vespa_colbert.pipeline.query import PACKAGED_MODEL, other_inputs
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.residuals import coded_field
from vespa_colbert.pipeline.search import Searcher, only_schema
from vespa_colbert.pipeline.stored_corpus import stored_embedding
from vespa_colbert.pipeline.stored_fields import fields_of, stored_fields

__all__ = [
    "RankedSystems",
    "evaluate_applications",
    "rank_contender",
]

LEAST_HITS = 100
"""Hits kept of each query, so that it is known where lost answers went."""

HITS_WITHOUT_CUTOFF = 1000
"""Hits kept where a measure looks at all of them, as TREC runs have."""

QUERIES_AT_ONCE = 16
"""Ranked together, so that progress is seen."""

BUILT_IN = frozenset({"default", "unranked"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSystems:
    """What came of an application.

    Attributes:
        systems: Its rank profiles with what they found.
        skipped: Name of a profile → why the local ranker cannot rank by it.
    """

    systems: tuple[System, ...]
    skipped: dict[str, str]


def evaluate_applications(
    collection: JudgedCollection,
    contenders: Sequence[Contender],
    work: Path,
    options: EvaluationOptions,
    *,
    runs: Sequence[Path] = (),
    reporter: Reporter | None = None,
) -> Evaluation:
    """Return how good the rank profiles of applications are, each compared with the baseline.

    Args:
        collection: Documents, judged queries, judgements.
        contenders: The applications.
        work: Folder of what is kept between runs; made if need be.
        options: What is measured.
        runs: Files in TREC's form, compared too.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a run has a bad line, a measure is unknown, or two systems have one
            name.
        SpecError: If a package holds another model than its own, or no profile has the names given.
        OutputError: If the folder cannot be written.
        VespaColbertError: If a profile that was named cannot be ranked by.
    """
    parse_measures(options.measures)
    known = {each.id for each in collection.documents}
    systems = [System(name=path.stem, run=read_run(path, documents=known)) for path in runs]
    skipped: dict[str, str] = {}
    work.mkdir(parents=True, exist_ok=True)
    for contender in contenders:
        ranked = rank_contender(collection, contender, work, options, reporter)
        systems += ranked.systems
        skipped |= ranked.skipped
    return compare_systems(collection, systems, options, skipped)


def rank_contender(
    collection: JudgedCollection,
    contender: Contender,
    work: Path,
    options: EvaluationOptions,
    reporter: Reporter | None = None,
) -> RankedSystems:
    """Return what the rank profiles of an application find for the judged queries.

    Args:
        collection: Documents and queries.
        contender: The application.
        work: Folder of what is kept between runs.
        options: Its measures say how many hits are kept.
        reporter: Hears of the progress.

    Raises:
        SpecError: If the package holds another model, or no profile is of the names given.
        CollectionError: If a measure is unknown.
        VespaColbertError: If a profile that was named cannot be ranked by.
    """
    tell = reporter or Silent()
    parse_measures(options.measures)
    _require_model(contender)
    profiles = _profiles(only_schema(contender.application), contender)
    with _searcher(collection, contender, work, tell) as searcher:
        skipped = {} if contender.profiles else _unranked(searcher, collection, profiles)
        ranked = [name for name in profiles if name not in skipped]
        runs = _runs(searcher, collection, ranked, _depth(options), tell)
        fields = stored_fields(searcher, contender.application, contender.model)
        facts = _facts(contender)
        systems = tuple(
            System(
                name=_name(contender, profile),
                run=runs[profile].found,
                application=str(contender.application),
                profile=profile,
                fields=tuple(fields[name] for name in fields_of(searcher, profile)),
                facts={**facts, "seconds-a-query": runs[profile].seconds},
            )
            for profile in ranked
        )
    return RankedSystems(
        systems=systems, skipped={_name(contender, name): why for name, why in skipped.items()}
    )


def _facts(contender: Contender) -> dict[str, Any]:
    """Return what a reader should know of all profiles of a contender."""
    codec = None if contender.codec is None else read_codec(contender.codec)
    return {
        "model": contender.model.checksum,
        "pooled": contender.pool is not None,
        "pooling": contender.pool_key,
        "terms": PLAIN_TERMS if contender.tokenize is plain_tokens else "given",
        "codec": None
        if codec is None
        else {"bits": codec.bits, "dim": codec.dim, "centroids": len(codec.centroids)},
    }


def _name(contender: Contender, profile: str) -> str:
    return f"{contender.name}:{profile}" if contender.name else profile


def _require_model(contender: Contender) -> None:
    """Return nothing if the package holds the model, or none.

    Raises:
        SpecError: If it holds another one.
    """
    packaged = contender.application / PACKAGED_MODEL
    if packaged.is_file() and digest_file(packaged).sha256 != contender.model.checksum:
        raise SpecError(
            f"{contender.model.path}: expected the model that {contender.application} holds, got "
            "another; name its model folder, or generate again"
        )


def _profiles(schema: Schema, contender: Contender) -> list[str]:
    """Return the names of the profiles to rank by, in the schema's order.

    Raises:
        SpecError: If a pattern fits none.
    """
    declared = {each.name for each in schema.rank_profiles}
    names = [name for name in schema.profile_names if name in declared or name not in BUILT_IN]
    wanted = contender.profiles or ("*",)
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SpecError(
                f"{contender.application}: expected rank profiles {pattern!r}, there are "
                f"{', '.join(names) or 'none'}"
            )
    return [name for name in names if any(fnmatchcase(name, each) for each in wanted)]


@contextmanager
def _searcher(
    collection: JudgedCollection,
    contender: Contender,
    work: Path,
    reporter: Reporter,
) -> Iterator[Searcher]:
    """Yield the application opened over an index that is derived from the stored vectors."""
    schema, codec = only_schema(contender.application), contender.codec
    embed = stored_embedding(collection, contender, work, reporter)
    documents = collection.documents
    with tempfile.TemporaryDirectory(prefix=".cells-", dir=work) as folder:
        with reporter.track("cells", len(documents)) as progress:
            index = derive_index(
                documents,
                schema
                if codec is None
                else coded_field(contender.application, codec, contender.model),
                embed,
                Path(folder),
                origin=index_origin(contender.model, schema),
                progress=progress,
            )
        if any(other_inputs(schema.profile(name)) for name in _profiles(schema, contender)):
            others = OtherModels(contender.application, schema, threads=contender.threads)
            others.keep_vectors(documents, work, reporter)
        yield Searcher(
            contender.application,
            index,
            contender.model,
            threads=contender.threads,
            tokenize=contender.tokenize,
        )


def _unranked(
    searcher: Searcher, collection: JudgedCollection, profiles: Sequence[str]
) -> dict[str, str]:
    """Return profile → why the local ranker cannot rank by it, found out with one query."""
    found = {}
    text = next(iter(collection.queries.values()))
    for profile in profiles:
        try:
            searcher.search(text, profile, hits=1)
        except VespaColbertError as error:
            found[profile] = str(error)
    return found


@dataclass(slots=True, kw_only=True)
class _Run:
    """What a profile finds.

    Attributes:
        found: Query id → ids of its hits, best first.
        times: Seconds that ranking took, a query each, without embedding it; of queries that were
            ranked together their share.
    """

    found: dict[str, list[str]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median of the times."""
        return statistics.median(self.times) if self.times else 0.0


def _runs(
    searcher: Searcher,
    collection: JudgedCollection,
    profiles: Sequence[str],
    depth: int,
    reporter: Reporter,
) -> dict[str, _Run]:
    """Return profile → what it finds."""
    runs = {profile: _Run() for profile in profiles}
    asked = list(collection.queries.items())
    for profile in profiles if asked else ():
        searcher.search(asked[0][1], profile, hits=1)  # what is made once is no query's time
    with reporter.track("queries", len(asked)) as progress:
        for start in range(0, len(asked), QUERIES_AT_ONCE):
            names, texts = zip(*asked[start : start + QUERIES_AT_ONCE], strict=True)
            for profile, run in runs.items():
                queries = [searcher.query(text, profile) for text in texts]
                started = time.perf_counter()
                found = searcher.rank_all(queries, profile, hits=depth)
                run.times += [(time.perf_counter() - started) / len(texts)] * len(texts)
                run.found |= {
                    name: [hit.id for hit in hits] for name, hits in zip(names, found, strict=True)
                }
            progress(start + len(texts))
    return runs


def _depth(options: EvaluationOptions) -> int:
    cutoffs = [cutoff(name) or HITS_WITHOUT_CUTOFF for name in options.measures]
    return max(LEAST_HITS, *cutoffs)
