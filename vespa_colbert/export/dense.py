"""Dense checkpoint → model folder: convert, check, compare with torch, and only then name it.

Two forms: the encoder's rows, which Vespa pools and normalises (``native``), or one vector a text
with everything built in (``exact``), for what Vespa's embedder has no setting for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from vespa_colbert.checkpoint.dense_facts import DenseCheckpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export.attempts import check_opset, check_size, first_sound_graph
from vespa_colbert.export.convert import EXPORTERS
from vespa_colbert.export.dense_job import DenseJob
from vespa_colbert.export.dense_narrow import narrow_dense
from vespa_colbert.export.dense_spec import DenseSpec, Pooling
from vespa_colbert.export.graph_job import CheckedGraph
from vespa_colbert.export.manifest import (
    describe_graph,
    describe_verification,
    digest_files,
    installed_versions,
)
from vespa_colbert.export.model_folder import (
    EMBEDDER_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    new_model_folder,
)
from vespa_colbert.export.options import DEFAULT_OPTIONS, ExportOptions, Packaging
from vespa_colbert.export.refine import fuse_graph
from vespa_colbert.export.runtimes import runtime_of
from vespa_colbert.export.stated_folder import StatedFolder, read_stated_folder, states_member
from vespa_colbert.export.tokenizer_file import tokenizer_text

__all__ = [
    "DENSE_MEMBER",
    "DenseFolder",
    "dense_packaging",
    "dense_spec",
    "describe_dense",
    "export_dense",
    "is_dense_folder",
    "read_dense_folder",
]

DenseFolder: TypeAlias = StatedFolder[DenseSpec]

DENSE_MEMBER = "dense"
ROWS, VECTOR = "last_hidden_state", "sentence_embedding"
"""Names of the two forms' outputs."""

POOLED_BY_VESPA: dict[str, Pooling] = {"cls": "cls", "mean": "mean"}


def export_dense(
    checkpoint: DenseCheckpoint,
    output: Path,
    options: ExportOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[str], None] | None = None,
) -> DenseFolder:
    """Return the model folder written to ``output``, checked against torch before it is there.

    Args:
        checkpoint: What to convert.
        output: Final folder; a model folder that stands there is replaced.
        options: How it is to be packaged and written.
        progress: Told in a few words what is being done.

    Raises:
        CheckpointError: If transformers does not build the encoder.
        ExportError: If Vespa cannot do what is asked for, no exporter converts the model, or its
            dtype loses too much.
        GraphMismatchError: If the graph differs from torch.
        MissingWeightError: If a tensor of the checkpoint goes nowhere or one of the model is
            missing.
        MissingExtraError: If the export extra is not installed.
        OutputError: If the folder cannot be written; nothing is left under its name then.
    """
    tell = progress or (lambda _what: None)
    runtime = runtime_of(options.vespa_version)
    check_opset(options, runtime)
    check_size(checkpoint.path, checkpoint.encoder.weights)
    packaging, _reason = dense_packaging(checkpoint, options)
    spec, versions = dense_spec(checkpoint, options), installed_versions()
    tell("building the torch module")
    module = _build(checkpoint, packaging, spec)
    with new_model_folder(output) as part:
        job = DenseJob(
            checkpoint=checkpoint,
            options=options,
            spec=spec,
            module=module,
            runtime=runtime,
            path=part / MODEL_FILE,
            tokenizer=tokenizer_text(checkpoint.tokenizer.text),
            tell=tell,
        )
        graph = _convert(job)
        (part / TOKENIZER_FILE).write_text(job.tokenizer, encoding="utf-8")
        folder = _described(job, graph, versions)
        (part / EMBEDDER_FILE).write_text(folder.manifest(), encoding="utf-8")
    return read_dense_folder(output)


def read_dense_folder(path: Path, *, check: bool = True) -> DenseFolder:
    """Return a model folder of a dense model.

    Args:
        path: The folder that ``export`` wrote.
        check: Whether to read all files and compare their checksums.

    Raises:
        ExportError: If it is not complete, or a file changed.
        SpecError: If it is of another kind of model.
    """
    return read_stated_folder(path, DENSE_MEMBER, DenseSpec, check=check)


def is_dense_folder(path: Path) -> bool:
    """Return whether a folder is the model folder of a dense model."""
    return states_member(path, DENSE_MEMBER)


def dense_packaging(checkpoint: DenseCheckpoint, options: ExportOptions) -> tuple[Packaging, str]:
    """Return how a dense model is packaged, and why.

    Raises:
        ExportError: If Vespa is to pool and has no setting for what the model does.
    """
    obstacles = tuple(_obstacles(checkpoint))
    if options.packaging == "exact":
        return "exact", "asked for"
    if not obstacles:
        return "native", "Vespa's embedder pools as the library does"
    if options.packaging == "native":
        raise ExportError(
            f"{checkpoint.path}: expected what Vespa's hugging-face-embedder can do behind the "
            f"encoder, got {'; '.join(obstacles)}; export with packaging exact, which puts it into "
            "the graph"
        )
    return "exact", "; ".join(obstacles)


