"""A model file opened by ONNX Runtime, the same way for every use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vespa_colbert.errors import ExportError, MissingExtraError

__all__ = ["open_session"]

ERRORS_ONLY = 3
"""Severity from which ONNX Runtime logs."""


def open_session(model: Path | bytes, *, threads: int = 0) -> Any:
    """Return a session on the CPU, in which one operation runs at a time.

    Args:
        model: The ONNX file, or its bytes.
        threads: Of one operation; 0 for as many as ONNX Runtime takes by itself.

    Raises:
        ExportError: If ONNX Runtime does not load it; the caller knows what the file is.
        MissingExtraError: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("embed", "onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base of their own
        raise ExportError(f"ONNX Runtime cannot open the model ({error})") from error
