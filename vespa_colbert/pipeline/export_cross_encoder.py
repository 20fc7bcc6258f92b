"""Cross-encoder → model folder, unless the one that stands there still serves."""

from __future__ import annotations

from vespa_colbert.checkpoint.cross_encoder import (
    CrossEncoderCheckpoint,
    read_cross_encoder_checkpoint,
)
from vespa_colbert.checkpoint.hub import locate_checkpoint
from vespa_colbert.export import ExportOptions
from vespa_colbert.export.cross_encoder import (
    CrossEncoderFolder,
    checkpoint_facts,
    export_cross_encoder,
    read_cross_encoder_folder,
)
from vespa_colbert.pipeline.export_kinds import ExportRequest, made_or_standing, serves
from vespa_colbert.pipeline.reporter import Made, Reporter

__all__ = ["CROSS_ENCODER_FACTS", "export_cross_encoder_model"]

CROSS_ENCODER_FACTS = frozenset({"max_tokens"})
"""What may be stated of a cross-encoder."""


def export_cross_encoder_model(request: ExportRequest, tell: Reporter) -> Made[CrossEncoderFolder]:
    """Return the model folder of a cross-encoder.

    Args:
        request: What is wanted.
        tell: Hears what is being done.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ExportError: If it cannot be converted.
        OutputError: If the folder cannot be written.
    """
    options = request.options
    folder = locate_checkpoint(request.checkpoint, revision=options.revision or "").folder
    stated = request.stated.get("max_tokens")
    read = read_cross_encoder_checkpoint(folder, options, max_tokens=stated)
    for warning in read.warnings:
        tell.say(f"note: {warning}")
    return made_or_standing(
        request.output,
        read_cross_encoder_folder,
        lambda standing: _serves(standing, read, request.export),
        lambda: export_cross_encoder(read, request.output, request.export, progress=tell.say),
    )


def _serves(
    standing: CrossEncoderFolder, read: CrossEncoderCheckpoint, wanted: ExportOptions
) -> bool:
    """Return whether a model folder is what would be written."""
    return (
        serves(standing, checkpoint_facts(read), wanted)
        and standing.facts.max_tokens == read.max_tokens
        and standing.requested.get("optimize") == wanted.optimize
        and wanted.packaging != "exact"
        and wanted.dims is None
    )
