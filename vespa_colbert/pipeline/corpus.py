"""Corpus → local index, by what the application's schema says."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vespa_colbert.app import Schema
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder import LocalEmbedder
from vespa_colbert.embedder.batches import embed_documents, worker_threads
from vespa_colbert.embedder.pooling import NOT_POOLED, pooled_documents
from vespa_colbert.errors import IndexFolderError, OutputError
from vespa_colbert.export import ModelFolder
from vespa_colbert.files import atomic_file, write_lock
from vespa_colbert.index import LocalIndex, open_index
from vespa_colbert.index.join import publish
from vespa_colbert.index.manifest import PARTIAL, IndexManifest, check_origin
from vespa_colbert.index.snapshot import open_snapshot
from vespa_colbert.index.writer import IndexWriter, write_index
from vespa_colbert.json_lines import json_object, numbered_lines
from vespa_colbert.pipeline.embed_request import EmbedRequest, OnError, index_origin
from vespa_colbert.pipeline.embedding import CorpusEmbedding, NumberedDocument, SkippedLine
from vespa_colbert.pipeline.outputs import check_index
from vespa_colbert.pipeline.reporter import Made, Reporter, Silent
from vespa_colbert.pipeline.survey import Survey, survey_corpus, surveyed_documents
from vespa_colbert.processors import processors

__all__ = [
    "EmbedRequest",
    "Embedded",
    "OnError",
    "append_corpus",
    "embed_corpus",
    "embed_slice",
    "index_origin",
    "read_report",
    "stands",
    "write_report",
]

UNSAID = {"pooling": NOT_POOLED, "runtime": "onnxruntime"}
"""How documents may be added to an index that does not say it: PLAID's, which others made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What came of it.

    Attributes:
        path: The index.
        documents: How many it has.
        reused: Whether it stood there already and was made from the same.
        kept: Documents that an earlier run had embedded, of those that it has.
        skipped: Lines that were passed over.
    """

    path: Path
    documents: int
    reused: bool = False
    kept: int = 0
    skipped: tuple[SkippedLine, ...] = ()


def embed_corpus(
    corpus: Path,
    model: ModelFolder,
    schema: Schema,
    output: Path,
    *,
    threads: int = 0,
    reporter: Reporter | None = None,
) -> Made[LocalIndex]:
    """Return the local index of a corpus.

    Args:
        corpus: JSON lines with ``_id``, ``title`` and ``text``.
        model: The model folder.
        schema: Its tensor fields say what is embedded and how it is stored.
        output: The index folder; reused where it is whole and was made from the same. A run that
            was killed leaves ``OUTPUT.partial``, and the next one goes on from there.
        threads: How many texts go through the model at a time; 0 for one a processor.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a line of the corpus is bad; nothing is written then.
        IndexFolderError: If the schema embeds nothing.
        OutputError: If the folder cannot be written.
    """
    request = EmbedRequest(
        corpus=corpus, model=model, schema=schema, output=output, threads=threads
    )
    done = embed_slice(request, survey_corpus(request), reporter=reporter)
    return Made(value=open_index(output), reused=done.reused)


def stands(path: Path, origin: dict[str, str]) -> int | None:
    """Return how many documents an index has that was made with just that; ``None`` for another."""
    with contextlib.suppress(IndexFolderError):
        snapshot = open_snapshot(path, origin=origin)
        if snapshot.manifest.origin == origin:
            return len(snapshot)
    return None


def embed_slice(
    request: EmbedRequest,
    survey: Survey,
    part: range | None = None,
    *,
    facts: dict[str, str] | None = None,
    reporter: Reporter | None = None,
) -> Embedded:
    """Return what came of embedding a part of a corpus into an index of its own.

    Args:
        request: The whole corpus, and the index.
        survey: What it holds.
        part: Places of the documents; all of them where none are given.
        facts: What the index is to remember beside model and corpus.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a document cannot be embedded, and is not passed over.
        IndexFolderError: If the schema embeds nothing, or no document has what it embeds.
        OutputError: If the folder cannot be written, or holds residuals of the same model while
            vectors are asked for.
    """
    tell, output = reporter or Silent(), request.output
    origin = request.origin
    origin |= {"corpus": survey.checksum, **(facts or {})}
    partial = output.with_name(f"{output.name}{PARTIAL}")
    if (documents := stands(output, origin)) is not None:
        _clean(output, partial)
        return Embedded(path=output, documents=documents, reused=True, skipped=survey.skipped)
    check_index(request)
    kinds = request.kinds
    for name in request.left_out:
        tell.say(f"field {name} holds no token vectors: it is left out of the local index")
    begins = IndexManifest(
        schema=request.schema.name,
        fields=kinds,
        origin={name: each for name, each in origin.items() if name != "corpus"},
        is_unfinished=True,
    )
    places = range(survey.documents) if part is None else part
    with write_index(partial, start=begins) as writer:
        kept = len(writer)
        if kept:
            tell.say(f"{partial}: {kept} documents of an earlier run are gone on with")
        given = surveyed_documents(request, survey, places)
        run = _embed(request, writer, given, tell, count=max(len(places) - kept, 0))
        _publish(request, replace(begins, origin=origin, is_unfinished=False), writer, run)
        skipped = (*survey.skipped, *run.skipped)
        write_report(request.report, skipped)
        shutil.rmtree(partial, ignore_errors=True)
    count = sum(map(len, run.ids))
    return Embedded(path=output, documents=count, kept=min(kept, count), skipped=skipped)


def _clean(output: Path, partial: Path) -> None:
    """Remove what a run left that was killed when its index had its name; others' work stays."""
    with contextlib.suppress(OutputError), write_lock(partial), write_lock(output):
        shutil.rmtree(partial, ignore_errors=True)


