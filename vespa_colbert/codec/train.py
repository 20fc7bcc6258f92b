"""Trains the codec on a sample of token vectors, as PLAID does on a sample of a collection."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, check_array
from vespa_colbert.codec.nearest import k_means, nearest_centroids
from vespa_colbert.codec.residual import BITS, ResidualCodec
from vespa_colbert.errors import ArrayError, SpecError

__all__ = ["CodecOptions", "centroids_for", "sample_size", "train_codec", "train_codecs"]

HELD_OUT, MOST_HELD_OUT = 0.05, 50_000
"""Share of the sample that buckets are measured on, and the most of it.

Source: CollectionIndexer._concatenate_and_split_sample, colbert-ai 501c29d.
"""

PARTITIONS_A_ROOT = 16
TYPICAL_TOKENS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecOptions:
    """What one may choose about a codec.

    Attributes:
        bits: Bits a component: 1, 2 or 4.
        centroids: How many; 0 for as many as PLAID takes for the collection.
        iterations: How often k-means moves them.
        seed: Of all that is drawn.
    """

    bits: int = 2
    centroids: int = 0
    iterations: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise SpecError(f"bits: expected 1, 2 or 4, got {self.bits}")
        if self.centroids < 0 or self.iterations < 1:
            raise SpecError(
                f"expected 0 centroids or more and 1 iteration or more, got {self.centroids} and "
                f"{self.iterations}"
            )


def centroids_for(tokens: float) -> int:
    """Return how many centroids PLAID takes for a collection of so many token vectors.

    Source: CollectionIndexer.setup, colbert-ai 501c29d.
    """
    return 1 << max(0, math.floor(math.log2(max(PARTITIONS_A_ROOT * math.sqrt(tokens), 1.0))))


def sample_size(documents: int) -> int:
    """Return how many documents of a collection PLAID trains on.

    Source: CollectionIndexer._sample_pids, colbert-ai 501c29d.
    """
    return min(1 + int(16 * math.sqrt(TYPICAL_TOKENS * documents)), documents)


def train_codec(
    sample: TokenVectors,
    options: CodecOptions,
    *,
    tokens: int = 0,
    model: str = "",
    progress: Callable[[int], None] = lambda _done: None,
) -> ResidualCodec:
    """Return a codec trained on a sample: ``train_codecs`` of one number of bits."""
    made = train_codecs(
        sample, options, (options.bits,), tokens=tokens, model=model, progress=progress
    )
    return made[options.bits]


def train_codecs(
    sample: TokenVectors,
    options: CodecOptions,
    bits: Sequence[int],
    *,
    tokens: int = 0,
    model: str = "",
    progress: Callable[[int], None] = lambda _done: None,
) -> dict[int, ResidualCodec]:
    """Return bits a component → a codec; all of them have the same centroids.

    Args:
        sample: (token, dim) float32, of length 1.
        options: The choices; their bits do not count.
        bits: 1, 2 or 4 each.
        tokens: Token vectors of the whole collection; 0 where the sample is all of it.
        model: Checksum of the model that made them.
        progress: Called with the number of iterations done.

    Raises:
        ArrayError: If there are too few vectors, or one is not finite.
        SpecError: If their components do not fill whole bytes, or more centroids are asked for than
            there are vectors.

    Source: CollectionIndexer.train, colbert-ai 501c29d. Differs: there, float centroids meet the
    buckets, and only their files hold float16; here buckets are measured with what is stored.
    """
    check_array(sample, "sample", dtype=np.float32, shape=(None, None))
    if len(sample) < 2 or not np.isfinite(sample).all():
        raise ArrayError(f"sample: expected 2 finite vectors or more, got {len(sample)}")
    if sample.shape[1] * min(bits) % 8:
        raise SpecError(
            f"dim: expected {min(bits)} bits each to fill whole bytes, got {sample.shape[1]}"
        )
    generator = np.random.default_rng(options.seed)
    halves = sample[generator.permutation(len(sample))].astype(np.float16).astype(np.float32)
    apart = max(1, int(min(HELD_OUT * len(halves), MOST_HELD_OUT)))
    trained, held_out = halves[:-apart], halves[-apart:]
    count = _centroid_count(options, len(trained), tokens or len(sample))
    centroids = k_means(
        trained, count, iterations=options.iterations, generator=generator, progress=progress
    )
    centroids = centroids.astype(np.float16).astype(np.float32)
    left = held_out - centroids[nearest_centroids(held_out, centroids)]
    measured = {each: buckets(left, each) for each in bits}
    return {
        each: ResidualCodec(
            centroids=centroids,
            cutoffs=cutoffs,
            weights=weights,
            average_residual=float(np.abs(left).mean(dtype=np.float64)),
            model=model,
        )
        for each, (cutoffs, weights) in measured.items()
    }


def _centroid_count(options: CodecOptions, trained: int, tokens: int) -> int:
    """Return how many centroids there are to be.

    Args:
        options: What was chosen.
        trained: Vectors to train on.
        tokens: Token vectors of the whole collection.

    Raises:
        SpecError: If more are asked for than there are vectors.
    """
    if options.centroids > trained:
        raise SpecError(
            f"--centroids: expected at most {trained}, the vectors that there are to train on, got "
            f"{options.centroids}; leave it out for as many as PLAID takes"
        )
    return options.centroids or min(centroids_for(tokens), trained)


def buckets(
    residuals: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cutoffs and weights: quantiles of residuals, all components together.

    With n buckets the cutoffs are the quantiles i / n, the weights those of the middles between.

    Source: CollectionIndexer._compute_avg_residual, colbert-ai 501c29d.
    """
    count = 1 << bits
    places = np.arange(count) / count
    both = np.quantile(residuals.astype(np.float64), [*places[1:], *(places + 0.5 / count)])
    rounded = both.astype(np.float32)
    return rounded[: count - 1], rounded[count - 1 :]
