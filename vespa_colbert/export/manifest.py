"""What ``embedder.json`` says of an export: the model, the graph, and how they were checked."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vespa_colbert import __version__
from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import MissingExtraError
from vespa_colbert.export.compare import TOLERANCE
from vespa_colbert.export.describe import describe_checkpoint
from vespa_colbert.export.graph_job import CheckedGraph, GraphJob
from vespa_colbert.export.job import Job
from vespa_colbert.export.model_folder import MODEL_FILE, TOKENIZER_FILE, ModelFolder
from vespa_colbert.export.native_effect import measure_effects
from vespa_colbert.files import FileDigest, digest_file

__all__ = [
    "describe_export",
    "describe_graph",
    "describe_verification",
    "digest_files",
    "installed_versions",
]

PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "tokenizers")
NOT_ASKED = {"effect": None, "not_measured": "the export was not verified"}


def describe_export(job: Job, graph: CheckedGraph, versions: Mapping[str, str]) -> ModelFolder:
    """Return what the manifest says of the files that are there now."""
    effects = _effects(job)
    differences = zip(job.choice.differences, effects["points"], strict=True)
    return ModelFolder(
        path=job.path.parent,
        embedder=job.spec,
        packaging=job.choice.packaging,
        requested=job.choice.requested,
        reason=job.choice.reason,
        differences=tuple(asdict(each) | effect for each, effect in differences),
        checkpoint=_checkpoint_facts(job.checkpoint),
        versions=versions,
        graph=describe_graph(job, graph) | {"optimized": job.options.optimize},
        verification=describe_verification(job, graph) | {"effect": effects["total"]},
        files=digest_files(job.path.parent),
    )


def describe_graph(job: GraphJob, graph: CheckedGraph) -> dict[str, Any]:
    """Return what the manifest says of a graph, and of the Vespa release that it is made for."""
    options, runtime = job.options, job.runtime
    return {
        **asdict(graph.facts),
        "dtype": options.dtype,
        "fused": dict(graph.fused),
        "target": {
            "vespa": options.vespa_version,
            "onnxruntime": runtime.onnxruntime,
            "opset": runtime.opset,
            "ir_version": runtime.ir_version,
        },
    }


def describe_verification(job: GraphJob, graph: CheckedGraph) -> dict[str, Any]:
    """Return how a graph was checked; without a comparison it says so."""
    return {
        "verified": job.options.verify,
        "exporter": graph.exporter,
        "refused": dict(graph.refused),
        "tolerance": TOLERANCE,
        "cases": [asdict(case) for case in graph.cases],
        **({} if graph.loss is None else {"loss": dict(graph.loss)}),
    }


def digest_files(folder: Path) -> dict[str, FileDigest]:
    """Return sha256 and size of a model folder's files, but for the manifest that lists them."""
    return {name: digest_file(folder / name) for name in (MODEL_FILE, TOKENIZER_FILE)}


def _effects(job: Job) -> dict[str, Any]:
    """Return the effect of every difference, or that none was measured."""
    if not job.options.verify:
        return {"points": [NOT_ASKED] * len(job.choice.differences), "total": NOT_ASKED}
    job.tell("measuring the differences to the training library")
    return measure_effects(job.checkpoint, job.choice.packaging, job.module, job.tokenizer)


def _checkpoint_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    described = describe_checkpoint(checkpoint)
    return {
        "name": checkpoint.path.resolve().name,
        "layout": described.layout,
        "encoder": described.encoder,
        "projection": list(described.projection),
        "facts": described.facts,
        "provenance": described.provenance,
        "files": {name: asdict(digest) for name, digest in sorted(checkpoint.files.items())},
        "warnings": list(described.warnings),
    }


def installed_versions() -> dict[str, str]:
    """Return package → version of all that has a part in the files.

    Raises:
        MissingExtraError: If one is not installed.
    """
    versions = {"vespa-colbert": __version__}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtraError("export", package) from None
    return versions
