"""ONNX Runtime against torch, on several batch sizes and lengths, before a file gets its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.checkpoint import Checkpoint
from vespa_colbert.errors import ExportError, GraphMismatchError
from vespa_colbert.export.convert import Module
from vespa_colbert.export.graph_form import INPUT_NAMES, OUTPUT_NAME
from vespa_colbert.export.model_folder import EmbedderSpec
from vespa_colbert.export.onnx_session import open_session

__all__ = [
    "SEED",
    "SHAPES",
    "TOLERANCE",
    "CaseResult",
    "OutputCase",
    "compare_outputs",
    "compare_with_torch",
]

TOLERANCE = 1e-5
"""Largest difference allowed in a component of a unit vector. Both sides compute in float32, whose
rounding (6e-8) grows to about 1e-6 through a dozen layers of differently ordered sums; a wrong
weight, mask or axis moves components by 1e-3 or more."""

UNIT_TOLERANCE = 1e-5
"""Largest deviation of a row's length from what it is to be: float32 rounding of a sum of
up to 1 024 squares."""

SHAPES = ((1, 3), (1, 7), (3, 32), (2, 180), (2, 512))
"""Batch and length, from the shortest text to the most positions of BERT."""

SEED = 20240229
SKIPPED_SHARE = 0.25

_Case: TypeAlias = tuple[str, NDArray[np.int64], NDArray[np.int64]]
"""Its kind, ids and attention, (batch, token) int64 each."""

OutputCase: TypeAlias = tuple[str, Mapping[str, NDArray[np.int64]]]
"""Its kind, and input → (batch, token) int64, in the order that the module takes them."""

ROW_AXES = 3
"""Axes of an output that has a row for each token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What one comparison gave.

    Attributes:
        batch: Texts.
        sequence: Tokens of each.
        attention: ``full``, or ``padded`` where the last tokens have attention 0, or ``mixed``
            where some are padded.
        worst: Largest difference of a component.
    """

    batch: int
    sequence: int
    attention: str
    worst: float


def compare_with_torch(
    path: Path,
    module: Module,
    checkpoint: Checkpoint,
    spec: EmbedderSpec,
    *,
    tolerance: float = TOLERANCE,
) -> tuple[CaseResult, ...]:
    """Return the result of every case, all within the tolerance.

    Args:
        path: The ONNX file.
        module: What it was exported from.
        checkpoint: For the ids that texts are made of.
        spec: For those that begin, end and fill them up, and the most tokens of one.
        tolerance: Largest difference allowed in a component.

    Raises:
        GraphMismatchError: With the case and the difference, if ONNX Runtime refuses the graph,
            differs from torch, gives a value that is not finite or a row that is not of length 1
            (an exact query's: of the length that it is to have).
        MissingExtraError: If onnxruntime is not installed.
    """
    try:
        session = open_session(path)
    except ExportError as error:
        raise GraphMismatchError(str(error)) from error
    return tuple(
        _compare(session, module, *case, tolerance=tolerance) for case in _cases(checkpoint, spec)
    )


def _cases(checkpoint: Checkpoint, spec: EmbedderSpec) -> Iterator[_Case]:
    """Yield every case.

    Full cases are documents; padded ones are queries, mask ids behind the end token. The texts of a
    padded batch have different lengths. Mixed cases have a full query first. A quarter of the
    tokens is among those that documents lose.
    """
    generator = np.random.default_rng(SEED)
    for batch, sequence in dict.fromkeys((b, min(s, spec.max_tokens)) for b, s in SHAPES):
        size = (batch, sequence)
        ids = generator.integers(0, checkpoint.encoder.vocabulary_size, size, dtype=np.int64)
        if checkpoint.skip_ids:
            skipped = generator.choice(np.array(checkpoint.skip_ids, np.int64), size)
            ids = np.where(generator.random(size) < SKIPPED_SHARE, skipped, ids)
        ids[:, 0], ids[:, 1], ids[:, -1] = spec.start_id, spec.document_marker_id, spec.end_id
        yield "full", ids, np.ones(size, dtype=np.int64)
        kept = np.maximum(3, sequence // 2 - np.arange(batch)[:, None])
        place = np.arange(sequence)[None, :]
        padded = np.where(place < kept - 1, ids, spec.mask_id)
        padded[:, 1] = spec.query_marker_id
        padded = np.where(place == kept - 1, spec.end_id, padded).astype(np.int64)
        attention = (place < kept).astype(np.int64)
        yield "padded", padded, attention
        mixed = ids.copy()
        mixed[0, 1], mixed[1:] = spec.query_marker_id, padded[1:]
        yield "mixed", mixed, np.concatenate((np.ones_like(attention[:1]), attention[1:]))


def _compare(
    session: Any,
    module: Module,
    kind: str,
    ids: NDArray[np.int64],
    attention: NDArray[np.int64],
    *,
    tolerance: float,
) -> CaseResult:
    """Return the largest difference of one case.

    Raises:
        GraphMismatchError: If it is beyond the tolerance, or the graph's output is no unit rows.
    """
    import torch

    where = f"batch {ids.shape[0]}, length {ids.shape[1]}, {kind} attention"
    given = torch.tensor(ids), torch.tensor(attention)
    with torch.no_grad():
        wanted, lengths = module(*given).numpy(), module.row_lengths(*given).numpy()
    try:
        feeds = dict(zip(INPUT_NAMES, (ids, attention), strict=True))
        (got,) = session.run([OUTPUT_NAME], feeds)
    except Exception as error:  # its exceptions have no common base of their own
        raise GraphMismatchError(f"{where}: ONNX Runtime fails: {error}") from error
    _check_rows(got, wanted, lengths, where)
    worst = float(np.abs(got - wanted).max())
    if worst > tolerance:
        raise GraphMismatchError(
            f"{where}: expected torch's token vectors within {tolerance:g}, got a difference of "
            f"{worst:.3g}"
        )
    return CaseResult(batch=ids.shape[0], sequence=ids.shape[1], attention=kind, worst=worst)


def _check_rows(
    got: TokenVectors, wanted: TokenVectors, lengths: NDArray[np.float32], where: str
) -> None:
    """Return nothing if the graph's output has the right shape, is finite and its rows' lengths.

    Raises:
        GraphMismatchError: With what is wrong.
    """
    if got.shape != wanted.shape:
        raise GraphMismatchError(f"{where}: expected shape {wanted.shape}, got {got.shape}")
    if not np.isfinite(got).all():
        raise GraphMismatchError(f"{where}: the graph gives values that are NaN or infinite")
    off = float(np.abs(np.linalg.norm(got.astype(np.float64), axis=-1) - lengths).max())
    if off > UNIT_TOLERANCE:
        raise GraphMismatchError(
            f"{where}: expected rows of length {lengths.max():g}, got one off by {off:.3g}"
        )


def compare_outputs(
    path: Path,
    module: Callable[..., Any],
    output: str,
    cases: Iterable[OutputCase],
    *,
    tolerance: float = TOLERANCE,
) -> Iterator[CaseResult]:
    """Yield how far a graph's values of any size are from a module's, case by case.

    Rows of padding are left out: nothing looks at them.

    Args:
        path: The ONNX file.
        module: The torch module that it was made of.
        output: Name of the graph's output.
        cases: What both are given.
        tolerance: Largest difference allowed, relative to the largest value of a batch where that
            is over 1.

    Raises:
        GraphMismatchError: If ONNX Runtime fails, or they differ.
    """
    import torch

    try:
        session = open_session(path)
    except ExportError as error:
        raise GraphMismatchError(str(error)) from error
    for kind, given in cases:
        ids, attention = (given[name] for name in INPUT_NAMES)
        where = f"batch {ids.shape[0]}, length {ids.shape[1]}, {kind} attention"
        with torch.no_grad():
            wanted = module(*map(torch.tensor, given.values())).numpy()
        try:
            (got,) = session.run([output], dict(given))
        except Exception as error:  # its exceptions have no common base of their own
            raise GraphMismatchError(f"{where}: ONNX Runtime fails: {error}") from error
        if wanted.ndim == ROW_AXES and got.shape == wanted.shape:
            got, wanted = (each[attention > 0] for each in (got, wanted))
        worst = _scaled_worst(got, wanted, where, tolerance=tolerance)
        yield CaseResult(batch=ids.shape[0], sequence=ids.shape[1], attention=kind, worst=worst)


def _scaled_worst(
    got: NDArray[np.float32], wanted: NDArray[np.float32], where: str, *, tolerance: float
) -> float:
    """Return the largest difference of two arrays.

    Raises:
        GraphMismatchError: If it is beyond the tolerance, or they are not of one shape and finite.
    """
    if got.shape != wanted.shape or not np.isfinite(got).all():
        raise GraphMismatchError(
            f"{where}: expected finite values {wanted.shape}, got {got.shape}, "
            f"{int((~np.isfinite(got)).sum())} of them not finite"
        )
    worst = float(np.abs(got - wanted).max())
    allowed = tolerance * max(1.0, float(np.abs(wanted).max()))
    if worst > allowed:
        raise GraphMismatchError(
            f"{where}: expected torch's values within {allowed:.3g}, got a difference of "
            f"{worst:.3g}"
        )
    return worst
