"""Checkpoint → model folder: convert, check, compare with torch, and only then give it its name."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vespa_colbert import __version__
from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import ExportError, GraphMismatchError, MissingExtraError
from vespa_colbert.export.compare import TOLERANCE, CaseResult, compare_with_torch
from vespa_colbert.export.convert import EXPORTERS, Exporter, Module
from vespa_colbert.export.describe import describe_checkpoint, embedder_spec
from vespa_colbert.export.graph import MAX_OPSET, GraphFacts, check_graph
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    EmbedderSpec,
    ModelFolder,
    read_model_folder,
)
from vespa_colbert.export.options import DEFAULT_OPTIONS, ExportOptions
from vespa_colbert.export.packaging import PackagingChoice, choose_packaging
from vespa_colbert.export.tokenizer_file import exact_tokenizer_text, tokenizer_text
from vespa_colbert.files import atomic_folder, digest_file

__all__ = ["export_checkpoint"]

logger = logging.getLogger(__name__)

MIN_OPSET = 17
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "tokenizers")
LARGEST_FILE_BYTES = 2**31 - 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What one export works on.

    Attributes:
        checkpoint: What to convert.
        choice: How it is packaged.
        spec: What Vespa's embedder is told.
        module: The checkpoint in torch, so packaged.
        path: The ONNX file to write.
        opset: Operator set to write.
        tell: Hears what is being done.
    """

    checkpoint: Checkpoint
    choice: PackagingChoice
    spec: EmbedderSpec
    module: Module
    path: Path
    opset: int
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """A graph that passed every check.

    Attributes:
        exporter: Which one wrote it.
        facts: Its names, axes and versions.
        cases: How it compared with torch.
        refused: Exporter tried before → why its graph was not taken.
    """

    exporter: str
    facts: GraphFacts
    cases: tuple[CaseResult, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


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
        ExportError: If Vespa's embedder would not reproduce the model from these files and that is
            not accepted, no exporter converts it, or it is too large for one file.
        GraphMismatchError: If the graph differs from torch.
        MissingWeightError: If a tensor of the checkpoint goes nowhere or one of the model is
            missing.
        MissingExtraError: If the export extra is not installed.
        OutputError: If the folder cannot be written; nothing is left under its name then.
    """
    started, tell = time.monotonic(), progress or (lambda _what: None)
    _check_request(checkpoint, options)
    versions = _versions()
    choice = choose_packaging(checkpoint, options.packaging, accept_drift=options.accept_drift)
    tokenizer = _tokenizer_text(checkpoint, choice)
    tell("building the torch module")
    module = _build(checkpoint, choice, options.dims)
    with atomic_folder(output, is_ours=_is_model_folder) as part:
        job = _Job(
            checkpoint=checkpoint,
            choice=choice,
            spec=embedder_spec(checkpoint, packaging=choice.packaging, dims=options.dims),
            module=module,
            path=part / MODEL_FILE,
            opset=options.opset,
            tell=tell,
        )
        graph = _convert(job)
        (part / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
        folder = _describe(job, graph, versions)
        (part / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    logger.info("%s: exported in %.1f s", output, time.monotonic() - started)
    return read_model_folder(output)


def _is_model_folder(folder: Path) -> bool:
    return (folder / EMBEDDER_FILE).is_file()


def _check_request(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Return nothing if the request is valid and one file can hold the model.

    Raises:
        ExportError: If not.
    """
    opset, dims = options.opset, options.dims
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise ExportError(f"opset: expected {MIN_OPSET} to {MAX_OPSET}, got {opset}")
    if dims is not None and not 1 <= dims <= checkpoint.dim:
        raise ExportError(
            f"dims: expected 1 to {checkpoint.dim}, the width of the model's token vectors, "
            f"got {dims}"
        )
    size = sum(array.nbytes for array in checkpoint.encoder.weights.values())
    if size > LARGEST_FILE_BYTES:
        raise ExportError(
            f"{checkpoint.path}: expected at most {LARGEST_FILE_BYTES} bytes of float32 weights, "
            f"which is what one ONNX file holds, got {size}"
        )


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


def _convert(job: _Job) -> _Graph:
    """Return the first exporter's graph that passes every check; its file is there then.

    Raises:
        GraphMismatchError: If all exporters failed and one wrote a graph that differs from torch.
        ExportError: If none wrote a graph at all.
    """
    refused: dict[str, str] = {}
    failure: type[ExportError] = ExportError
    for exporter in (e for e in EXPORTERS if job.opset in e.opsets):
        try:
            return replace(_try_exporter(exporter, job), refused=refused)
        except ExportError as error:
            refused[exporter.name] = str(error)
            if isinstance(error, GraphMismatchError):
                failure = GraphMismatchError
        logger.warning("%s exporter: %s", exporter.name, refused[exporter.name])
        for left in job.path.parent.iterdir():
            left.unlink()
    listed = "".join(f"\n  {name}: {reason}" for name, reason in refused.items())
    raise failure(f"{job.checkpoint.path}: no exporter made a graph that equals the model{listed}")


def _try_exporter(exporter: Exporter, job: _Job) -> _Graph:
    """Return an exporter's graph after every check.

    Raises:
        GraphMismatchError: If its graph is not as wanted.
        ExportError: If the exporter fails.
        OSError: If the file cannot be written.
    """
    job.tell(f"converting with the {exporter.name} exporter")
    try:
        exporter.run(job.module, job.checkpoint, job.path, job.opset)
    except OSError:
        raise
    except Exception as error:  # each exporter has a tree of exceptions of its own
        summary = next(iter(str(error).splitlines()), "")
        raise ExportError(f"{type(error).__name__}: {summary}") from error
    job.tell("checking the graph")
    facts = check_graph(job.path, job.spec.dim, job.opset)
    job.tell("comparing ONNX Runtime with torch")
    cases = compare_with_torch(job.path, job.module, job.checkpoint, job.spec)
    return _Graph(exporter=exporter.name, facts=facts, cases=cases)


def _describe(job: _Job, graph: _Graph, versions: Mapping[str, str]) -> ModelFolder:
    """Return what the manifest says of the files that are there now."""
    part = job.path.parent
    return ModelFolder(
        path=part,
        embedder=job.spec,
        packaging=job.choice.packaging,
        requested=job.choice.requested,
        reason=job.choice.reason,
        differences=tuple(asdict(each) for each in job.choice.differences),
        checkpoint=_checkpoint_facts(job.checkpoint),
        versions=versions,
        graph=asdict(graph.facts),
        verification={
            "exporter": graph.exporter,
            "refused": dict(graph.refused),
            "tolerance": TOLERANCE,
            "cases": [asdict(case) for case in graph.cases],
        },
        files={name: digest_file(part / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )


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


def _versions() -> dict[str, str]:
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
