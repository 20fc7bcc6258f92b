"""A rotation after which the signs of token vectors say more of them.

Float scores do not change under a rotation; the packed bits do. A float query against unpacked bits
scores Σ q·b with b in {0, 1}, which is ½ Σ q + ½ Σ q·s with the signs s = 2b - 1. The first term is
the same for every token vector of every document, so that documents rank as by Σ q·s: the signs
stand in for the vector, and are best where the vector itself is nearest to a multiple of its signs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors

__all__ = ["ITERATIONS", "blocks_of", "learn_rotation", "sign_error"]

ITERATIONS = 100
LEAST_GAIN = 1e-6
"""Relative gain below which the iteration has arrived."""


def sign_error(vectors: TokenVectors) -> float:
    """Return the share of the squared length that signs times their best common scale leave out.

    Args:
        vectors: (row, dim) float32.

    Returns:
        From 0, all components equally large, to below 1. 1 - 2/π = 0.363 is what random directions
        have.
    """
    squares = float(np.square(vectors, dtype=np.float64).sum())
    absolute = float(np.abs(vectors).sum(dtype=np.float64))
    return 1 - absolute**2 / (vectors.size * squares)


def learn_rotation(
    vectors: TokenVectors, *, seed: int, cuts: Sequence[int] = (), iterations: int = ITERATIONS
) -> NDArray[np.float64]:
    """Return the rotation that makes the sign error small: a local minimum, by turns.

    Signs are taken of the rotated vectors, then the rotation that brings the vectors nearest to
    these signs (orthogonal Procrustes); each turn makes the error smaller or leaves it.

    Args:
        vectors: (row, dim) float32, in the order in which cuts are meant.
        seed: Of the rotation that it begins with.
        cuts: Widths of which the first components have to stay among themselves, so that their
            float scores are those before.
        iterations: Turns at most.

    Returns:
        (dim, dim) float64, orthogonal: ``rotation @ vector``.

    Source: iterative quantisation of Gong and Lazebnik, CVPR 2011, section 2.2.
    """
    rotation = np.zeros((vectors.shape[1],) * 2)
    random = np.random.default_rng(seed)
    for start, end in blocks_of(vectors.shape[1], cuts):
        block = np.ascontiguousarray(vectors[:, start:end])
        rotation[start:end, start:end] = _learned(block, random, iterations)
    return rotation


def blocks_of(dim: int, cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last component (exclusive) of what lies between cuts."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < dim}), dim]
    yield from itertools.pairwise(edges)


def _learned(
    vectors: TokenVectors, random: np.random.Generator, iterations: int
) -> NDArray[np.float64]:
    rotation = _nearest_rotation(random.standard_normal((vectors.shape[1],) * 2))
    before = 0.0
    for _turn in range(iterations):
        rotated = vectors @ rotation.T.astype(np.float32)
        after = float(np.abs(rotated).sum(dtype=np.float64))
        if after <= before * (1 + LEAST_GAIN):
            break
        before = after
        # As Vespa's embedder has it, a bit is set where the value is above 0.
        signs = np.where(rotated > 0, np.float32(1), np.float32(-1))
        rotation = _nearest_rotation(signs.T @ vectors)
    return rotation


def _nearest_rotation(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the orthogonal matrix nearest to a square one."""
    left, _lengths, right = np.linalg.svd(matrix.astype(np.float64))
    nearest: NDArray[np.float64] = left @ right
    return nearest
