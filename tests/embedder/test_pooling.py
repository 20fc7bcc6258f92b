"""Token pooling: Ward's clusters are scipy's, their means PyLate's, and nothing else moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from tests.required import import_or_skip
from vespa_colbert.arrays import TokenVectors
from vespa_colbert.embedder.pooling import TokenPooling, clusters, pooled_embedding, ward_merges
from vespa_colbert.errors import ArrayError, SpecError

FLOAT_MEAN = 1e-6
"""Means of a few floats of size 1, summed in float by the judge and in double here."""

SEVERAL = (2, 3, 5, 17, 40)


def unit(vectors: ArrayLike) -> TokenVectors:
    wide = np.asarray(vectors, np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), np.float32)


def near_topics(count: int, seed: int, dim: int = 16) -> TokenVectors:
    """Return vectors around a few directions, as tokens of one text lie."""
    random = np.random.default_rng(seed)
    topics = random.standard_normal((max(count // 6, 1), dim))
    return unit(
        topics[random.integers(len(topics), size=count)]
        + 0.4 * random.standard_normal((count, dim))
    )


def grid(count: int, seed: int) -> TokenVectors:
    """Return vectors of few directions, so that many distances are equal."""
    random = np.random.default_rng(seed)
    return unit(random.choice([-1.0, 1.0], size=(count, 4)))


def distances(vectors: TokenVectors) -> np.ndarray:
    wide = vectors.astype(np.float64)
    return np.clip(1.0 - wide @ wide.T, 0.0, 2.0)


def scipy_clusters(between: np.ndarray, most: int) -> np.ndarray:
    hierarchy = import_or_skip("scipy.cluster.hierarchy")
    condensed = between[np.triu_indices(len(between), 1)]
    linkage = hierarchy.linkage(condensed, method="ward")
    return np.asarray(hierarchy.fcluster(linkage, t=most, criterion="maxclust"))


def members(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == each).tolist()) for each in set(labels.tolist())}


@pytest.mark.parametrize("count", SEVERAL)
@pytest.mark.parametrize("make", [near_topics, grid], ids=["apart", "ties"])
def test_clusters_are_those_of_scipy(count: int, make: object) -> None:
    for seed in range(8):
        between = distances(make(count, seed))  # type: ignore[operator]
        merges = ward_merges(between)
        for most in {1, 2, count // 3 or 1, count // 2 or 1, count - 1, count}:
            ours = clusters(merges, most)
            assert members(ours) == members(scipy_clusters(between, most)), (seed, most)


def test_heights_are_those_of_scipy() -> None:
    hierarchy = import_or_skip("scipy.cluster.hierarchy")
    between = distances(near_topics(60, seed=3))

    _pairs, heights = ward_merges(between)

    theirs = hierarchy.linkage(between[np.triu_indices(60, 1)], method="ward")[:, 2]
    np.testing.assert_allclose(heights, theirs, rtol=1e-12)


@pytest.mark.parametrize("protected", [0, 1, 3])
@pytest.mark.parametrize("factor", [1.5, 2.0, 3.0, 100.0])
def test_what_is_left_are_the_means_of_the_clusters(protected: int, factor: float) -> None:
    vectors = near_topics(41, seed=int(factor) + protected)

    pooled = TokenPooling(factor=factor, protected=protected).pool(vectors)

    free = vectors[protected:]
    labels = scipy_clusters(distances(free), max(int(len(free) // factor), 1))
    kept = dict.fromkeys(labels.tolist())
    expected = np.stack([free[labels == each].mean(axis=0) for each in kept])
    assert pooled.dtype == np.float32
    np.testing.assert_array_equal(pooled[:protected], vectors[:protected])
    np.testing.assert_allclose(pooled[protected:], expected, atol=FLOAT_MEAN)


def test_two_pairs_become_two_vectors_where_their_first_tokens_stood() -> None:
    angle = math.radians(10.0)
    vectors = unit([
        [0.0, 0.0, 1.0],
        [0.0, 1.0, 0.0],
        [1.0, 0.0, 0.0],
        [math.cos(angle), 0.0, math.sin(angle)],
        [0.0, math.cos(angle), math.sin(angle)],
    ])

    pooled = TokenPooling(factor=2).pool(vectors)

    half = (1 + math.cos(angle)) / 2, math.sin(angle) / 2
    expected = np.array([[0, 0, 1], [0, half[0], half[1]], [half[0], 0, half[1]]])
    np.testing.assert_allclose(pooled, expected, atol=FLOAT_MEAN)
    lengths = np.linalg.norm(TokenPooling(factor=2, normalized=True).pool(vectors), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=FLOAT_MEAN)


def test_copies_of_a_row_count_once() -> None:
    vectors = near_topics(20, seed=1)
    filled = np.concatenate([vectors[:1], vectors[:5], vectors[:1], vectors[5:], vectors[:1]])

    pooling = TokenPooling(factor=2)

    np.testing.assert_array_equal(pooling.pool(filled), pooling.pool(vectors))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_documents_keep_a_vector(count: int) -> None:
    vectors = near_topics(max(count, 1), seed=2)[:count]

    pooled = TokenPooling(factor=4, protected=1).pool(vectors)

    assert pooled.shape == (min(count, 2), 16)


def test_a_factor_of_1_changes_nothing() -> None:
    vectors = np.repeat(near_topics(4, seed=0), 2, axis=0)
    pooling = TokenPooling()

    assert pooling.pool(vectors) is vectors
    assert str(pooling) == "none"
    embed = {"text": vectors}.__getitem__
    assert pooled_embedding(embed, pooling) is embed
    halved = pooled_embedding(embed, TokenPooling(factor=2, protected=0))("text")
    assert len(halved) == 2


def test_what_was_done_is_told_apart() -> None:
    choices = [
        TokenPooling(),
        TokenPooling(factor=2),
        TokenPooling(factor=2.5),
        TokenPooling(factor=2, protected=0),
        TokenPooling(factor=2, normalized=True),
    ]
    assert len({str(each) for each in choices}) == len(choices)


@pytest.mark.parametrize("factor", [0.5, 0.0, -2.0, math.nan, math.inf])
def test_a_factor_that_makes_no_sense_is_refused(factor: float) -> None:
    with pytest.raises(SpecError, match="pool factor: expected a number of 1 or more"):
        TokenPooling(factor=factor)


def test_other_faults_are_named() -> None:
    with pytest.raises(SpecError, match="protected tokens: expected 0 or more, got -1"):
        TokenPooling(factor=2, protected=-1)
    vectors = near_topics(4, seed=0)
    vectors[2, 1] = np.nan
    with pytest.raises(ArrayError, match="finite"):
        TokenPooling(factor=2).pool(vectors)


@pytest.mark.slow
@pytest.mark.parametrize("normalized", [False, True])
def test_vectors_are_those_of_sentence_transformers(normalized: bool) -> None:
    torch = import_or_skip("torch")
    modules = import_or_skip("sentence_transformers.multi_vector_encoder.modules")
    theirs = modules.HierarchicalTokenPooling(2, normalize_embeddings=normalized)
    ours = TokenPooling(factor=2, normalized=normalized)
    for seed in range(10):
        vectors = near_topics(50 + seed, seed, dim=32)

        expected = theirs.pool_one(torch.tensor(vectors)).numpy()

        pooled = ours.pool(vectors)
        assert len(pooled) == len(expected)
        apart = np.abs(pooled[:, np.newaxis] - expected).max(axis=2)
        assert apart.min(axis=1).max() < FLOAT_MEAN
        assert len(set(apart.argmin(axis=1).tolist())) == len(pooled)
