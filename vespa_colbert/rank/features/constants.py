"""Constants that stand in files of the application package."""

from __future__ import annotations

import json
from pathlib import Path

from vespa_colbert.errors import ArrayError, ExpressionError, UnsupportedFunctionError
from vespa_colbert.tensor import Tensor, TensorType
from vespa_colbert.tensor.document_json import tensor_from_json

__all__ = ["read_constant_file"]


def read_constant_file(path: Path, tensor_type: TensorType) -> Tensor:
    """Return the tensor in a constant's JSON file.

    Raises:
        ExpressionError: If there is no such file, or it holds no such tensor.
        UnsupportedFunctionError: If it has another form than JSON.

    Source: RankingConstants and ConstantTensorJsonValidator, Vespa 8.700.24.
    """
    if path.suffix != ".json":
        raise UnsupportedFunctionError(
            f"{path}: only .json files of constants are read, got {path.suffix or 'no suffix'}"
        )
    try:
        return tensor_from_json(json.loads(path.read_text(encoding="utf-8")), tensor_type)
    except OSError as error:
        raise ExpressionError(f"{path}: cannot be read ({error.strerror})") from error
    except ArrayError as error:
        raise ExpressionError(f"{path}: {error}") from error
    except ValueError as error:
        raise ExpressionError(f"{path}: expected JSON ({error})") from error
