"""Which ONNX Runtime a Vespa release runs, and what that one loads at most."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.errors import ExportError, GraphMismatchError, MissingExtraError

__all__ = ["OLDEST_VESPA", "RUNTIMES", "Runtime", "lower_ir_version", "runtime_of"]

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
NEWER_IR_TYPES = range(17, 32)
"""Numbers of onnx.TensorProto for element types that came with IR version 9 or later."""
TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype"})
"""Attributes of operators that name an element type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What runs the model in a container of Vespa.

    Attributes:
        vespa: The first Vespa release that was looked at and has this one.
        onnxruntime: Version of ONNX Runtime's Java package.
        opset: Newest operator set that it loads.
        ir_version: Newest file format that it loads.
    """

    vespa: str
    onnxruntime: str
    opset: int
    ir_version: int


RUNTIMES = (
    Runtime(vespa="8.338.38", onnxruntime="1.17.3", opset=20, ir_version=9),
    Runtime(vespa="8.357.16", onnxruntime="1.18.0", opset=21, ir_version=10),
    Runtime(vespa="8.456.14", onnxruntime="1.20.0", opset=21, ir_version=10),
    Runtime(vespa="8.545.40", onnxruntime="1.22.0", opset=22, ir_version=10),
    Runtime(vespa="8.614.22", onnxruntime="1.23.2", opset=23, ir_version=11),
    Runtime(vespa="8.738.17", onnxruntime="1.26.0", opset=26, ir_version=13),
)
"""Oldest first. A release between two rows may already have the newer runtime, but is held to the
older one's limits.

Source: onnxruntime.vespa.version in the POM com.yahoo.vespa:dependency-versions of each release;
opset and IR version: the newest that each of these versions of ONNX Runtime loaded when it was
given graphs stamped with one after the other.
"""

OLDEST_VESPA = RUNTIMES[0].vespa
"""The oldest release whose runtime is known: what runs there, runs on every later one."""


def runtime_of(vespa_version: str) -> Runtime:
    """Return what is known to load in a Vespa release.

    Args:
        vespa_version: Such as ``8.614.22``; newer than all rows means the last row's limits.

    Raises:
        ExportError: If it is no version, or older than the oldest that is known.
    """
    wanted = _numbers(vespa_version)
    fitting = [each for each in RUNTIMES if _numbers(each.vespa) <= wanted]
    if not fitting:
        raise ExportError(
            f"vespa-version: expected {OLDEST_VESPA} or newer, whose ONNX Runtime is known, got "
            f"{vespa_version}"
        )
    return fitting[-1]


def _numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version.

    Raises:
        ExportError: If it is none.
    """
    if not (match := VERSION.fullmatch(version)):
        raise ExportError(
            f"vespa-version: expected a version such as {OLDEST_VESPA}, got {version!r}"
        )
    return tuple(int(each) for each in match.groups())


def lower_ir_version(path: Path, runtime: Runtime) -> None:
    """Write an older IR version into an ONNX file that is stamped with a newer one than is loaded.

    The number says how the file is written, not what it computes. What later versions added are
    element types (float8 with 9, int4 with 10, float4 with 11), overloads of local functions (10),
    and notes that nothing reads (metadata with 10, devices with 11): a file without those types and
    functions means the same under the older number. The notes are left out.

    Args:
        path: The ONNX file; left alone where its version is loaded as it is.
        runtime: What is to load it.

    Raises:
        ExportError: If the file has what the older version lacks.
        GraphMismatchError: If it is no ONNX file.
        MissingExtraError: If onnx is not installed.

    Source: the history of the versions in onnx.proto, ONNX 1.23.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", "onnx") from error
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # that of protobuf, which has no types
        raise GraphMismatchError(f"the exported graph is not valid ONNX: {error}") from error
    if model.ir_version <= runtime.ir_version:
        return
    if newer := _newer_parts(model):
        raise ExportError(
            f"IR version {model.ir_version}: expected at most {runtime.ir_version} for Vespa "
            f"{runtime.vespa} (ONNX Runtime {runtime.onnxruntime}), and the graph needs the newer "
            f"one for {', '.join(newer)}"
        )
    for graph in _graphs(model.graph):
        values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
        for each in (graph, *graph.node, *values):
            del each.metadata_props[:]
    model.ir_version = runtime.ir_version
    onnx.save(model, str(path))


def _newer_parts(model: Any) -> list[str]:
    """Return what an older IR version cannot say."""
    found = [f"function {each.name}" for each in model.functions]
    for graph in _graphs(model.graph):
        found += [f"tensor {t.name}" for t in graph.initializer if t.data_type in NEWER_IR_TYPES]
        found += [f"node {node.name}" for node in graph.node if _is_newer(node)]
    return found


def _is_newer(node: Any) -> bool:
    named = [each.i for each in node.attribute if each.name in TYPE_ATTRIBUTES]
    types = {*named, *(each.t.data_type for each in node.attribute)}
    return bool(node.overload or node.device_configurations or types & {*NEWER_IR_TYPES})


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and all those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)
