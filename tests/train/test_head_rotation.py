from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vespa_colbert.arrays import pack_bits
from vespa_colbert.rank.kernels import max_sim, max_sim_bits
from vespa_colbert.train.rotation import learn_rotation, sign_error

SAME_SCORE = 1e-5
"""MaxSim of a dozen unit rows in float32, before and after a rotation."""
ORTHOGONAL = 1e-12
"""Products of two factors of a decomposition in float64."""
RANDOM_SIGNS = 1 - 2 / np.pi
"""What signs leave out of a Gaussian: its mean absolute value is √(2/π) of its deviation."""


def vectors_of(count: int = 3000, dim: int = 32, seed: int = 0) -> NDArray[np.float32]:
    """Return unit vectors that have most of their length along few directions."""
    random = np.random.default_rng(seed)
    turned = np.linalg.qr(random.standard_normal((dim, dim)))[0]
    scales = 1 / np.arange(1, dim + 1)
    rows = (random.standard_normal((count, dim)) * scales) @ turned
    units: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float32
    )
    return units


def turned_by(rotation: NDArray[np.float64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors @ rotation.T.astype(np.float32)


@pytest.mark.parametrize("cuts", [(), (8, 16)])
def test_float_max_sim_stays_and_bits_change(cuts: tuple[int, ...]) -> None:
    vectors, query = vectors_of(), vectors_of(12, seed=5)
    query = (query @ np.linalg.qr(vectors[:32].T.astype(np.float64))[0]).astype(np.float32)
    offsets = np.arange(0, len(vectors) + 1, 30)
    rotation = learn_rotation(vectors, seed=0, cuts=cuts)
    assert np.abs(rotation @ rotation.T - np.eye(32)).max() <= ORTHOGONAL
    turned = turned_by(rotation, vectors)
    before = max_sim(query, vectors, offsets)
    assert np.abs(max_sim(turned_by(rotation, query), turned, offsets) - before).max() <= SAME_SCORE
    assert (pack_bits(turned) != pack_bits(vectors)).any()


def test_the_signs_say_more_than_on_other_axes() -> None:
    vectors, others = vectors_of(), vectors_of(seed=0)[::-1][:1000]
    random = np.random.default_rng(3)
    turns = [np.linalg.qr(random.standard_normal((32, 32)))[0] for _ in range(5)]
    unlearned = min(sign_error(turned_by(turn, others)) for turn in turns)
    principal = np.linalg.svd(vectors, full_matrices=False)[2].astype(np.float64)
    for seed in range(3):
        learned = sign_error(turned_by(learn_rotation(vectors, seed=seed), others))
        assert learned < unlearned < sign_error(turned_by(principal, others))


def test_corners_of_a_turned_cube_are_found() -> None:
    """Their signs leave nothing out, on the cube's own axes alone."""
    random = np.random.default_rng(1)
    corners = random.choice([-0.5, 0.5], (500, 4)).astype(np.float32)
    turned = turned_by(np.linalg.qr(random.standard_normal((4, 4)))[0], corners)
    found = [sign_error(turned_by(learn_rotation(turned, seed=s), turned)) for s in range(5)]
    assert sign_error(turned) > 0.05
    assert min(found) < 1e-3


def test_what_signs_leave_out() -> None:
    random = np.random.default_rng(0)
    assert sign_error(np.array([[2, -2], [-2, -2]], np.float32)) == pytest.approx(0)
    assert sign_error(np.array([[5, 0, 0, 0]], np.float32)) == pytest.approx(3 / 4)
    gaussian = random.standard_normal((20_000, 16)).astype(np.float32)
    assert sign_error(gaussian) == pytest.approx(RANDOM_SIGNS, abs=0.005)


def test_components_stay_between_their_cuts() -> None:
    vectors = vectors_of(dim=24)
    rotation = learn_rotation(vectors, seed=0, cuts=(16, 8, 99))
    inside = np.zeros((24, 24), bool)
    for start in (0, 8, 16):
        inside[start : start + 8, start : start + 8] = True
    assert not rotation[~inside].any()
    lengths = np.linalg.norm(vectors[:, :8], axis=1)
    assert np.allclose(np.linalg.norm(turned_by(rotation, vectors)[:, :8], axis=1), lengths)


def test_the_same_seed_gives_the_same_rotation() -> None:
    vectors = vectors_of()
    assert np.array_equal(learn_rotation(vectors, seed=4), learn_rotation(vectors, seed=4))
    assert not np.allclose(learn_rotation(vectors, seed=4), learn_rotation(vectors, seed=5))


def test_more_turns_never_leave_out_more() -> None:
    vectors = vectors_of()
    errors = [
        sign_error(turned_by(learn_rotation(vectors, seed=0, iterations=turns), vectors))
        for turns in (0, 1, 2, 4, 8, 100)
    ]
    assert (np.diff(errors) <= 1e-7).all()
    assert errors[-1] < errors[0]


def test_documents_rank_by_bits_as_by_signs() -> None:
    """Σ q·b is ½ Σ q + ½ Σ q·s, and the first term is every document's."""
    vectors, query = vectors_of(), vectors_of(12, seed=7)
    offsets = np.arange(0, len(vectors) + 1, 30)
    by_bits = max_sim_bits(query, pack_bits(vectors), offsets)
    signs = np.where(vectors > 0, 1, -1).astype(np.float32)
    by_signs = max_sim(query, signs, offsets)
    assert np.abs(by_bits - (query.sum(dtype=np.float64) + by_signs) / 2).max() <= SAME_SCORE * 5
