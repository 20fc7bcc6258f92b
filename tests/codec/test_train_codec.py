"""k-means and buckets: where the centroids come to lie, and what quantiles they measure."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codec.codec_cases import trained, unit_vectors
from vespa_colbert.codec import CodecOptions, centroids_for, train_codec
from vespa_colbert.codec.nearest import k_means, nearest_centroids
from vespa_colbert.codec.train import buckets, sample_size
from vespa_colbert.errors import ArrayError, SpecError

COSINE = 1e-6
"""Of float32 vectors of length 1."""


def test_each_of_a_few_tight_groups_gets_its_centroid() -> None:
    centres = unit_vectors(4, 16, seed=3)
    noise = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32) * 0.001
    vectors = np.repeat(centres, 50, axis=0) + noise
    # The first centroids are drawn with this seed so that one group has none of them.
    found = k_means(vectors, 4, iterations=8, generator=np.random.default_rng(1))
    assert (centres @ found.T).max(axis=1).min() > 1 - 1e-4
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=COSINE)


def test_the_nearest_centroid_is_the_first_of_equals_in_every_block() -> None:
    centroids = np.zeros((5000, 8), np.float32)
    centroids[[100, 4000], 0] = 1.0
    centroids[4500, 1] = 2.0
    vectors = np.zeros((1500, 8), np.float32)
    vectors[::2, 0] = 1.0
    vectors[1::2, 1] = 1.0
    found = nearest_centroids(vectors, centroids)
    assert set(found[::2].tolist()) == {100}
    assert set(found[1::2].tolist()) == {4500}


def test_cutoffs_and_weights_are_quantiles_and_the_middles_between() -> None:
    residuals = np.linspace(0.0, 1.0, 1601, dtype=np.float32).reshape(-1, 1)
    cutoffs, weights = buckets(residuals, 2)
    assert cutoffs.tolist() == [0.25, 0.5, 0.75]
    assert weights.tolist() == [0.125, 0.375, 0.625, 0.875]


def test_the_same_seed_trains_the_same_codec_and_another_seed_another() -> None:
    sample = unit_vectors(300, 16, topics=5)
    first, second, other = (
        train_codec(sample, CodecOptions(centroids=8, seed=seed)) for seed in (7, 7, 8)
    )
    assert first.centroids.tobytes() == second.centroids.tobytes()
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.centroids.tobytes() != other.centroids.tobytes()


def test_centroids_are_of_length_1_and_of_float16() -> None:
    codec = trained(2, 16)
    np.testing.assert_allclose(np.linalg.norm(codec.centroids, axis=1), 1.0, atol=2.0**-10)
    assert (codec.centroids == codec.centroids.astype(np.float16)).all()
    assert codec.average_residual > 0


@pytest.mark.parametrize(
    ("tokens", "count"), [(1, 16), (100_000, 4096), (1_600_000, 16384), (1_048_576, 16384)]
)
def test_a_collection_gets_as_many_centroids_as_plaid_gives_it(tokens: int, count: int) -> None:
    # 2^floor(log2(16 · √tokens)): 16 · √100 000 = 5 060, 16 · √1 600 000 = 20 239, 16 · 1 024.
    assert centroids_for(tokens) == count


def test_a_sample_of_a_large_collection_is_plaid_s() -> None:
    # 1 + ⌊16 · √(120 · 1 000 000)⌋ = 1 + ⌊175 271.2⌋; all of a small one.
    assert sample_size(1_000_000) == 175_272
    assert sample_size(10) == 10


def test_what_cannot_be_trained_on_is_refused() -> None:
    with pytest.raises(ArrayError, match="2 finite vectors"):
        train_codec(np.zeros((1, 8), np.float32), CodecOptions())
    with pytest.raises(SpecError, match="--centroids: expected at most 95, .*, got 200; leave it"):
        train_codec(unit_vectors(100, 8), CodecOptions(centroids=200))
    with pytest.raises(SpecError, match="whole bytes, got 6"):
        train_codec(unit_vectors(100, 6), CodecOptions())
    with pytest.raises(SpecError, match="1, 2 or 4, got 3"):
        CodecOptions(bits=3)
