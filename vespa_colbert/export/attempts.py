"""torch module → ONNX file, by the first exporter whose graph passes every check.

What all kinds of models share: the request that can be met, and the order of trying.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from vespa_colbert.errors import ExportError, GraphMismatchError
from vespa_colbert.export.convert import Exporter
from vespa_colbert.export.graph_form import GraphForm
from vespa_colbert.export.options import ExportOptions
from vespa_colbert.export.runtimes import Runtime, lower_ir_version

__all__ = ["Attempt", "check_opset", "check_size", "first_sound_graph"]

logger = logging.getLogger(__name__)

Checked = TypeVar("Checked")

MIN_OPSET, MAX_OPSET = 17, 23
"""What the exporters write and the ONNX Runtime loads that compares the graph with torch."""
LARGEST_FILE_BYTES = 2**31 - 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Generic[Checked]):
    """What an exporter is to convert, and how its graph is judged.

    Attributes:
        module: The model in torch.
        examples: One example of each input.
        form: Names and axes of the graph.
        opset: Operator set to write.
        runtime: What must load the file.
        path: The ONNX file, alone in its folder.
        title: What errors call the model.
        check: Name of the exporter → facts of its graph; raises if it is not as wanted.
        tell: Hears what is being done.
    """

    module: Any
    examples: tuple[Any, ...]
    form: GraphForm
    opset: int
    runtime: Runtime
    path: Path
    title: str
    check: Callable[[str], Checked]
    tell: Callable[[str], None]


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


def first_sound_graph(
    attempt: Attempt[Checked], exporters: Iterable[Exporter]
) -> tuple[Checked, dict[str, str]]:
    """Return the facts of the first graph that passes, and why exporters before were refused.

    The file is there then; an exporter that was refused leaves nothing.

    Raises:
        GraphMismatchError: If all exporters failed and one wrote a graph that differs from torch.
        ExportError: If none wrote a graph at all.
    """
    refused: dict[str, str] = {}
    failure: type[ExportError] = ExportError
    for exporter in (each for each in exporters if attempt.opset in each.opsets):
        try:
            return _try_exporter(exporter, attempt), refused
        except ExportError as error:
            refused[exporter.name] = str(error)
            if isinstance(error, GraphMismatchError):
                failure = GraphMismatchError
        logger.warning("%s exporter: %s", exporter.name, refused[exporter.name])
        for left in attempt.path.parent.iterdir():
            left.unlink()
    listed = "".join(f"\n  {name}: {reason}" for name, reason in refused.items())
    raise failure(f"{attempt.title}: no exporter made a graph that equals the model{listed}")


def _try_exporter(exporter: Exporter, attempt: Attempt[Checked]) -> Checked:
    """Return an exporter's graph after every check.

    Raises:
        GraphMismatchError: If its graph is not as wanted.
        ExportError: If the exporter fails.
        OSError: If the file cannot be written.
    """
    attempt.tell(f"converting with the {exporter.name} exporter")
    try:
        exporter.run(attempt.module, attempt.examples, attempt.path, attempt.opset, attempt.form)
    except OSError:
        raise
    except Exception as error:  # each exporter has a tree of exceptions of its own
        summary = next(iter(str(error).splitlines()), "")
        raise ExportError(f"{type(error).__name__}: {summary}") from error
    lower_ir_version(attempt.path, attempt.runtime)
    return attempt.check(exporter.name)
