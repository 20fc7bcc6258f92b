"""Constants that stand in files of the application package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vespa_colbert.errors import (
    ArrayError,
    ExpressionError,
    TensorTypeError,
    UnsupportedFunctionError,
)
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.binary import decode_tensor
from vespa_colbert.tensor.document_json import tensor_from_json

__all__ = ["read_constant_file"]


def read_constant_file(path: Path, tensor_type: TensorType) -> Tensor:
    """Return the tensor in a constant's file: JSON, or Vespa's typed binary format in ``.tbf``.

    Raises:
        ExpressionError: If there is no such file, or it holds no tensor of the declared type.
        UnsupportedFunctionError: If it is packed with lz4, or has a form that Vespa has not.

    Source: ConstantTensorLoader::create and ConstantTensorJsonValidator, Vespa 8.700.24.
    Differs: the content node takes whatever type a binary file has.
    """
    _require_form(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExpressionError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        if path.suffix == ".json":
            return tensor_from_json(_json(data), tensor_type)
        found = decode_tensor(data)
    except (ArrayError, TensorTypeError) as error:
        raise ExpressionError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ExpressionError(f"{path}: expected JSON ({error})") from error
    if found.type != tensor_type:
        raise ExpressionError(f"{path}: expected {tensor_type} as declared, got {found.type}")
    return found


def _require_form(path: Path) -> None:
    """Check that a file has a form that is read.

    Raises:
        UnsupportedFunctionError: If it has another.
    """
    if path.name.endswith(".json.lz4"):
        raise UnsupportedFunctionError(
            f"{path}: files packed with lz4 are not read; unpack it and name that in the schema"
        )
    if path.suffix not in {".json", ".tbf"}:
        raise UnsupportedFunctionError(
            f"{path}: expected a file of a constant as Vespa takes it (.json, .json.lz4 or .tbf), "
            f"got {path.suffix or 'no suffix'}"
        )


def _json(data: bytes) -> Any:
    """Return a constant's JSON.

    Raises:
        ArrayError: If a dense block is written in hexadecimal, which Vespa reads in documents only.
    """
    found = json.loads(data.decode("utf-8"))
    if isinstance(found, dict):
        blocks = found.get("blocks")
        parts = (
            blocks.values()
            if isinstance(blocks, dict)
            else [
                each.get("values") if isinstance(each, dict) else each
                for each in (blocks if isinstance(blocks, list) else ())
            ]
        )
        if any(isinstance(each, str) for each in (found.get("values"), *parts)):
            raise ArrayError(
                "expected numbers, got hexadecimal digits, which constants cannot have"
            )
    return found
