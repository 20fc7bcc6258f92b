"""A corpus in parts that machines embed side by side; whoever is last joins them."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from vespa_colbert.errors import SpecError
from vespa_colbert.files import write_lock
from vespa_colbert.index.join import merge_snapshots
from vespa_colbert.index.snapshot import open_snapshot
from vespa_colbert.pipeline.corpus import (
    Embedded,
    EmbedRequest,
    embed_slice,
    read_report,
    stands,
    write_report,
)
from vespa_colbert.pipeline.outputs import check_index
from vespa_colbert.pipeline.reporter import Reporter
from vespa_colbert.pipeline.survey import survey_corpus

__all__ = ["Shard", "ShardEmbedded", "embed", "embed_shard"]

PATIENCE = 3600.0
"""Seconds that a shard waits for another one that is joining them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of a corpus.

    Attributes:
        number: Which, from 1.
        of: How many there are.

    Raises:
        SpecError: If there is no such part.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise SpecError(f"shard {self}: expected a number from 1 to {self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text such as ``2/8`` names.

        Raises:
            SpecError: If it names none.
        """
        if (found := re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)) is None:
            raise SpecError(f"--shard: expected a part of a corpus such as 2/8, got {text!r}")
        return cls(number=int(found[1]), of=int(found[2]))

    def places(self, documents: int) -> range:
        """Return the places of its documents among all of them."""
        before = (self.number - 1) * documents // self.of
        return range(before, self.number * documents // self.of)

    def folder(self, output: Path) -> Path:
        """Return where its index stands until all are there."""
        return output.with_name(f"{output.name}.shard-{self.number}-of-{self.of}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEmbedded:
    """What came of a shard.

    Attributes:
        embedded: The shard, or the whole index if that stands now.
        missing: Shards that are not there yet; none if the index is whole.
    """

    embedded: Embedded
    missing: tuple[Shard, ...] = ()


def embed_shard(
    request: EmbedRequest, shard: Shard, *, reporter: Reporter | None = None
) -> ShardEmbedded:
    """Return what came of embedding one part of a corpus; the last one makes the index.

    Args:
        request: The whole corpus, and the index of all parts.
        shard: The part.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a line is bad and is not passed over.
        IndexFolderError: If the schema embeds nothing, or no document has what it embeds.
        OutputError: If a folder cannot be written.
    """
    survey = survey_corpus(request)
    origin = {**request.origin, "corpus": survey.checksum}
    if (documents := stands(request.output, origin)) is not None:
        whole = Embedded(
            path=request.output, documents=documents, reused=True, skipped=survey.skipped
        )
        return ShardEmbedded(embedded=whole)
    check_index(request)
    done = embed_slice(
        replace(request, output=shard.folder(request.output)),
        survey,
        shard.places(survey.documents),
        facts={"shard": str(shard)},
        reporter=reporter,
    )
    return _joined(request, origin, shard, done)


def _joined(
    request: EmbedRequest, origin: dict[str, str], shard: Shard, done: Embedded
) -> ShardEmbedded:
    """Return the whole index if no shard is missing, else which ones are."""
    every = [Shard(number=number + 1, of=shard.of) for number in range(shard.of)]
    parts = {each: replace(request, output=each.folder(request.output)) for each in every}
    with write_lock(request.output.with_name(f"{request.output.name}.shards"), patience=PATIENCE):
        if (documents := stands(request.output, origin)) is None:
            missing = tuple(
                each
                for each, part in parts.items()
                if stands(part.output, {**origin, "shard": str(each)}) is None
            )
            if missing:
                return ShardEmbedded(embedded=done, missing=missing)
            snapshots = [open_snapshot(each.output) for each in parts.values()]
            merge_snapshots(snapshots, request.output, origin)
            documents = sum(map(len, snapshots))
            skipped = {one for each in parts.values() for one in read_report(each.report)}
            write_report(request.report, tuple(skipped))
        for each in parts.values():
            shutil.rmtree(each.output, ignore_errors=True)
            each.report.unlink(missing_ok=True)
        skipped_all = read_report(request.report)
    whole = replace(done, path=request.output, documents=documents, skipped=skipped_all)
    return ShardEmbedded(embedded=whole)


def embed(
    request: EmbedRequest, shard: Shard | None = None, *, reporter: Reporter | None = None
) -> ShardEmbedded:
    """Return what came of embedding a corpus, or one part of it.

    Args:
        request: The whole corpus, and its index.
        shard: The part.
        reporter: Hears of the progress.

    Raises:
        CollectionError: If a line is bad and is not passed over.
        IndexFolderError: If the schema embeds nothing, or no document has what it embeds.
        OutputError: If a folder cannot be written.
    """
    if shard is not None:
        return embed_shard(request, shard, reporter=reporter)
    survey = survey_corpus(request)
    return ShardEmbedded(embedded=embed_slice(request, survey, reporter=reporter))
