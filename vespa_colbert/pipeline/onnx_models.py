"""ONNX models of an application package, run by ONNX Runtime for ``onnx(model).output``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ExportError, ExpressionError
from vespa_colbert.export.onnx_session import open_session

__all__ = ["OnnxRuntimeGraph", "open_onnx"]

ELEMENTS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
}
"""Element type of an input as the graph names it → dtype."""


class OnnxRuntimeGraph:
    """A model opened by ONNX Runtime.

    Args:
        path: The model file.

    Raises:
        MissingExtraError: If ONNX Runtime is not installed.
        ExpressionError: If the file is no model, or has an input that Vespa cannot fill.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise ExpressionError(f"{path}: expected an ONNX model, found none")
        try:
            self._session = open_session(path)
        except ExportError as error:
            raise ExpressionError(f"{path}: {error}") from error
        self._inputs = {each.name: each.type for each in self._session.get_inputs()}
        if unknown := [name for name, kind in self._inputs.items() if kind not in ELEMENTS]:
            raise ExpressionError(
                f"{path}: input {unknown[0]} is {self._inputs[unknown[0]]}, expected numbers"
            )

    @property
    def inputs(self) -> Sequence[str]:
        """Names of its inputs."""
        return list(self._inputs)

    @property
    def outputs(self) -> Sequence[str]:
        """Names of its outputs, in order."""
        return [each.name for each in self._session.get_outputs()]

    def run(self, values: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Return output → array, from input → array, each cast to the graph's element type.

        Raises:
            ExpressionError: If the graph refuses the values.
        """
        given = {
            name: np.ascontiguousarray(values[name]).astype(ELEMENTS[kind], copy=False)
            for name, kind in self._inputs.items()
        }
        try:
            found = self._session.run(None, given)
        except Exception as error:
            shapes = ", ".join(f"{name} {each.shape}" for name, each in given.items())
            raise ExpressionError(
                f"{self.path}: ONNX Runtime cannot run it with {shapes} ({error})"
            ) from error
        return dict(zip(self.outputs, found, strict=True))


def open_onnx(path: Path) -> OnnxRuntimeGraph:
    """Return a model, ready to run."""
    return OnnxRuntimeGraph(path)
