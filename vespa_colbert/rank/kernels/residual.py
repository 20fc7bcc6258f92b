"""MaxSim of token vectors that are kept as centroid and residual: rebuilt where they are compared.

With numba a query's products with every centroid and with all that a byte can stand for are made
once; a token is then a sum of a line for each of its bytes. Without it, blocks of vectors are
rebuilt and multiplied.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.kernels import blocked
from vespa_colbert.rank.kernels.parallel import Part, in_parts
from vespa_colbert.rank.kernels.queries import is_worth, scores_of_queries

__all__ = ["Residuals", "max_sim_residuals", "max_sim_residuals_of_queries"]

logger = logging.getLogger(__name__)

LANES = 32
"""Query tokens that are compared at once."""


ROWS_A_STEP = 4096
"""Rows whose lengths are measured together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Residuals:
    """Token vectors of many documents, laid end to end.

    What does not depend on the query is computed once: whoever keeps the rows keeps that too.

    Attributes:
        packed: (row, width) uint8.
        centroids: (row,) int64, which centroid is added to each.
        cells_of_byte: (width, 256, components) float32: what each byte stands for in each place.
        vectors: (centroid, dim) float32, dim = width · components.
        is_normalized: Whether the sums are divided by their lengths.
    """

    packed: NDArray[np.uint8]
    centroids: NDArray[np.int64]
    cells_of_byte: NDArray[np.float32]
    vectors: NDArray[np.float32]
    is_normalized: bool

    @property
    def components(self) -> int:
        """Components in a byte."""
        return int(self.cells_of_byte.shape[2])

    @functools.cached_property
    def used(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers of centroids, and the centroids, without those that no row has."""
        if len(self.packed) >= len(self.vectors):
            return self.centroids, np.ascontiguousarray(self.vectors)
        found, numbers = np.unique(self.centroids, return_inverse=True)
        return numbers.astype(np.int64), self.vectors[found]

    @functools.cached_property
    def tables(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Bytes and what they stand for, row-major."""
        return np.ascontiguousarray(self.packed), np.ascontiguousarray(self.cells_of_byte)

    @functools.cached_property
    def scales(self) -> NDArray[np.float32]:
        """What each row's products are multiplied by: (row,) float32; needs numba."""
        found = np.ones(len(self.packed), np.float32)
        if not self.is_normalized or (kernels := _numba_kernels()) is None:
            return found
        (packed, cells), (centroids, vectors) = self.tables, self.used
        steps = np.append(np.arange(0, len(packed), ROWS_A_STEP), len(packed)).astype(np.int64)

        def measure(part: Part) -> None:
            own = slice(steps[part[0]], steps[part[1]])
            kernels.LENGTHS[self.components](
                packed[own], centroids[own], cells, vectors, found[own]
            )

        in_parts(steps, measure)
        return found

    def rebuilt(self, start: int, end: int) -> NDArray[np.float32]:
        """Return the vectors of some rows: (row, dim) float32."""
        places = np.arange(self.packed.shape[1])
        cells = self.cells_of_byte[places, self.packed[start:end]]
        sums = self.vectors[self.centroids[start:end]]
        sums += cells.reshape(sums.shape)
        if self.is_normalized:
            with np.errstate(all="ignore"):
                sums /= np.sqrt(np.einsum("ij,ij->i", sums, sums))[:, np.newaxis]
        return sums


def max_sim_residuals(
    query: NDArray[np.float32], rows: Residuals, offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each document: (document,) float64.

    Of one query; see ``max_sim_residuals_of_queries``.
    """
    scores: NDArray[np.float64] = max_sim_residuals_of_queries([query], rows, offsets)[0]
    return scores


def max_sim_residuals_of_queries(
    queries: Sequence[NDArray[np.float32]], rows: Residuals, offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Σ_qt max_dt Σ_x query·row for each query and document.

    Args:
        queries: (query token, dim) float32 each.
        rows: The token vectors of all documents.
        offsets: (document + 1,) int64, where each document's rows begin and end.

    Returns:
        (query, document) float64; 0 for a document without rows or a query without tokens.
    """
    # ∞ · a + ∞ · b is not ∞ · (a + b): what is not finite meets the rebuilt vectors.
    return scores_of_queries(
        queries,
        offsets,
        is_compiled=lambda query: is_worth(query, rows.packed) and bool(np.isfinite(query).all()),
        kernels=_numba_kernels,
        together=lambda kernels, asked: _compiled(kernels, asked, rows, offsets),
        alone=lambda query: blocked.max_sim_of(query, offsets, rows.rebuilt, query.dtype),
    )


def _compiled(
    kernels: ModuleType,
    queries: Sequence[NDArray[np.float32]],
    rows: Residuals,
    offsets: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the scores by numba's kernel, 32 query tokens at a time."""
    scores = np.zeros((len(queries), len(offsets) - 1))
    (packed, cells), (centroids, vectors) = rows.tables, rows.used
    stored = (packed, centroids, rows.scales, offsets)
    every = np.concatenate(queries)
    owners = np.repeat(np.arange(len(queries)), list(map(len, queries)))
    for start in range(0, len(every), LANES):
        tokens = every[start : start + LANES]
        lanes = np.zeros((LANES, every.shape[1]), np.float32)
        lanes[: len(tokens)] = tokens
        lines = _tables(lanes, cells), vectors @ lanes.T, owners[start : start + LANES]

        def score(part: Part, lines: Any = lines) -> None:
            kernels.residual_scores(stored, *lines, part, scores)

        in_parts(offsets, score)
    return scores


def _tables(lanes: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the products of query tokens with all that a byte stands for: (256 · width, 32)."""
    width, _bytes, components = cells.shape
    parts = lanes.T.reshape(width, components, LANES)
    made: NDArray[np.float32] = np.matmul(cells, parts).reshape(-1, LANES)
    return made


@functools.cache
def _numba_kernels() -> ModuleType | None:
    """Return the kernels of numba, ``None`` without the extra ``fast``."""
    try:
        from vespa_colbert.rank.kernels import residual_loops
    except ImportError as error:  # not installed, or not for this numpy
        logger.info("scoring with numpy: %s", error)
        return None
    return residual_loops
