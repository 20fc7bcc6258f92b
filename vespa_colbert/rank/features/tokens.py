"""``tokenInputIds`` and its relatives: inputs of cross-encoders from stored token ids.

``tokenInputIds(N, a, b)`` is start a separator b separator 0 …, cut to N. The length of an argument
is the number of its cells over 0, wherever they stand.

Source: TokenTransformer, Vespa 8.700.24.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ExpressionTypeError
from vespa_colbert.rank.features.name import FeatureName
from vespa_colbert.rank.features.onnx import dense_values, result_tensor
from vespa_colbert.tensor import CellType, Tensor

__all__ = [
    "END",
    "START",
    "attention_mask",
    "input_ids",
    "sequence_length",
    "special_ids",
    "type_ids",
]

START, END = 101.0, 102.0
"""Ids that ``tokenInputIds`` puts at the start and after each argument: those of BERT."""


def sequence_length(feature: FeatureName, first: int) -> int:
    """Return the length that stands before the arguments, which begin at ``first``.

    Raises:
        ExpressionTypeError: If it is no whole number, or nothing follows it.
    """
    words = feature.arguments
    if len(words) <= first or not words[first - 1].isdecimal() or int(words[first - 1]) < 1:
        raise ExpressionTypeError(
            f"{feature.text}: expected the length of the sequence and then arguments"
        )
    return int(words[first - 1])


def special_ids(feature: FeatureName) -> tuple[float, float]:
    """Return the ids that ``customTokenInputIds`` puts at the start and after each argument.

    Raises:
        ExpressionTypeError: If they are no numbers.
    """
    try:
        start, end = (float(each) for each in feature.arguments[:2])
    except ValueError:
        raise ExpressionTypeError(
            f"{feature.text}: expected two token ids as numbers first"
        ) from None
    return start, end


def input_ids(
    size: int, start: float, end: float, arguments: Sequence[Tensor], feature: str
) -> Tensor:
    """Return ids of all arguments with special tokens: ``tensor<float>(d0[1],d1[size])``.

    Args:
        size: Length of the sequence.
        start: Id at its start.
        end: Id after each argument.
        arguments: Token ids, each with one dimension d0.
        feature: For messages.
    """
    is_batch, rows = _columns(arguments, feature)

    def sequence(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        cells = [np.array([start])]
        for part in parts:
            cells += [part[: np.count_nonzero(part > 0)], np.array([end])]
        return np.concatenate(cells)

    return _filled(size, [sequence(parts) for parts in rows], is_batch=is_batch)


def type_ids(size: int, arguments: Sequence[Tensor], feature: str) -> Tensor:
    """Return 0 for the first argument with its special tokens, 1 for the others, 0 after them."""
    is_batch, rows = _columns(arguments, feature)
    lengths = [[np.count_nonzero(part > 0) + 1 for part in parts] for parts in rows]
    sequences = [
        np.concatenate([np.zeros(1 + first), np.ones(sum(others))]) for first, *others in lengths
    ]
    return _filled(size, sequences, is_batch=is_batch)


def attention_mask(size: int, arguments: Sequence[Tensor], feature: str) -> Tensor:
    """Return 1 for all arguments with their special tokens, 0 after them."""
    is_batch, rows = _columns(arguments, feature)
    sequences = [
        np.ones(1 + sum(np.count_nonzero(part > 0) + 1 for part in parts)) for parts in rows
    ]
    return _filled(size, sequences, is_batch=is_batch)


def _columns(
    arguments: Sequence[Tensor], feature: str
) -> tuple[bool, list[list[NDArray[np.float64]]]]:
    """Return whether any argument differs by document, and for each document its arguments.

    Raises:
        ExpressionTypeError: If an argument has another form.
    """
    blocks = []
    for tensor in arguments:
        each, values = dense_values(tensor, feature)
        if [name for name in tensor.type.indexed if not name.startswith("$")] != ["d0"]:
            raise ExpressionTypeError(
                f"{feature}: expected token ids in a tensor with one dimension d0, "
                f"got {tensor.type}"
            )
        blocks.append((each, values.astype(np.float64)))
    is_batch = any(each for each, _ in blocks)
    times = max((len(values) for each, values in blocks if each), default=1)
    rows = [
        [values[document if each else 0] for each, values in blocks] for document in range(times)
    ]
    return is_batch, rows


def _filled(size: int, sequences: Sequence[NDArray[np.float64]], *, is_batch: bool) -> Tensor:
    cells = np.zeros((len(sequences), 1, size), np.float32)
    for row, sequence in zip(cells, sequences, strict=True):
        row[0, : len(sequence)] = sequence[:size]
    return result_tensor(cells, CellType.FLOAT, is_batch=is_batch)
