"""What a narrower graph loses: measured on sample texts, and the gates that it has to pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.errors import ExportError
from vespa_colbert.export.graph_form import INPUT_NAMES, OUTPUT_NAME
from vespa_colbert.export.onnx_session import open_session

__all__ = ["GATES", "Loss", "gate_faults", "loss_lines", "measure_loss", "run_samples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a narrower graph loses against the float32 one, over the token vectors of texts.

    Attributes:
        worst: Largest difference of a component.
        cosine: Mean cosine of a token vector with its original.
        sign_flips: Share of components whose sign bit differs, 0 to 1.
        top_agreement: Share of queries whose best document by MaxSim is the same, or as good as the
            best before, up to the error of half precision, 0 to 1.
        rank_agreement: Share of pairs of documents that MaxSim puts in the same order, over all
            queries, 0 to 1.
    """

    worst: float
    cosine: float
    sign_flips: float
    top_agreement: float
    rank_agreement: float


HALF_ERROR = 2e-3
"""Of a component of a unit vector in half precision: it has 11 bits, so that a dozen layers leave
some 1e-3. Of two documents whose scores are as close as that, either may come out as the best."""

GATES = {
    "fp16": Loss(
        worst=HALF_ERROR, cosine=0.9999, sign_flips=0.005, top_agreement=0.99, rank_agreement=0.99
    ),
    "int8": Loss(worst=1.0, cosine=0.98, sign_flips=0.07, top_agreement=0.85, rank_agreement=0.85),
}
"""The most that a dtype may lose. fp16: no query of a dozen may have another best document, unless
that one was as good before (a tiny model was measured whose two best are 4e-4 apart: they changed
places). int8: weights per channel were measured at cosine 0.983 to 0.990, 4.3 to 5.7 % flipped
signs, the same best document for 0.87 of queries or more and 0.95 of pairs in the same order; what
is clearly worse than that (per-tensor weights: 0.924, 12 %, 0.62) is refused."""

NAMES = {
    "worst": "largest difference",
    "cosine": "mean cosine",
    "sign_flips": "flipped signs",
    "top_agreement": "same best document",
    "rank_agreement": "same order of two documents",
}
AT_MOST = frozenset({"worst", "sign_flips"})


def run_samples(
    path: Path, inputs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> list[TokenVectors]:
    """Return the rows of each text, (token, dim) float32, from an ONNX file.

    Args:
        path: The ONNX file.
        inputs: Ids and attention of each text, (1, token) int64.

    Raises:
        ExportError: If ONNX Runtime does not load or run it.
        MissingExtraError: If onnxruntime is not installed.
    """
    session = open_session(path)
    try:
        return [
            session.run([OUTPUT_NAME], dict(zip(INPUT_NAMES, each, strict=True)))[0][0]
            for each in inputs
        ]
    except Exception as error:  # its exceptions have no common base of their own
        raise ExportError(f"ONNX Runtime refuses the graph: {error}") from error


def measure_loss(wanted: list[TokenVectors], got: list[TokenVectors], queries: int) -> Loss:
    """Return what the rows of texts lost.

    Cosines and signs are of the rows that are not zero: an exact graph's query has rows of zeros,
    which do not score.

    Args:
        wanted: Rows of each text in float32, (token, dim): queries first, then documents.
        got: The same from the narrower graph.
        queries: How many of the texts are queries.

    Raises:
        ExportError: If a value is not finite.
    """
    ours, theirs = np.concatenate(wanted), np.concatenate(got)
    if not np.isfinite(theirs).all():
        raise ExportError("the narrower graph gives NaN or infinity")
    worst = float(np.abs(ours - theirs).max())
    counted = ours.any(axis=1)
    ours, theirs = ours[counted], theirs[counted]
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / np.where(lengths == 0, 1, lengths)
    before, after = _scores(wanted, queries), _scores(got, queries)
    return Loss(
        worst=worst,
        cosine=float(cosines.mean()),
        sign_flips=float(((ours > 0) != (theirs > 0)).mean()),
        top_agreement=_same_best(before, after),
        rank_agreement=_same_order(before, after),
    )


def _scores(rows: list[TokenVectors], queries: int) -> NDArray[np.float64]:
    """Return the MaxSim of every pair, (query, document)."""
    return np.array([
        [(query @ document.T).max(axis=1).sum(dtype=np.float64) for document in rows[queries:]]
        for query in rows[:queries]
    ])


def _same_best(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Return the share of queries whose best document now scored before what the best one did.

    Args:
        before: MaxSim of every pair, (query, document).
        after: The same from the narrower graph.
    """
    found = np.take_along_axis(before, after.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((before.max(axis=1) - found <= HALF_ERROR).mean())


def _same_order(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Return the share of pairs of documents in the same order; 1 where there is no pair."""
    first, second = np.triu_indices(before.shape[1], k=1)
    if not len(first):
        return 1.0
    same = np.sign(before[:, first] - before[:, second]) == np.sign(
        after[:, first] - after[:, second]
    )
    return float(same.mean())


def gate_faults(dtype: str, loss: Loss) -> list[str]:
    """Return what a graph lost beyond the gate of its dtype; empty where it passes."""
    return [line for line, fits in _judged(dtype, asdict(loss)) if not fits]


def loss_lines(dtype: str, loss: dict[str, Any]) -> list[str]:
    """Return every figure with what its gate allows, as lines of text.

    Args:
        dtype: Of the narrower graph.
        loss: The members of a ``Loss``, and maybe others.
    """
    return [line for line, _fits in _judged(dtype, loss)]


def _judged(dtype: str, loss: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return each figure in words, and whether the gate lets it pass."""
    judged = []
    for each in fields(Loss):
        got, limit = loss[each.name], getattr(GATES[dtype], each.name)
        fits = got <= limit if each.name in AT_MOST else got >= limit
        side = "at most" if each.name in AT_MOST else "at least"
        judged.append((f"{NAMES[each.name]} {got:.4g}, wanted {side} {limit:.4g}", fits))
    return judged
