"""Dense checkpoint → model folder, unless the one that stands there still serves."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vespa_colbert import __version__
from vespa_colbert.checkpoint import DenseCheckpoint, StatedFacts, read_dense_checkpoint
from vespa_colbert.errors import ExportError, SpecError
from vespa_colbert.export import (
    DenseFolder,
    ExportOptions,
    dense_spec,
    export_dense,
    read_dense_folder,
)
from vespa_colbert.export.dense import describe_dense
from vespa_colbert.pipeline.export_kinds import ExportRequest
from vespa_colbert.pipeline.reporter import Made, Reporter

__all__ = ["DENSE_FACTS", "export_dense_model"]

DENSE_FACTS = frozenset(each.name for each in fields(StatedFacts))
"""What may be stated of a dense model."""


def export_dense_model(request: ExportRequest, tell: Reporter) -> Made[DenseFolder]:
    """Return the model folder of a dense checkpoint.

    Args:
        request: What is wanted.
        tell: Hears what is being done.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ExportError: If it cannot be converted.
        OutputError: If the folder cannot be written.
    """
    read = read_dense_checkpoint(request.checkpoint, request.options, StatedFacts(**request.stated))
    for warning in read.warnings:
        tell.say(f"note: {warning}")
    try:
        standing = read_dense_folder(request.output)
    except (ExportError, SpecError):
        standing = None
    if standing is not None and _serves(standing, read, request.export):
        return Made(value=standing, reused=True)
    made = export_dense(read, request.output, request.export, progress=tell.say)
    return Made(value=made, reused=False)


def _serves(standing: DenseFolder, read: DenseCheckpoint, wanted: ExportOptions) -> bool:
    """Return whether a model folder was made by this version from these files as it is wanted."""
    described: dict[str, Any] = describe_dense(read)
    graph, loss = standing.graph, standing.verification.get("loss", {})
    return (
        standing.facts == dense_spec(read, wanted)
        and (wanted.accept_drift or not loss.get("faults"))
        and (standing.is_verified or not wanted.verify)
        and standing.checkpoint.get("files") == described["files"]
        and standing.checkpoint.get("facts") == described["facts"]
        and graph.get("opset") == wanted.opset
        and graph.get("dtype") == wanted.dtype
        and standing.requested.get("optimize") == wanted.optimize
        and graph.get("target", {}).get("vespa") == wanted.vespa_version
        and standing.versions.get("vespa-colbert") == __version__
    )
