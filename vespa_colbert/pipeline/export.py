"""Checkpoint → model folder, unless the one that stands there was made from the same files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from vespa_colbert import __version__
from vespa_colbert.checkpoint import Checkpoint, ReadOptions, read_checkpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export import (
    ExportOptions,
    ModelFolder,
    describe_checkpoint,
    export_checkpoint,
    read_model_folder,
)
from vespa_colbert.pipeline.reporter import Made, Reporter, Silent

__all__ = ["export_model"]


def export_model(
    checkpoint: Path,
    output: Path,
    *,
    export: ExportOptions | None = None,
    options: ReadOptions | None = None,
    reporter: Reporter | None = None,
) -> Made[ModelFolder]:
    """Return the model folder of a checkpoint.

    Args:
        checkpoint: The checkpoint folder.
        output: The model folder; reused where it is whole and was made by this version from the
            same files and facts to the same request.
        export: How it is to be packaged and written.
        options: What the user allows and states of the checkpoint.
        reporter: Hears what is being done.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ExportError: If it cannot be converted.
        OutputError: If the folder cannot be written.
    """
    tell, wanted = reporter or Silent(), export or ExportOptions()
    read = read_checkpoint(checkpoint, options or ReadOptions())
    try:
        standing = read_model_folder(output)
    except ExportError:
        standing = None
    if standing is not None and _serves(standing, read, wanted):
        return Made(value=standing, reused=True)
    made = export_checkpoint(read, output, wanted, progress=tell.say)
    return Made(value=made, reused=False)


def _serves(standing: ModelFolder, read: Checkpoint, wanted: ExportOptions) -> bool:
    """Return whether a model folder was made by this version from these files as it is wanted."""
    sources = {name: asdict(digest) for name, digest in sorted(read.files.items())}
    return (
        wanted.packaging in {standing.requested, standing.packaging}
        and standing.embedder.dim == (wanted.dims or read.dim)
        and (wanted.accept_drift or not standing.has_drift)
        and (standing.is_verified or not wanted.verify)
        and standing.checkpoint.get("files") == sources
        and standing.checkpoint.get("facts") == describe_checkpoint(read).facts
        and standing.graph.get("opset") == wanted.opset
        and standing.graph.get("dtype") == wanted.dtype
        and standing.graph.get("optimized") == wanted.optimize
        and standing.graph.get("target", {}).get("vespa") == wanted.vespa_version
        and standing.versions.get("vespa-colbert") == __version__
    )
