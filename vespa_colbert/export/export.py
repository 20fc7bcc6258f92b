"""Checkpoint → model folder: convert, check, compare with torch, and only then give it its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export.attempts import check_opset, check_size, first_sound_graph
from vespa_colbert.export.convert import EXPORTERS, Module
from vespa_colbert.export.describe import embedder_spec
from vespa_colbert.export.job import Job
from vespa_colbert.export.manifest import describe_export, installed_versions
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    ModelFolder,
    new_model_folder,
    read_model_folder,
)
from vespa_colbert.export.options import DEFAULT_OPTIONS, ExportOptions
from vespa_colbert.export.packaging import PackagingChoice, choose_packaging
from vespa_colbert.export.refine import refine_graph
from vespa_colbert.export.runtimes import Runtime, runtime_of
from vespa_colbert.export.tokenizer_file import exact_tokenizer_text, tokenizer_text

__all__ = ["export_checkpoint"]


def export_checkpoint(
    checkpoint: Checkpoint,
    output: Path,
    options: ExportOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[str], None] | None = None,
) -> ModelFolder:
    """Return the model folder written to ``output``, checked against torch before it is there.

    Args:
        checkpoint: What to convert.
        output: Final folder; a model folder that stands there is replaced.
        options: How it is to be packaged and written.
        progress: Told in a few words what is being done.

    Raises:
        CheckpointError: If the tokenizer cannot be used.
        ExportError: If Vespa's embedder would not reproduce the model from these files or its
            dtype loses too much and that is not accepted, no exporter converts it, it cannot be
            optimized, or it is too large for one file.
        GraphMismatchError: If the graph differs from torch.
        MissingWeightError: If a tensor of the checkpoint goes nowhere or one of the model is
            missing.
        MissingExtraError: If the export extra is not installed.
        OutputError: If the folder cannot be written; nothing is left under its name then.
    """
    tell = progress or (lambda _what: None)
    runtime = runtime_of(options.vespa_version)
    _check_request(checkpoint, options, runtime)
    versions = installed_versions()
    choice = choose_packaging(checkpoint, options.packaging, accept_drift=options.accept_drift)
    tokenizer = _tokenizer_text(checkpoint, choice)
    tell("building the torch module")
    module = _build(checkpoint, choice, options.dims)
    with new_model_folder(output) as part:
        job = Job(
            checkpoint=checkpoint,
            options=options,
            choice=choice,
            spec=embedder_spec(checkpoint, packaging=choice.packaging, dims=options.dims),
            module=module,
            tokenizer=tokenizer,
            runtime=runtime,
            path=part / MODEL_FILE,
            tell=tell,
        )
        graph = refine_graph(job, first_sound_graph(job, EXPORTERS))
        (part / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
        folder = describe_export(job, graph, versions)
        (part / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    return read_model_folder(output)


def _check_request(checkpoint: Checkpoint, options: ExportOptions, runtime: Runtime) -> None:
    """Return nothing if the request is valid and one file can hold the model.

    Raises:
        ExportError: If not.
    """
    check_opset(options, runtime)
    dims = options.dims
    if dims is not None and not 1 <= dims <= checkpoint.dim:
        raise ExportError(
            f"dims: expected 1 to {checkpoint.dim}, the width of the model's token vectors, "
            f"got {dims}"
        )
    check_size(checkpoint.path, checkpoint.encoder.weights)


def _tokenizer_text(checkpoint: Checkpoint, choice: PackagingChoice) -> str:
    if choice.packaging == "exact":
        return exact_tokenizer_text(checkpoint)
    return tokenizer_text(checkpoint.tokenizer.text)


def _build(checkpoint: Checkpoint, choice: PackagingChoice, dims: int | None) -> Module:
    """Return the torch module of a packaging."""
    from vespa_colbert.model import build_encoder, build_exact_encoder

    # The whole width needs no slice in the graph.
    dims = None if dims == checkpoint.dim else dims
    build = build_exact_encoder if choice.packaging == "exact" else build_encoder
    return build(checkpoint, dims=dims)
