"""A model file opened by OpenVINO in bfloat16: faster where the processor has it, not exact."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ExportError, MissingExtraError, SpecError

__all__ = ["Bfloat16Session", "Port", "open_bfloat16_session"]

CAPABILITY = "BF16"

_ALONE = threading.Lock()
_has_run = threading.Event()
"""Whether a call of this process has ended. Until then calls wait for each other: on its first one
OpenVINO (2026.4) sets up values that all share, and lets go of Python's lock meanwhile; a second
thread that takes it waits for them for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a model.

    Attributes:
        name: As the model calls it.
        shape: A number for each axis, None where any will do.
    """

    name: str
    shape: list[int | None]


class Bfloat16Session:
    """What an ONNX Runtime session can do, as far as it is used here; for several threads."""

    def __init__(self, compiled: Any) -> None:
        """Take a compiled model of OpenVINO."""
        self._compiled = compiled
        self._own = threading.local()

    def get_inputs(self) -> list[Port]:
        """Return the inputs."""
        return [_port(each) for each in self._compiled.inputs]

    def get_outputs(self) -> list[Port]:
        """Return the outputs."""
        return [_port(each) for each in self._compiled.outputs]

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """Return outputs, float32 each, as ONNX Runtime's session does."""
        if _has_run.is_set():
            return self._computed(outputs, feeds)
        with _ALONE:
            found = self._computed(outputs, feeds)
            _has_run.set()
        return found

    def _computed(
        self, outputs: Sequence[str], feeds: Mapping[str, NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        if (request := getattr(self._own, "request", None)) is None:
            request = self._own.request = self._compiled.create_infer_request()
        found = request.infer(dict(feeds), share_inputs=True)
        return [found[name] for name in outputs]


def open_bfloat16_session(path: Path, *, calls: int = 1, threads: int = 1) -> Bfloat16Session:
    """Return a session on the CPU that computes in bfloat16.

    Args:
        path: The ONNX file.
        calls: How many may run at a time.
        threads: Of one call.

    Raises:
        ExportError: If OpenVINO does not load it; the caller knows what the file is.
        MissingExtraError: If openvino is not installed.
        SpecError: If the processor has no bfloat16.
    """
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", "openvino") from None
    core = openvino.Core()
    _require_bfloat16(core)
    options = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "NUM_STREAMS": calls,
        "INFERENCE_NUM_THREADS": calls * threads,
        # Several processes would be pinned to the same processors.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        return Bfloat16Session(core.compile_model(core.read_model(str(path)), "CPU", options))
    except RuntimeError as error:
        raise ExportError(
            f"OpenVINO cannot open the model ({error}); one that was exported with --optimize has "
            "ONNX Runtime's own operations"
        ) from error


def _require_bfloat16(core: Any) -> None:
    """Return nothing if the processor has bfloat16: OpenVINO would compute in float32 unasked.

    Raises:
        SpecError: If not.
    """
    found = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if CAPABILITY not in found:
        name = core.get_property("CPU", "FULL_DEVICE_NAME")
        raise SpecError(
            f"runtime: expected a processor with bfloat16 (AVX512_BF16 or AMX), got {name}, of "
            f"which OpenVINO says {', '.join(found)}; leave out --runtime"
        )


def _port(node: Any) -> Port:
    shape = [axis.get_length() if axis.is_static else None for axis in node.partial_shape]
    return Port(name=node.any_name, shape=shape)
