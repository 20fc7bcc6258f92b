"""Applications ranked on a judged collection by their own profiles; vectors are made once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from vespa_colbert.app import Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.errors import SpecError, VespaColbertError
from vespa_colbert.evaluate import (
    Evaluation,
    EvaluationOptions,
    JudgedCollection,
    StoredField,
    StoredVectors,
    System,
    compare_systems,
    cutoff,
    derive_index,
    document_texts,
    missing_texts,
    open_vectors,
    parse_measures,
    read_run,
    store_vectors,
)
from vespa_colbert.evaluate.systems import PLAIN_TERMS
from vespa_colbert.export import ModelFolder
from vespa_colbert.files import digest_file
from vespa_colbert.index.lexical import plain_tokens
from vespa_colbert.pipeline.corpus import index_origin
from vespa_colbert.pipeline.query import PACKAGED_MODEL
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.search import Searcher, only_schema
from vespa_colbert.plan import measured_lengths, plan_application
from vespa_colbert.rank.documents import Tokenize
from vespa_colbert.rank.expand import calls

__all__ = [
    "Contender",
    "Pool",
    "RankedSystems",
    "evaluate_applications",
    "rank_contender",
    "stored_corpus",
]

Pool: TypeAlias = Callable[[TokenVectors], TokenVectors]
"""Token vectors of a document's text → fewer of them: (token, dim) float32 both."""

LEAST_HITS = 100
"""Hits kept of each query, so that it is known where lost answers went."""

HITS_WITHOUT_CUTOFF = 1000
"""Hits kept where a measure looks at all of them, as TREC runs have."""

BUILT_IN = frozenset({"default", "unranked"})
READS_FIELDS = frozenset({"attribute", "closeness", "distance"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """An application whose rank profiles are compared.

    Attributes:
        application: The package; its schema is read as it stands.
        model: Its model folder.
        name: Goes before the names of its profiles, where there are several applications.
        profiles: Patterns of the profiles to rank by, as ``max_sim_*``; all of them when empty.
        pool: Makes fewer vectors of a document's before cells are made of them; ``None`` for none.
        threads: Of ONNX Runtime; 0 for one a core.
        tokenize: Text → terms, for bm25; plain words by default, where Vespa stems.
    """

    application: Path
    model: ModelFolder
    name: str = ""
    profiles: tuple[str, ...] = ()
    pool: Pool | None = None
    threads: int = 0
    tokenize: Tokenize = plain_tokens


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


def stored_corpus(
    collection: JudgedCollection,
    contender: Contender,
    work: Path,
    reporter: Reporter | None = None,
) -> StoredVectors:
    """Return the token vectors of all that an application embeds, at full precision.

    They stand in a file a model; texts that are in it are not embedded again.

    Args:
        collection: With the documents.
        contender: The application and its model.
        work: Folder of the files.
        reporter: Hears of the progress.

    Raises:
        SpecError: If the package has not exactly one schema.
        OutputError: If the file cannot be written.
    """
    tell, model = reporter or Silent(), contender.model
    schema = only_schema(contender.application)
    origin = {name: each for name, each in index_origin(model, schema).items() if name != "fields"}
    path = work / f"vectors-{model.checksum[:12]}.bin"
    stored = open_vectors(path, dim=model.embedder.dim, origin=origin)
    missing = missing_texts(stored, document_texts(collection.documents, schema))
    if not missing:
        tell.say(f"token vectors: still valid, reused ({path})")
        return stored
    embedder = LocalEmbedder(model, threads=contender.threads)
    with tell.track("embedding", len(missing)) as progress:
        return store_vectors(
            stored,
            missing,
            lambda text: embedder.embed(text, "document"),
            origin=origin,
            progress=progress,
        )


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
    stored = stored_corpus(collection, contender, work, tell)
    with _searcher(collection, contender, stored, work, tell) as searcher:
        skipped = {} if contender.profiles else _unranked(searcher, collection, profiles)
        ranked = [name for name in profiles if name not in skipped]
        runs = _runs(searcher, collection, ranked, _depth(options), tell)
        fields = _stored_fields(searcher, contender)
        systems = tuple(
            System(
                name=_name(contender, profile),
                run=runs[profile],
                application=str(contender.application),
                profile=profile,
                fields=tuple(fields[name] for name in _fields_of(searcher, profile)),
                facts={
                    "model": contender.model.checksum,
                    "pooled": contender.pool is not None,
                    "terms": PLAIN_TERMS if contender.tokenize is plain_tokens else "given",
                },
            )
            for profile in ranked
        )
    return RankedSystems(
        systems=systems, skipped={_name(contender, name): why for name, why in skipped.items()}
    )


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
    stored: StoredVectors,
    work: Path,
    reporter: Reporter,
) -> Iterator[Searcher]:
    """Yield the application opened over an index that is derived from the stored vectors."""
    schema, pool = only_schema(contender.application), contender.pool

    def embed(text: str) -> TokenVectors:
        vectors = stored.embed(text)
        return vectors if pool is None else pool(vectors)

    documents = collection.documents
    with tempfile.TemporaryDirectory(prefix=".cells-", dir=work) as folder:
        with reporter.track("cells", len(documents)) as progress:
            index = derive_index(
                documents,
                schema,
                embed,
                Path(folder),
                origin=index_origin(contender.model, schema),
                progress=progress,
            )
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


def _runs(
    searcher: Searcher,
    collection: JudgedCollection,
    profiles: Sequence[str],
    depth: int,
    reporter: Reporter,
) -> dict[str, dict[str, list[str]]]:
    """Return profile → query id → ids of its hits, best first."""
    runs: dict[str, dict[str, list[str]]] = {profile: {} for profile in profiles}
    with reporter.track("queries", len(collection.queries)) as progress:
        for done, (query, text) in enumerate(collection.queries.items(), start=1):
            for profile, run in runs.items():
                run[query] = [hit.id for hit in searcher.search(text, profile, hits=depth)]
            progress(done)
    return runs


def _depth(options: EvaluationOptions) -> int:
    cutoffs = [cutoff(name) or HITS_WITHOUT_CUTOFF for name in options.measures]
    return max(LEAST_HITS, *cutoffs)


def _stored_fields(searcher: Searcher, contender: Contender) -> dict[str, StoredField]:
    """Return name → what a tensor field stores of a document."""
    if not searcher.index.tensors:
        return {}
    index = searcher.index
    lengths = measured_lengths(index, query=contender.model.embedder.max_query_tokens)
    plan = plan_application(contender.application, len(index), lengths, searcher.schema.name)
    return {
        each.name: StoredField(
            name=each.name,
            type=str(each.type),
            vectors=each.vectors,
            cell_bytes=each.vectors * each.vector_bytes,
            # Streaming mode keeps no attribute; what it reads from disk is counted.
            bytes=each.bytes_a_document or each.stored.saved,
        )
        for schema in plan.schemas
        for each in schema.fields
    }


def _fields_of(searcher: Searcher, profile: str) -> list[str]:
    """Return the tensor fields that a profile's phases read, in the order of the schema."""
    names = {
        str(argument)
        for node in searcher.ranker(profile).phases.values()
        for call in calls(node)
        if call.name in READS_FIELDS
        for argument in call.arguments or ()
    }
    return [name for name in searcher.index.tensors if name in names]
