"""A graph in half precision or with int8 weights.

Inputs stay int64 and ``contextual`` stays float32; the rows are finished in float32.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from vespa_colbert.errors import ExportError, MissingExtraError
from vespa_colbert.export.half import to_half
from vespa_colbert.export.options import Dtype

__all__ = ["convert_dtype"]


def convert_dtype(path: Path, dtype: Dtype) -> None:
    """Rewrite an ONNX file in another dtype; ``fp32`` leaves it as it is.

    Raises:
        ExportError: If the converter fails, or the graph is none whose rows can be finished in
            float32.
        MissingExtraError: If onnx or onnxruntime is not installed.
        OSError: If the file cannot be written.
    """
    converters: dict[Dtype, Callable[[Path], None]] = {"fp16": to_half, "int8": _to_int8}
    if dtype not in converters:
        return
    try:
        with _quiet():
            converters[dtype](path)
    except (OSError, ExportError, MissingExtraError):
        raise
    except Exception as error:  # what a converter does not know has no common base
        summary = next(iter(str(error).splitlines()), "")
        raise ExportError(
            f"{dtype}: ONNX Runtime's converter fails ({type(error).__name__}: {summary})"
        ) from error


def _to_int8(path: Path) -> None:
    """Rewrite the weights of matrix products as int8; embeddings stay as they are.

    Raises:
        MissingExtraError: If onnxruntime is not installed.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ModuleNotFoundError as error:
        raise MissingExtraError("embed", "onnxruntime") from error
    narrow = path.with_name(f"{path.name}.int8")
    # One scale for a whole matrix loses far too much.
    quantize_dynamic(
        str(path),
        str(narrow),
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
    )
    narrow.replace(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice that the converters log at warning level out of a user's sight."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
