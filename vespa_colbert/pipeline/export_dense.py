"""Dense checkpoint → model folder, unless the one that stands there still serves."""

from __future__ import annotations

from dataclasses import fields

from vespa_colbert.checkpoint import DenseCheckpoint, StatedFacts, read_dense_checkpoint
from vespa_colbert.export import (
    DenseFolder,
    ExportOptions,
    dense_spec,
    export_dense,
    read_dense_folder,
)
from vespa_colbert.export.dense import describe_dense
from vespa_colbert.pipeline.export_kinds import ExportRequest, made_or_standing, serves
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
    return made_or_standing(
        request.output,
        read_dense_folder,
        lambda standing: _serves(standing, read, request.export),
        lambda: export_dense(read, request.output, request.export, progress=tell.say),
    )


def _serves(standing: DenseFolder, read: DenseCheckpoint, wanted: ExportOptions) -> bool:
    """Return whether a model folder is what would be written."""
    loss = standing.verification.get("loss", {})
    return (
        serves(standing, describe_dense(read), wanted)
        and standing.facts == dense_spec(read, wanted)
        and (wanted.accept_drift or not loss.get("faults"))
        and standing.requested.get("optimize") == wanted.optimize
    )
