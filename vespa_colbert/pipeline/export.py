"""Checkpoint → model folder, unless the one that stands there was made from the same files.

Each kind of model that becomes a model folder has one row in ``KINDS``.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vespa_colbert.checkpoint import Checkpoint, ReadOptions, read_checkpoint
from vespa_colbert.checkpoint.cross_encoder import cross_encoder_signs
from vespa_colbert.checkpoint.dense_folder import dense_signs
from vespa_colbert.checkpoint.hub import locate_checkpoint
from vespa_colbert.errors import SpecError
from vespa_colbert.export import (
    ExportOptions,
    ModelFolder,
    describe_checkpoint,
    export_checkpoint,
    read_model_folder,
)
from vespa_colbert.pipeline.export_cross_encoder import (
    CROSS_ENCODER_FACTS,
    export_cross_encoder_model,
)
from vespa_colbert.pipeline.export_dense import DENSE_FACTS, export_dense_model
from vespa_colbert.pipeline.export_kinds import ExportKind, ExportRequest, made_or_standing, serves
from vespa_colbert.pipeline.reporter import Made, Reporter, Silent

__all__ = ["AUTO", "KINDS", "export_any", "export_model"]

AUTO = "auto"
LATE_INTERACTION = "late-interaction"


def export_any(
    request: ExportRequest, *, kind: str = AUTO, reporter: Reporter | None = None
) -> Made[Any]:
    """Return the model folder of a checkpoint of any kind.

    Args:
        request: What is wanted.
        kind: Name of a row of ``KINDS``, or ``auto`` to go by what the folder holds.
        reporter: Hears what is being done, and which kind ``auto`` chose.

    Raises:
        SpecError: If the kind is not known, or has no fact that is stated.
        CheckpointError: If the checkpoint cannot be read.
        ExportError: If it cannot be converted.
        OutputError: If the folder cannot be written.
    """
    tell = reporter or Silent()
    chosen = _chosen(request, tell) if kind == AUTO else _named(kind)
    if foreign := sorted(request.stated.keys() - chosen.facts):
        known = ", ".join(sorted(chosen.facts)) or "none"
        raise SpecError(
            f"{request.checkpoint}: {', '.join(foreign)}: expected facts of a {chosen.name} model "
            f"({known}), got one of another kind; leave it out or name the kind with --kind"
        )
    return chosen.export(request, tell)


def _named(name: str) -> ExportKind:
    """Return a row of ``KINDS``.

    Raises:
        SpecError: If there is none of that name.
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    known = ", ".join([AUTO, *(kind.name for kind in KINDS)])
    raise SpecError(f"kind: expected one of {known}, got {name!r}")


def _chosen(request: ExportRequest, tell: Reporter) -> ExportKind:
    """Return the first kind of which a folder has signs; late interaction where it has none."""
    folder = locate_checkpoint(request.checkpoint, revision=request.options.revision or "").folder
    for kind in KINDS if folder.is_dir() else ():
        if signs := kind.signs(folder, request.options):
            tell.say(f"kind: {kind.name}, for {signs}")
            return kind
    return _named(LATE_INTERACTION)


def export_model(
    checkpoint: Path,
    output: Path,
    *,
    export: ExportOptions | None = None,
    options: ReadOptions | None = None,
    reporter: Reporter | None = None,
) -> Made[ModelFolder]:
    """Return the model folder of a late-interaction checkpoint.

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
    return made_or_standing(
        output,
        read_model_folder,
        lambda standing: _serves(standing, read, wanted),
        lambda: export_checkpoint(read, output, wanted, progress=tell.say),
    )


def _serves(standing: ModelFolder, read: Checkpoint, wanted: ExportOptions) -> bool:
    """Return whether a model folder is what would be written."""
    sources = {name: asdict(digest) for name, digest in sorted(read.files.items())}
    described = {"files": sources, "facts": describe_checkpoint(read).facts}
    return (
        serves(standing, described, wanted)
        and wanted.packaging in {standing.requested, standing.packaging}
        and standing.embedder.dim == (wanted.dims or read.dim)
        and (wanted.accept_drift or not standing.has_drift)
        and standing.graph.get("optimized") == wanted.optimize
    )


def _export_late_interaction(request: ExportRequest, tell: Reporter) -> Made[ModelFolder]:
    return export_model(
        request.checkpoint,
        request.output,
        export=request.export,
        options=request.options,
        reporter=tell,
    )


def _no_signs(_folder: Path, _options: ReadOptions) -> str:
    """Return nothing: what no other kind has signs of is taken for late interaction."""
    return ""


KINDS: tuple[ExportKind, ...] = (
    ExportKind(
        name="cross-encoder",
        signs=cross_encoder_signs,
        export=export_cross_encoder_model,
        facts=CROSS_ENCODER_FACTS,
    ),
    ExportKind(name="dense", signs=dense_signs, export=export_dense_model, facts=DENSE_FACTS),
    ExportKind(name=LATE_INTERACTION, signs=_no_signs, export=_export_late_interaction),
)
"""Looked at in this order for ``auto``: a new kind is one row here."""