def _embed(
    request: EmbedRequest,
    writer: IndexWriter,
    documents: Iterable[NumberedDocument],
    tell: Reporter,
    *,
    count: int,
) -> CorpusEmbedding:
    """Return the run that embedded documents.

    Args:
        request: What is embedded.
        writer: The index.
        documents: Of the corpus.
        tell: Hears of the progress.
        count: How many of them are to be embedded, as far as is known.
    """
    workers = request.threads or processors()
    embedder = LocalEmbedder(request.model, threads=1, calls=workers, runtime=request.runtime)

    def embed(
        texts: Sequence[str], pool: Executor, progress: Callable[[int], None]
    ) -> list[TokenVectors]:
        made = embed_documents(embedder, texts, pool, progress=progress)
        return pooled_documents(made, request.pooling, pool)

    with (
        tell.track("embedding", count) as progress,
        worker_threads(workers) as pool,
    ):
        run = CorpusEmbedding(
            schema=request.schema,
            embed=embed,
            pool=pool,
            writer=writer,
            skips=request.on_error == "skip",
            progress=progress,
            coded=request.coded,
        )
        run.run(documents)
    return run


def _publish(
    request: EmbedRequest, manifest: IndexManifest, writer: IndexWriter, run: CorpusEmbedding
) -> None:
    """Give the index its name, its documents in the order of the corpus.

    Raises:
        IndexFolderError: If a document is missing, or none has what a field embeds.
        OutputError: If the folder cannot be written.
    """
    ids = np.concatenate([np.zeros((0, 2), np.uint64), *run.ids])
    places = np.concatenate([np.zeros(0, np.int64), *run.places])
    locations = writer.find(ids)
    if (locations < 0).any():
        raise IndexFolderError(f"{writer.path}: documents are missing; remove it and embed again")
    is_whole = "shard" not in manifest.origin
    publish(request.output, manifest, writer.segments, locations, places, is_whole=is_whole)


def read_report(path: Path) -> tuple[SkippedLine, ...]:
    """Return which lines were passed over; none where there is no report."""
    if not path.is_file():
        return ()
    return tuple(SkippedLine(**json_object(line, str(path))) for _, line in numbered_lines(path))


def write_report(path: Path, skipped: Sequence[SkippedLine]) -> None:
    """Write which lines were passed over and why, as JSON lines; no file where none was."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as file, file.open("w", encoding="utf-8") as stream:
        for each in sorted(skipped, key=lambda one: one.line):
            stream.write(json.dumps(asdict(each), ensure_ascii=False) + "\n")


def append_corpus(request: EmbedRequest, *, reporter: Reporter | None = None) -> Embedded:
    """Return what came of adding a corpus to an index, in place of documents with the same ids.

    Documents are there block by block; a run that was killed is simply run again.

    Args:
        request: The corpus, and the index.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a line is bad and is not passed over.
        IndexFolderError: If there is no index, or it was made with another model or other fields.
        OutputError: If it cannot be written.
    """
    survey = survey_corpus(request)
    origin = request.origin
    with write_index(request.output) as writer:
        if writer.manifest.is_coded and request.coded is None:
            raise IndexFolderError(f"{request.output}: holds residuals; name their codec: --codec")
        said = writer.manifest.origin
        wanted = {
            name: each for name, each in origin.items() if name in said or each != UNSAID.get(name)
        }
        check_origin(request.output, said, wanted)
        before = writer.manifest.generation
        given = surveyed_documents(request, survey, range(survey.documents), writer.next_place)
        run = _embed(request, writer, given, reporter or Silent(), count=survey.documents)
        skipped = (*survey.skipped, *run.skipped)
        write_report(request.report, skipped)
        return Embedded(
            path=request.output,
            documents=len(writer),
            reused=writer.manifest.generation == before,
            kept=sum(map(len, run.ids)) - run.done,
            skipped=skipped,
        )
