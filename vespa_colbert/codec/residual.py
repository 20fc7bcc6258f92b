"""ColBERTv2's residual codec: a token vector is its nearest centroid and a few bits a component.

A component of what is left, the residual, falls into a bucket between two cutoffs; the number of
the bucket is stored, and a weight stands for it when the vector is rebuilt.

Bits of a component stand from its lowest to its highest, components one after the other, bit 7 of a
byte first: this is PLAID's order, so that its bytes are these bytes.

Source: ColBERTv2 (Santhanam et al., 2022); ResidualCodec, colbert-ai 501c29d.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, check_array
from vespa_colbert.codec.nearest import BLOCK_ROWS, CentroidPanels, in_blocks
from vespa_colbert.errors import ArrayError, SpecError

__all__ = [
    "BITS",
    "PackedResiduals",
    "ResidualCodec",
    "ResidualCodes",
    "joined_codes",
    "unit_vectors",
    "unpack_residuals",
]

BITS = (1, 2, 4)
"""Bits a component that there can be."""

PackedResiduals: TypeAlias = NDArray[np.uint8]
"""Packed numbers of buckets: (token, dim · bits // 8) uint8."""

ROWS_AT_ONCE = 4096
SHORTENED = 0.01
"""A length that is further from 1 is no matter of rounding, not even of bfloat16's."""

EXPONENT = np.uint32(0x7F80_0000)
"""The bits of a float32 that say which power of 2 it reaches."""

LEAST_HALF, INFINITE_HALF = np.float32(2.0**-14), np.float32(65520.0)
"""From the first on float16 has eleven bits; the second is rounded to infinity."""

LEAST_NORM = 1e-12
"""What a vector is divided by at least. Source: torch.nn.functional.normalize."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualCodes:
    """Token vectors as the codec keeps them.

    Attributes:
        centroids: (token,) int32, the number of each one's centroid.
        residuals: (token, dim · bits // 8) uint8.
    """

    centroids: NDArray[np.int32]
    residuals: PackedResiduals

    def __len__(self) -> int:
        return len(self.centroids)

    def __getitem__(self, part: slice) -> ResidualCodes:
        return ResidualCodes(centroids=self.centroids[part], residuals=self.residuals[part])


@dataclass(frozen=True, kw_only=True, eq=False)
class ResidualCodec:
    """Centroids and buckets.

    Attributes:
        centroids: (centroid, dim) float32, each a value of float16, as PLAID's files keep them.
        cutoffs: (2^bits - 1,) float32, rising: where one bucket ends and the next begins.
        weights: (2^bits,) float32: what stands for a residual in each bucket.
        average_residual: Mean of the residuals' absolute values, where they were measured.
        model: Checksum of the model whose vectors it was trained on; empty where it is not known.

    Raises:
        SpecError: With every fault found.
    """

    centroids: NDArray[np.float32]
    cutoffs: NDArray[np.float32]
    weights: NDArray[np.float32]
    average_residual: float = 0.0
    model: str = ""

    def __post_init__(self) -> None:
        if faults := tuple(_faults(self)):
            raise SpecError("the residual codec is not valid", faults)

    @property
    def dim(self) -> int:
        """Components of a token vector."""
        return int(self.centroids.shape[1])

    @property
    def bits(self) -> int:
        """Bits a component."""
        return len(self.weights).bit_length() - 1

    @property
    def width(self) -> int:
        """Bytes of a token's residual."""
        return self.dim * self.bits // 8

    @functools.cached_property
    def weights_of_byte(self) -> NDArray[np.float32]:
        """The weights that each byte stands for: (256, 8 // bits) float32."""
        return self.weights[buckets_of_byte(self.bits)]

    @functools.cached_property
    def _panels(self) -> CentroidPanels:
        """The centroids as products take them."""
        return CentroidPanels.of(self.centroids)

    def encode(self, vectors: TokenVectors) -> ResidualCodes:
        """Return token vectors as centroid and packed residual.

        Args:
            vectors: (token, dim) float32, of length 1.

        Raises:
            ArrayError: If they have another width, or one holds what float16 has no number for.

        Source: ResidualCodec.compress, colbert-ai 501c29d: vectors are rounded to float16 before.
        """
        check_array(vectors, "token vectors", dtype=np.float32, shape=(None, self.dim))
        codes = np.empty(len(vectors), np.int32)
        residuals = np.empty((len(vectors), self.width), np.uint8)
        panels = self._panels

        def serve(blocks: Iterator[slice]) -> None:
            # New memory for each block would take longer than what is computed in it.
            room = panels.room()
            rooms = np.empty((2, min(len(vectors), BLOCK_ROWS), self.dim), np.float32)
            for part in blocks:
                halves, left = rooms[:, : part.stop - part.start]
                round_to_halves(vectors[part], halves, left)
                codes[part] = panels.nearest(halves, room, None)
                np.take(self.centroids, codes[part], axis=0, out=left, mode="clip")
                np.subtract(halves, left, out=left)
                residuals[part] = _packed(left, self.cutoffs, self.bits)

        in_blocks(len(vectors), serve)
        return ResidualCodes(centroids=codes, residuals=residuals)

    def decode(self, codes: ResidualCodes) -> TokenVectors:
        """Return the vectors that codes stand for: centroid and weights, of length 1 again.

        Returns:
            (token, dim) float32.

        Raises:
            ArrayError: If the codes are another codec's.

        Source: ResidualCodec.decompress, colbert-ai 501c29d.
        """
        sums = self.rebuilt(codes)
        for start in range(0, len(sums), ROWS_AT_ONCE):
            part = sums[start : start + ROWS_AT_ONCE]
            part /= lengths(part)[:, np.newaxis]
        return sums

    def rebuilt(self, codes: ResidualCodes) -> TokenVectors:
        """Return centroid and weights added, not yet of length 1: (token, dim) float32.

        Raises:
            ArrayError: If the codes are another codec's.
        """
        check_array(codes.residuals, "residuals", dtype=np.uint8, shape=(None, self.width))
        numbers = codes.centroids
        check_array(numbers, "centroids", dtype=np.int32, shape=(len(codes.residuals),))
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self.centroids):
            raise ArrayError(
                f"centroids: expected numbers from 0 to {len(self.centroids) - 1}, got "
                f"{numbers.min()} to {numbers.max()}"
            )
        sums = self.centroids[numbers]
        for start in range(0, len(sums), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            sums[part] += self.weights_of_byte[codes.residuals[part]].reshape(-1, self.dim)
        return sums


def joined_codes(documents: Sequence[ResidualCodes], codec: ResidualCodec) -> ResidualCodes:
    """Return the codes of documents, one after the other.

    Args:
        documents: The codes of each.
        codec: Made them.
    """
    residuals = [np.zeros((0, codec.width), np.uint8), *(each.residuals for each in documents)]
    centroids = [np.zeros(0, np.int32), *(each.centroids for each in documents)]
    return ResidualCodes(centroids=np.concatenate(centroids), residuals=np.concatenate(residuals))


def lengths(vectors: TokenVectors) -> NDArray[np.float32]:
    """Return the lengths that vectors are divided by: (token,) float32; squares add in double."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.asarray(np.maximum(np.sqrt(squares), LEAST_NORM), np.float32)


def unit_vectors(
    vectors: TokenVectors, dim: int, offsets: NDArray[np.int64] | None = None
) -> TokenVectors:
    """Return the first components of token vectors, as the codec takes them: of length 1.

    What was cut or pooled is shorter; the codec keeps no lengths, so they are made 1 before.

    Args:
        vectors: (token, dim or more) float32.
        dim: How many components.
        offsets: (document + 1,) int64, where each document begins and ends; all tokens are one
            document's when absent.

    Returns:
        (token, dim) float32; the vectors of a document whose vectors are all of length 1 but for
        rounding stay as they are.
    """
    first = vectors[:, :dim]
    found = lengths(first)
    is_short = ~(np.abs(found - 1.0) <= SHORTENED)  # NaN, too
    if not is_short.any():
        return first
    if offsets is not None:
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_short)])[offsets]
        found[np.repeat(np.diff(before) == 0, np.diff(offsets))] = 1.0
    scaled: TokenVectors = first / found[:, np.newaxis]
    return scaled


@functools.cache
def buckets_of_byte(bits: int) -> NDArray[np.uint8]:
    """Return the numbers of the buckets that each byte holds: (256, 8 // bits) uint8."""
    every = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    digits = np.unpackbits(every, axis=1).reshape(256, 8 // bits, bits)
    return np.packbits(digits, axis=2, bitorder="little")[:, :, 0]


def unpack_residuals(residuals: PackedResiduals, bits: int) -> NDArray[np.uint8]:
    """Return the number of each component's bucket: (token, dim) uint8."""
    return buckets_of_byte(bits)[residuals].reshape(len(residuals), -1)


def round_to_halves(
    vectors: TokenVectors, halves: NDArray[np.float32], room: NDArray[np.float32]
) -> None:
    """Put vectors rounded to float16, halves to even, into ``halves`` as float32.

    A float32 that is 2^13 times as large, and half as much again, has its last bit where float16
    has it: added and taken away, it rounds. Converting to float16 and back takes eight times as
    long.

    Args:
        vectors: (token, dim) float32.
        halves: (token, dim) float32, for what is found.
        room: (token, dim) float32, to compute in.

    Raises:
        ArrayError: If a value is NaN, or too large for float16.
    """
    largest = np.abs(vectors, out=room).max(initial=0.0)
    if not largest < INFINITE_HALF:  # NaN, too
        raise ArrayError(
            f"token vectors: expected finite values below {INFINITE_HALF:.0f}, as float16 holds "
            f"them, got {largest}"
        )
    powers = np.bitwise_and(vectors.view(np.uint32), EXPONENT, out=room.view(np.uint32))
    np.maximum(powers, LEAST_HALF.view(np.uint32), out=powers)  # what is smaller has fewer bits
    room *= np.float32(1.5 * 2**13)
    np.add(vectors, room, out=halves)
    halves -= room


def _packed(
    values: NDArray[np.float32], cutoffs: NDArray[np.float32], bits: int
) -> PackedResiduals:
    """Return the buckets in which values fall, packed; one that equals a cutoff lies below it.

    The number of a bucket is how many cutoffs a value is above. They rise, so that a bit of it is
    1 where an odd number of each 2^bit-th cutoff is below the value.

    Args:
        values: (token, dim) float32.
        cutoffs: (2^bits - 1,) float32, rising.
        bits: Bits a component.

    Returns:
        (token, dim · bits // 8) uint8.

    Source: torch.bucketize with ``right=False``.
    """
    found = np.empty((*values.shape, bits), np.bool_)
    for bit in range(bits):
        first, *others = cutoffs[(1 << bit) - 1 :: 1 << bit]
        is_set = values > first
        for cutoff in others:
            is_set ^= values > cutoff
        found[:, :, bit] = is_set
    return np.packbits(found.reshape(len(values), -1), axis=1)


def _faults(codec: ResidualCodec) -> Iterator[str]:
    """Yield what contradicts itself in a codec."""
    arrays = {
        "centroids": (codec.centroids, 2),
        "cutoffs": (codec.cutoffs, 1),
        "weights": (codec.weights, 1),
    }
    for name, (array, axes) in arrays.items():
        if array.dtype != np.float32 or array.ndim != axes or not array.size:
            yield f"{name}: expected float32 of {axes} axes, got {array.dtype} {array.shape}"
            return
        if not np.isfinite(array).all():
            yield f"{name}: expected finite values"
    if len(codec.weights) not in {1 << bits for bits in BITS}:
        yield f"weights: expected 2, 4 or 16 of them (1, 2 or 4 bits), got {len(codec.weights)}"
        return
    if len(codec.cutoffs) != len(codec.weights) - 1 or (np.diff(codec.cutoffs) < 0).any():
        yield f"cutoffs: expected {len(codec.weights) - 1} that rise, got {codec.cutoffs.tolist()}"
    if codec.dim * codec.bits % 8:
        yield f"dim: expected {codec.bits} bits each to fill whole bytes, got {codec.dim}"
    with np.errstate(over="ignore"):
        halves = codec.centroids.astype(np.float16).astype(np.float32)
    if not np.array_equal(halves, codec.centroids):
        yield "centroids: expected values of float16; round them first"
