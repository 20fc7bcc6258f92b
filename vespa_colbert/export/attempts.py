"""torch module → ONNX file, by the first exporter whose graph passes every check.

What all kinds of models share: the request that can be met, and the order of trying.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from vespa_colbert.errors import ExportError, GraphMismatchError
from vespa_colbert.export.convert import Exporter
from vespa_colbert.export.graph_job import CheckedGraph, GraphJob
from vespa_colbert.export.options import ExportOptions
from vespa_colbert.export.runtimes import Runtime, lower_ir_version

__all__ = ["check_opset", "check_size", "first_sound_graph"]

logger = logging.getLogger(__name__)

MIN_OPSET, MAX_OPSET = 17, 23
"""What the exporters write and the ONNX Runtime loads that compares the graph with torch."""
LARGEST_FILE_BYTES = 2**31 - 2**20


def check_opset(options: ExportOptions, runtime: Runtime) -> None:
    """Return nothing if the operator set can be written and loaded.

    Raises:
        ExportError: If not.
    """
    opset, newest = options.opset, min(MAX_OPSET, runtime.opset)
    if not MIN_OPSET <= opset <= newest:
        raise ExportError(
            f"opset: expected {MIN_OPSET} to {newest}, which Vespa {options.vespa_version} loads "
            f"(ONNX Runtime {runtime.onnxruntime}), got {opset}"
        )


def check_size(title: object, weights: Mapping[str, NDArray[Any]]) -> None:
    """Return nothing if one file can hold the weights.

    Raises:
        ExportError: If not.
    """
    size = sum(array.nbytes for array in weights.values())
    if size > LARGEST_FILE_BYTES:
        raise ExportError(
            f"{title}: expected at most {LARGEST_FILE_BYTES} bytes of float32 weights, "
            f"which is what one ONNX file holds, got {size}"
        )


def first_sound_graph(job: GraphJob, exporters: Iterable[Exporter]) -> CheckedGraph:
    """Return the first graph that passes every check; its file is there then.

    An exporter that was refused leaves nothing.

    Raises:
        GraphMismatchError: If all exporters failed and one wrote a graph that differs from torch.
        ExportError: If none wrote a graph at all.
    """
    refused: dict[str, str] = {}
    failure: type[ExportError] = ExportError
    for exporter in (each for each in exporters if job.options.opset in each.opsets):
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


def _try_exporter(exporter: Exporter, job: GraphJob) -> CheckedGraph:
    """Return an exporter's graph after every check.

    Raises:
        GraphMismatchError: If its graph is not as wanted.
        ExportError: If the exporter fails.
        OSError: If the file cannot be written.
    """
    job.tell(f"converting with the {exporter.name} exporter")
    examples = job.examples()
    try:
        exporter.run(job.module, examples, job.path, job.options.opset, job.form)
    except OSError:
        raise
    except Exception as error:  # each exporter has a tree of exceptions of its own
        summary = next(iter(str(error).splitlines()), "")
        raise ExportError(f"{type(error).__name__}: {summary}") from error
    lower_ir_version(job.path, job.runtime)
    return job.check(exporter.name)
