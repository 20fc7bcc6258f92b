"""ONNX Runtime against torch, on several batch sizes and lengths, before a file gets its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import GraphMismatchError, MissingExtraError
from vespa_colbert.export.convert import INPUT_NAMES, OUTPUT_NAME

if TYPE_CHECKING:
    from vespa_colbert.model.contextual import ContextualEncoder

__all__ = ["SHAPES", "TOLERANCE", "CaseResult", "compare_with_torch"]

TOLERANCE = 1e-5
"""Largest difference allowed in a component of a unit vector. Both sides compute in float32, whose
rounding (6e-8) grows to about 1e-6 through a dozen layers of differently ordered sums; a wrong
weight, mask or axis moves components by 1e-3 or more."""

UNIT_TOLERANCE = 1e-5
"""Largest deviation of a row's length from 1: float32 rounding of a sum of up to 1 024 squares."""

SHAPES = ((1, 3), (1, 7), (3, 32), (2, 180), (2, 512))
"""Batch and length, from the shortest text to the most positions of BERT."""

SEED = 20240229
ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What one comparison gave.

    Attributes:
        batch: Texts.
        sequence: Tokens of each.
        attention: ``full``, or ``padded`` where the last tokens have attention 0.
        worst: Largest difference of a component.
    """

    batch: int
    sequence: int
    attention: str
    worst: float


def compare_with_torch(
    path: Path, module: ContextualEncoder, checkpoint: Checkpoint
) -> tuple[CaseResult, ...]:
    """Return the result of every case, all within the tolerance.

    Args:
        path: The ONNX file.
        module: What it was exported from.
        checkpoint: For the ids that texts begin, end and are filled up with.

    Raises:
        GraphMismatchError: With the case and the difference, if ONNX Runtime refuses the graph,
            differs from torch, gives a value that is not finite or a row that is not of length 1.
        MissingExtraError: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("embed", "onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions have no common base of their own
        raise GraphMismatchError(f"ONNX Runtime does not load the graph: {error}") from error
    return tuple(_compare(session, module, ids, attention) for ids, attention in _cases(checkpoint))


def _cases(checkpoint: Checkpoint) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield ids and attention, (batch, token) int64 each, of every case.

    Full cases look like documents; padded ones like queries, mask ids behind the end token. The
    texts of a padded batch have different lengths.
    """
    generator = np.random.default_rng(SEED)
    positions = checkpoint.encoder.positions
    for batch, sequence in dict.fromkeys((b, min(s, positions)) for b, s in SHAPES):
        size = (batch, sequence)
        ids = generator.integers(0, checkpoint.encoder.vocabulary_size, size, dtype=np.int64)
        ids[:, 0], ids[:, -1] = checkpoint.start_id, checkpoint.end_id
        yield ids, np.ones(size, dtype=np.int64)
        kept = np.maximum(2, sequence // 2 - np.arange(batch)[:, None])
        place = np.arange(sequence)[None, :]
        padded = np.where(place < kept - 1, ids, checkpoint.mask_id)
        padded[:, 0] = checkpoint.start_id
        yield (
            np.where(place == kept - 1, checkpoint.end_id, padded).astype(np.int64),
            (place < kept).astype(np.int64),
        )


def _compare(
    session: Any, module: ContextualEncoder, ids: NDArray[np.int64], attention: NDArray[np.int64]
) -> CaseResult:
    """Return the largest difference of one case.

    Raises:
        GraphMismatchError: If it is beyond the tolerance, or the graph's output is no unit rows.
    """
    import torch

    kind = "full" if attention.all() else "padded"
    where = f"batch {ids.shape[0]}, length {ids.shape[1]}, {kind} attention"
    with torch.no_grad():
        wanted = module(torch.tensor(ids), torch.tensor(attention)).numpy()
    try:
        feeds = dict(zip(INPUT_NAMES, (ids, attention), strict=True))
        (got,) = session.run([OUTPUT_NAME], feeds)
    except Exception as error:  # its exceptions have no common base of their own
        raise GraphMismatchError(f"{where}: ONNX Runtime fails: {error}") from error
    _check_rows(got, wanted, where)
    worst = float(np.abs(got - wanted).max())
    if worst > TOLERANCE:
        raise GraphMismatchError(
            f"{where}: expected torch's token vectors within {TOLERANCE:g}, got a difference of "
            f"{worst:.3g}"
        )
    return CaseResult(batch=ids.shape[0], sequence=ids.shape[1], attention=kind, worst=worst)


def _check_rows(got: TokenVectors, wanted: TokenVectors, where: str) -> None:
    """Return nothing if the graph's output has the right shape, is finite and of unit length.

    Raises:
        GraphMismatchError: With what is wrong.
    """
    if got.shape != wanted.shape:
        raise GraphMismatchError(f"{where}: expected shape {wanted.shape}, got {got.shape}")
    if not np.isfinite(got).all():
        raise GraphMismatchError(f"{where}: the graph gives values that are NaN or infinite")
    off = float(np.abs(np.linalg.norm(got.astype(np.float64), axis=-1) - 1).max())
    if off > UNIT_TOLERANCE:
        raise GraphMismatchError(f"{where}: expected rows of length 1, got one off by {off:.3g}")
