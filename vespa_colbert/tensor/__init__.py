"""Vespa tensors: types and values."""

from __future__ import annotations

from vespa_colbert.tensor.cells import cells_of
from vespa_colbert.tensor.document_json import tensor_to_json
from vespa_colbert.tensor.literal import literal, parse_literal
from vespa_colbert.tensor.types import CellType, Dimension, TensorType
from vespa_colbert.tensor.value import Tensor

__all__ = [
    "CellType",
    "Dimension",
    "Tensor",
    "TensorType",
    "cells_of",
    "literal",
    "parse_literal",
    "tensor_to_json",
]
