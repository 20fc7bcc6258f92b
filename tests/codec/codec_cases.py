"""Codecs and vectors for tests."""

from __future__ import annotations

import numpy as np

from vespa_colbert.arrays import TokenVectors
from vespa_colbert.codec import CodecOptions, ResidualCodec, train_codec

__all__ = ["trained", "unit_vectors"]


def unit_vectors(count: int, dim: int, *, seed: int = 0, topics: int = 0) -> TokenVectors:
    """Return vectors of length 1, scattered about some topics if there are any."""
    generator = np.random.default_rng(seed)
    made = generator.normal(size=(count, dim))
    if topics:
        centres = np.random.default_rng(99).normal(size=(topics, dim))
        made = centres[generator.integers(0, topics, count)] + 0.4 * made
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def trained(bits: int, dim: int, *, centroids: int = 8, model: str = "") -> ResidualCodec:
    """Return a small codec."""
    sample = unit_vectors(400, dim, seed=1, topics=6)
    return train_codec(sample, CodecOptions(bits=bits, centroids=centroids), model=model)
