"""Our side of a comparison: the tensors of Vespa's embedder on exported files, and their MaxSim."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.export import ModelFolder
from vespa_colbert.tensor import TensorType
from vespa_colbert.vespa_java import EmbedderFiles, VespaJava

__all__ = [
    "QUICK_OPSET",
    "SCORE_ROUNDING",
    "Rows",
    "Scores",
    "check_scores",
    "maxsim",
    "vespa_scores",
]

logger = logging.getLogger(__name__)

QUICK_OPSET = 17
"""TorchScript's exporter writes it, in a quarter of the time that the default one takes.

Folders of the default run are exported so; all others, with trained encoders, by the default one.
"""
PAIRS = 200
"""Fewer prove little."""
SCORE_ROUNDING = 2e-5
"""float32 rounding of rows, summed over the rows of a query, 32 at most."""

Rows = NDArray[np.floating]
"""(token, dim)."""
Scores = NDArray[np.float64]
"""(query, document)."""


def maxsim(queries: Sequence[Rows], documents: Sequence[Rows], *, mean: bool = False) -> Scores:
    """Return the sum, or the mean, over a query's rows of the best dot product."""
    right = [rows.astype(np.float64) for rows in documents]
    left = [rows.astype(np.float64) for rows in queries]
    best = [[(query @ document.T).max(axis=1) for document in right] for query in left]
    return np.array([[b.mean() if mean else b.sum() for b in of_query] for of_query in best])


def vespa_scores(
    java: VespaJava, folder: ModelFolder, queries: Sequence[str], documents: Sequence[str]
) -> Scores:
    """Return the sum of maxima over the tensors that Vespa's embedder makes."""
    files, dim = EmbedderFiles.of(folder), folder.embedder.dim

    def rows(texts: Sequence[str], target: str, dimension: str) -> list[Rows]:
        kind = TensorType.parse(f"tensor<float>({dimension}{{}},x[{dim}])")
        return [each.tensor.values for each in java.embed_many(files, texts, target, kind)]

    return maxsim(rows(queries, "query(qt)", "qt"), rows(documents, "doc.colbert", "dt"))


def check_scores(got: Scores, wanted: Scores) -> None:
    """Fail if the scores of at least 200 pairs differ by more than rounding.

    Judges compute in float64, so that what differs is ours alone: in float32 they are not equal to
    themselves (MiniLM, scores up to 31: 1.0e-5 between two batch sizes, 1.5e-5 to float64).

    Args:
        got: Ours.
        wanted: The judge's.
    """
    assert got.shape == wanted.shape
    assert got.size >= PAIRS
    assert np.isfinite(wanted).all()
    worst = np.abs(got - wanted).max()
    logger.info("%d pairs, scores to %.2f, largest difference %.1e", got.size, wanted.max(), worst)
    assert worst <= SCORE_ROUNDING