def dense_spec(checkpoint: DenseCheckpoint, options: ExportOptions = DEFAULT_OPTIONS) -> DenseSpec:
    """Return what Vespa's embedder must be told of a dense model.

    Raises:
        ExportError: If Vespa would not put an instruction before a text, more components are
            wanted than there are, or packaging native is and Vespa cannot do it.
    """
    _check_prepends(checkpoint)
    dim = options.dims or checkpoint.dim
    if not 1 <= dim <= checkpoint.width:
        raise ExportError(
            f"dims: expected 1 to {checkpoint.width}, the components of the model's vectors, got "
            f"{dim}"
        )
    is_native = dense_packaging(checkpoint, options)[0] == "native"
    return DenseSpec(
        dim=dim,
        max_tokens=checkpoint.max_tokens,
        pooling=POOLED_BY_VESPA[checkpoint.pooling[0]] if is_native else "none",
        normalize=checkpoint.normalize,
        similarity=checkpoint.similarity,
        query_prepend=checkpoint.query_prepend,
        document_prepend=checkpoint.document_prepend,
        output=ROWS if is_native else VECTOR,
    )


def describe_dense(checkpoint: DenseCheckpoint) -> dict[str, Any]:
    """Return where a model comes from and what is known of it, as its manifest says it."""
    encoder = checkpoint.encoder
    return {
        "name": checkpoint.path.resolve().name,
        "layout": checkpoint.layout,
        "encoder": {
            "model_type": encoder.model_type,
            "hidden_size": encoder.hidden_size,
            "vocabulary_size": encoder.vocabulary_size,
            "positions": encoder.positions,
            "dtypes": list(encoder.dtypes),
            "tensors": len(encoder.weights),
        },
        "facts": {
            "pooling": list(checkpoint.pooling),
            "projection": [
                f"{each.in_features} to {each.out_features}, {each.activation}"
                for each in checkpoint.projection
            ],
            "normalize": checkpoint.normalize,
            "max_tokens": checkpoint.max_tokens,
            "query_prepend": checkpoint.query_prepend,
            "document_prepend": checkpoint.document_prepend,
            "dims": checkpoint.dims,
            "similarity": checkpoint.similarity,
        },
        "provenance": dict(checkpoint.provenance),
        "files": {name: asdict(digest) for name, digest in sorted(checkpoint.files.items())},
        "warnings": list(checkpoint.warnings),
    }


def _obstacles(checkpoint: DenseCheckpoint) -> Iterator[str]:
    """Yield what the model does behind the encoder and Vespa has no setting for.

    Source: poolingStrategy of hugging-face-embedder.def, Vespa 8.700.24.
    """
    if len(checkpoint.pooling) > 1 or checkpoint.pooling[0] not in POOLED_BY_VESPA:
        yield f"pooling {' + '.join(checkpoint.pooling)}"
    if checkpoint.projection:
        yield f"{len(checkpoint.projection)} Dense layers"


def _check_prepends(checkpoint: DenseCheckpoint) -> None:
    """Return nothing if Vespa puts the instructions before texts as the library does.

    Raises:
        ExportError: If not.

    Source: TextPrepender, Vespa 8.700.24.
    """
    for name in ("query_prepend", "document_prepend"):
        text = getattr(checkpoint, name)
        if text and not text.strip():
            raise ExportError(
                f"{checkpoint.path}: {name}: expected a text that is not all white space, got "
                f"{text!r}, which Vespa leaves out"
            )


def _build(checkpoint: DenseCheckpoint, packaging: Packaging, spec: DenseSpec) -> Any:
    """Return the torch module of a packaging.

    Raises:
        MissingExtraError: If torch is not installed.
    """
    from vespa_colbert.model import build_dense

    if packaging == "native":
        return build_dense(checkpoint, pooled=False)
    return build_dense(checkpoint, pooled=True, dims=spec.dim)


def _convert(job: DenseJob) -> CheckedGraph:
    """Return the graph that passed every check, as the options ask for it; its file is there then.

    Raises:
        ExportError: If there is none, it cannot be fused, or its dtype loses too much.
    """
    graph = first_sound_graph(job, EXPORTERS)
    return fuse_graph(job, graph) if job.options.dtype == "fp32" else narrow_dense(job, graph)


def _described(job: DenseJob, graph: CheckedGraph, versions: dict[str, str]) -> DenseFolder:
    """Return what the manifest says of the files that are there now."""
    options = job.options
    packaging, reason = dense_packaging(job.checkpoint, options)
    return DenseFolder(
        path=job.path.parent,
        member=DENSE_MEMBER,
        facts=job.spec,
        requested={
            "packaging": options.packaging,
            "dims": options.dims,
            "optimize": options.optimize,
            "accept_drift": options.accept_drift,
        },
        checkpoint=describe_dense(job.checkpoint),
        versions=versions,
        graph=describe_graph(job, graph) | {"packaging": packaging, "reason": reason},
        verification=describe_verification(job, graph),
        differences=tuple(_differences(job.checkpoint, job.spec)),
        files=digest_files(job.path.parent),
    )


def _differences(checkpoint: DenseCheckpoint, spec: DenseSpec) -> Iterator[str]:
    """Yield where vectors in Vespa are not those of the library."""
    if spec.normalize and spec.dim < checkpoint.width:
        yield (
            f"the first {spec.dim} components are brought to length 1 again; the library leaves "
            "them shorter unless it is told normalize_embeddings"
        )
