"""The residual codec against its definition, written out a component at a time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.codec.codec_cases import trained, unit_vectors
from vespa_colbert.codec import ResidualCodec, ResidualCodes
from vespa_colbert.codec import unit_vectors as vectors_of_length_1
from vespa_colbert.codec.residual import round_to_halves
from vespa_colbert.errors import ArrayError, SpecError

CODECS = [(1, 8), (1, 128), (2, 16), (2, 128), (4, 32), (4, 64)]
LENGTH = 16 * 2.0**-24
"""Half an ulp for each of 16 components, whose squares are added in float32."""
ROUNDING = 2.0**-22
"""torch adds the squares of a length in float32, in another order: a few ulps of a component."""


def bucket_in(residual: list[int], component: int, bits: int) -> int:
    """Return the bucket of a component: its bits from the lowest on, bit 7 of a byte first."""
    number = 0
    for bit in range(bits):
        place = component * bits + bit
        number |= (residual[place // 8] >> (7 - place % 8) & 1) << bit
    return number


def decoded_by_hand(codec: ResidualCodec, codes: ResidualCodes, token: int) -> list[float]:
    """Return normalize(centroid + weights), every sum in float32, the length rounded once."""
    residual = codes.residuals[token].tolist()
    centroid = codec.centroids[codes.centroids[token]]
    sums = [
        float(np.float32(centroid[x]) + codec.weights[bucket_in(residual, x, codec.bits)])
        for x in range(codec.dim)
    ]
    length = np.float32(math.sqrt(math.fsum(each * each for each in sums)))
    return [float(np.float32(each) / length) for each in sums]


@pytest.mark.parametrize(("bits", "dim"), CODECS)
def test_decoded_vectors_are_the_formula_s_to_the_last_bit(bits: int, dim: int) -> None:
    codec = trained(bits, dim)
    generator = np.random.default_rng(2)
    codes = ResidualCodes(
        centroids=generator.integers(0, 8, 60).astype(np.int32),
        residuals=generator.integers(0, 256, (60, codec.width)).astype(np.uint8),
    )
    decoded = codec.decode(codes)
    assert decoded.shape == (60, dim)
    for token in range(60):
        assert decoded[token].tolist() == decoded_by_hand(codec, codes, token)


@pytest.mark.parametrize(("bits", "dim"), CODECS)
def test_codes_are_the_best_centroid_and_the_buckets_of_what_is_left(bits: int, dim: int) -> None:
    codec = trained(bits, dim)
    vectors = unit_vectors(40, dim, seed=5, topics=6)
    codes = codec.encode(vectors)
    assert codes.residuals.shape == (40, dim * bits // 8)
    halves = vectors.astype(np.float16).astype(np.float64)
    for token in range(40):
        products = codec.centroids.astype(np.float64) @ halves[token]
        chosen = int(codes.centroids[token])
        assert products[chosen] >= products.max() - 1e-6  # float32 products
        left = halves[token].astype(np.float32) - codec.centroids[chosen]
        residual = codes.residuals[token].tolist()
        for x in range(dim):
            below = sum(float(cutoff) < float(left[x]) for cutoff in codec.cutoffs)
            assert bucket_in(residual, x, bits) == below


def test_a_residual_on_a_cutoff_belongs_to_the_bucket_below() -> None:
    codec = ResidualCodec(
        centroids=np.eye(1, 8, dtype=np.float32),
        cutoffs=np.array([0.25], np.float32),
        weights=np.array([-0.5, 0.5], np.float32),
    )
    vectors = np.array([[1.25, 0.25, 0.5, 0, 0, 0.75, 0.25, 0.375]], np.float32)
    assert codec.encode(vectors).residuals.tolist() == [[0b00100101]]


def test_two_bits_of_a_component_stand_the_lowest_first() -> None:
    codec = replace(
        trained(2, 16, centroids=2),
        centroids=np.zeros((2, 16), np.float32),
        cutoffs=np.array([0.0, 1.0, 2.0], np.float32),
    )
    vectors = np.zeros((1, 16), np.float32)
    vectors[0, :4] = [0.0, 0.5, 1.5, 2.5]  # buckets 0, 1, 2 and 3
    assert codec.encode(vectors).residuals[0, 0] == 0b00_10_01_11


@pytest.mark.parametrize("largest", [1.0, 65504.0, 65519.0])
def test_vectors_are_rounded_as_numpy_rounds_to_float16(largest: float) -> None:
    generator = np.random.default_rng(3)
    powers = generator.integers(-30, int(math.log2(largest)), (500, 16))
    vectors = generator.uniform(-1, 1, powers.shape) * 2.0**powers
    # Halfway between two of its values, and one float32 to each side of that.
    halfway = 2.0 ** powers[:100] * (1 + (2 * generator.integers(0, 1024, (100, 16)) + 1) / 2**11)
    every = np.concatenate([vectors, halfway, [np.full(16, largest), np.zeros(16)]])
    middle = every.astype(np.float32)
    beside = [np.nextafter(middle, np.float32(side)) for side in (-np.inf, np.inf)]
    given = np.concatenate([middle, *beside])
    given = given[(np.abs(given) <= largest).all(axis=1)]
    found, room = np.empty_like(given), np.empty_like(given)
    round_to_halves(given, found, room)
    assert len(given) > 1000
    assert (found == given.astype(np.float16).astype(np.float32)).all()


def test_the_codes_of_a_token_do_not_depend_on_those_beside_it() -> None:
    codec = trained(2, 32, centroids=40)
    vectors = unit_vectors(5000, 32, seed=6, topics=40)  # enough for two threads
    codes = codec.encode(vectors)
    borders = [0, 1, 3, 66, 130, 643, 1700, 5000]
    for start, end in itertools.pairwise(borders):
        part = codec.encode(vectors[start:end])
        assert part.centroids.tolist() == codes.centroids[start:end].tolist()
        assert part.residuals.tobytes() == codes.residuals[start:end].tobytes()


def test_only_documents_with_a_vector_of_another_length_are_scaled() -> None:
    vectors = unit_vectors(9, 16) * np.float32(1.001)  # as bfloat16 may leave it
    vectors[4] /= 2
    offsets = np.array([0, 3, 3, 6, 9])
    found = vectors_of_length_1(vectors, 16, offsets)
    assert found[[0, 1, 2, 6, 7, 8]].tolist() == vectors[[0, 1, 2, 6, 7, 8]].tolist()
    assert found[3:6].tolist() == vectors_of_length_1(vectors[3:6], 16).tolist()
    np.testing.assert_allclose(np.linalg.norm(found[3:6], axis=1), 1.0, rtol=0, atol=LENGTH)


@pytest.mark.parametrize(("bits", "least"), [(1, 0.90), (2, 0.96), (4, 0.99)])
def test_more_bits_come_nearer_to_the_vectors(bits: int, least: float) -> None:
    codec = trained(bits, 64)
    vectors = unit_vectors(300, 64, seed=9, topics=6)
    cosines = (codec.decode(codec.encode(vectors)) * vectors).sum(axis=1)
    assert float(cosines.mean()) > least


@pytest.mark.parametrize(("bits", "dim"), [(1, 16), (2, 128), (4, 64)])
def test_torch_s_operations_give_the_same_vectors(bits: int, dim: int) -> None:
    import torch

    codec = trained(bits, dim)
    codes = codec.encode(unit_vectors(50, dim, seed=3, topics=6))
    flat = torch.tensor(np.unpackbits(codes.residuals, axis=1)).reshape(50, dim, bits).long()
    buckets = (flat << torch.arange(bits)).sum(-1)
    sums = torch.tensor(codec.centroids)[torch.tensor(codes.centroids).long()]
    sums += torch.tensor(codec.weights)[buckets]
    wanted = torch.nn.functional.normalize(sums, p=2, dim=-1).numpy()
    np.testing.assert_allclose(codec.decode(codes), wanted, rtol=0, atol=ROUNDING)


def test_no_tokens_have_no_codes() -> None:
    codec = trained(2, 16)
    codes = codec.encode(np.zeros((0, 16), np.float32))
    assert len(codes) == 0
    assert codec.decode(codes).shape == (0, 16)


def test_vectors_and_codes_of_another_codec_are_refused() -> None:
    codec = trained(2, 16)
    with pytest.raises(ArrayError, match=r"expected shape \(any, 16\), got \(1, 32\)"):
        codec.encode(np.zeros((1, 32), np.float32))
    for bad in (np.nan, np.inf, 65520.0, -1e6):  # what float16 rounds to infinity, too
        with pytest.raises(ArrayError, match="expected finite values below 65520, .* got "):
            codec.encode(np.full((1, 16), bad, np.float32))
    with pytest.raises(ArrayError, match=r"expected shape \(any, 4\), got \(1, 8\)"):
        codec.decode(
            ResidualCodes(centroids=np.zeros(1, np.int32), residuals=np.zeros((1, 8), np.uint8))
        )
    with pytest.raises(ArrayError, match="from 0 to 7, got 8 to 8"):
        codec.decode(
            ResidualCodes(centroids=np.full(1, 8, np.int32), residuals=np.zeros((1, 4), np.uint8))
        )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"weights": np.zeros(3, np.float32)}, "2, 4 or 16"),
        ({"cutoffs": np.zeros(2, np.float32)}, "3 that rise"),
        ({"cutoffs": np.array([2, 1, 3], np.float32)}, "3 that rise"),
        ({"cutoffs": np.array([0, 1, np.inf], np.float32)}, "finite"),
        ({"centroids": np.zeros((2, 6), np.float32)}, "whole bytes"),
        ({"centroids": np.full((2, 16), 0.1, np.float32)}, "float16"),
        ({"centroids": np.zeros((2, 16))}, "float32"),
    ],
)
def test_a_codec_that_contradicts_itself_is_refused(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpecError, match=fault):
        replace(trained(2, 16), **change)
