"""The parts of a corpus embedded by the machines of a Ray cluster, which share a file system."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from vespa_colbert.errors import MissingExtraError
from vespa_colbert.pipeline.corpus import Embedded, EmbedRequest, stands
from vespa_colbert.pipeline.outputs import check_index
from vespa_colbert.pipeline.reporter import Reporter, Silent
from vespa_colbert.pipeline.shards import Shard, embed, embed_shard
from vespa_colbert.pipeline.survey import survey_corpus

__all__ = ["embed_with_ray"]


def embed_with_ray(
    request: EmbedRequest, shards: int = 0, *, reporter: Reporter | None = None
) -> Embedded:
    """Return what came of embedding a corpus, each part of it as a task of Ray Data.

    The tasks do what ``embed --shard`` does, so that one which is run again does nothing twice.

    Args:
        request: The corpus and its index, on paths that all machines have; each task takes one
            processor.
        shards: How many parts; 0 for four a processor of the cluster.
        reporter: Hears of the progress.

    Raises:
        MissingExtraError: If Ray Data is not installed.
        CollectionError: If a line is bad and is not passed over.
        IndexFolderError: If the schema embeds nothing, or no document has what it embeds.
        OutputError: If a folder cannot be written.
    """
    ray, data = _ray()
    survey = survey_corpus(request)
    if stands(request.output, {**request.origin, "corpus": survey.checksum}) is not None:
        return embed(request, reporter=reporter).embedded
    check_index(request)
    if not ray.is_initialized():
        ray.init()
    count = shards or 4 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    one = replace(request, threads=1)
    (reporter or Silent()).say(f"{count} shards, embedded by Ray")

    def task(row: dict[str, Any]) -> dict[str, Any]:
        embed_shard(one, Shard(number=int(row["id"]) + 1, of=count))
        return row

    data.range(count, override_num_blocks=count).map(task, num_cpus=1).materialize()
    whole = embed(request, Shard(number=count, of=count)).embedded
    return replace(whole, reused=False)


def _ray() -> tuple[Any, Any]:
    """Return Ray and Ray Data.

    Raises:
        MissingExtraError: If they are not installed.
    """
    try:
        return importlib.import_module("ray"), importlib.import_module("ray.data")
    except ImportError:
        raise MissingExtraError("ray", "ray[data]") from None
