"""How near two vectorisers' vectors are, and when they count as the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import pack_bits, truncate_to_bfloat16

__all__ = [
    "FLOAT32",
    "HALF",
    "UNIT",
    "Cells",
    "Closeness",
    "closeness",
    "direction_gaps",
    "in_cells",
    "likely_cells",
    "nearest_bfloat16",
    "unit",
]

Cells: TypeAlias = Literal[
    "float32",
    "float16",
    "bfloat16",
    "bfloat16 nearest",
    "int8 by 127",
    "int8 by text",
    "int8 by file",
    "int8 by component",
    "bits",
    "bits minus 128",
    "bits unsigned",
]
"""What the components of a finished vector are stored as.

``bfloat16`` is cut off as Vespa does, ``bfloat16 nearest`` rounded as torch does; ``int8 by …`` is
round(127 · x / largest) with the largest component of 1, of the text or of all
texts, or 256 steps from a component's smallest to its largest value; ``bits`` are signs, eight a
byte, as Vespa packs them, ``bits minus 128`` and ``bits unsigned`` as sentence-transformers does.
"""

FLOAT32 = 5e-6
"""Largest difference of a component, of a vector of length 1, that float32 sums in another order
make: torch against ONNX Runtime, alone against padded. Up to 1e-6 was seen on small encoders; the
smallest difference that narrower floats make is some 1e-4."""

HALF = 5e-3
"""The same for float16 against float32. It says only that float16 would explain a difference: two
float16 kernels round differently, and nothing is proved by it."""

UNIT = 1e-2
"""How far from 1 the length of a vector may be that was brought to 1 and stored in few bits: what
cutting off the bits that bfloat16 lacks takes from it is 2 ** -8 at most."""

SAME_CELLS = 0.9
"""Share of components that must be equal to the last bit where both sides are rounded alike. By
chance, two vectors that round differently share less than half."""

SAME_STEPS = 0.99
"""The same of eight-bit steps and of signs."""

NEAR_STEP = 1.01
"""Steps that two components may be apart of which a last digit before rounding differs."""

NEAR_ZERO = 2e-5
"""A component nearer to 0, of a vector of length 1, may have another sign on the other side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeness:
    """How near vectors are.

    Attributes:
        gaps: Largest difference of a component for each text, of a vector of length 1; of bits,
            their share that differs.
        agrees: Whether they count as the same.
    """

    gaps: tuple[float, ...]
    agrees: bool

    @property
    def largest(self) -> float:
        """The largest gap."""
        return max(self.gaps)


def closeness(
    ours: NDArray[Any], theirs: NDArray[Any], cells: Cells, tolerance: float = FLOAT32
) -> Closeness:
    """Return how near vectors are.

    Args:
        ours: (text, dim) float32, not yet narrowed.
        theirs: (text, cell) of any numbers.
        cells: What the other side's components are stored as; ours are narrowed alike.
        tolerance: What differences of floats are allowed.
    """
    if cells.startswith("bits"):
        return _of_bits(ours, theirs, cells)
    made = in_cells(ours, cells)
    if made.shape != theirs.shape:
        return Closeness(gaps=(float("inf"),) * len(ours), agrees=False)
    if cells.startswith("int8"):
        return _of_steps(made, theirs)
    one, other = made.astype(np.float64), theirs.astype(np.float64)
    scale = np.maximum(_lengths(one), _lengths(other))
    gaps = np.abs(one - other).max(axis=1) / np.maximum(scale, np.finfo(np.float32).tiny)[:, 0]
    agrees = bool((gaps <= tolerance).all())
    if not agrees and cells != "float32":
        same = (made == theirs).mean(axis=1)
        agrees = bool((same >= SAME_CELLS).all() and (gaps <= HALF).all())
    return Closeness(gaps=tuple(gaps.tolist()), agrees=agrees)


def direction_gaps(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far directions are apart: (text,) float64, infinite for other widths."""
    if ours.shape != theirs.shape:
        return np.full(len(ours), np.inf)
    gaps: NDArray[np.float64] = np.abs(unit(ours) - unit(theirs)).max(axis=1)
    return gaps


def unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Return vectors of length 1, those of zeros as they are: (text, dim) float64."""
    wide = vectors.astype(np.float64)
    scaled: NDArray[np.float64] = wide / np.maximum(_lengths(wide), np.finfo(np.float32).tiny)
    return scaled


def in_cells(vectors: NDArray[Any], cells: Cells) -> NDArray[Any]:
    """Return vectors as they are stored: (text, cell)."""
    if cells in FLOATS:
        return FLOATS[cells](vectors)
    stored: NDArray[Any] = _packed(vectors, cells) if "bits" in cells else _steps(vectors, cells)
    return stored


def likely_cells(theirs: NDArray[Any], width: int) -> tuple[Cells, ...]:
    """Return what vectors may be stored as, by their numbers alone.

    Args:
        theirs: (text, cell) of any numbers.
        width: Components that the other side has.
    """
    if theirs.dtype.kind in "iu":
        if theirs.shape[1] * 8 <= width:
            return ("bits unsigned",) if theirs.dtype.kind == "u" else ("bits", "bits minus 128")
        return ("int8 by 127", "int8 by text", "int8 by file", "int8 by component")
    floats = theirs.astype(np.float32)
    found: list[Cells] = []
    if (truncate_to_bfloat16(floats) == floats).all():
        found += ["bfloat16", "bfloat16 nearest"]
    elif (floats.astype(np.float16).astype(np.float32) == floats).all():
        found.append("float16")
    return (*found, "float32")


def nearest_bfloat16(array: NDArray[Any]) -> NDArray[Any]:
    """Return floats rounded to bfloat16, ties to even, as torch stores them."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    up = ((bits >> np.uint32(16)) & np.uint32(1)) + np.uint32(0x7FFF)
    return truncate_to_bfloat16((bits + up).view(np.float32))


FLOATS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "float32": lambda vectors: vectors,
    "float16": lambda vectors: vectors.astype(np.float16).astype(np.float32),
    "bfloat16": truncate_to_bfloat16,
    "bfloat16 nearest": nearest_bfloat16,
}


def _packed(vectors: NDArray[Any], cells: Cells) -> NDArray[Any]:
    """Return signs, eight a byte: (text, cell)."""
    packed = pack_bits(np.ascontiguousarray(vectors, np.float32))
    unsigned = packed.view(np.uint8)
    if cells == "bits minus 128":
        return unsigned.astype(int) - 128
    return packed if cells == "bits" else unsigned


def _steps(vectors: NDArray[Any], cells: Cells) -> NDArray[Any]:
    """Return whole numbers of eight bits: (text, dim)."""
    tiny = np.finfo(np.float32).tiny
    if cells == "int8 by component":
        low, high = vectors.min(axis=0), vectors.max(axis=0)
        step = np.maximum((high - low) / 255, tiny)
        trunc: NDArray[Any] = np.trunc((vectors - low) / step - 128)
        return trunc
    largest = {
        "int8 by 127": np.float32(1.0),
        "int8 by text": np.abs(vectors).max(axis=1, keepdims=True),
        "int8 by file": np.abs(vectors).max(),
    }[cells]
    rounded: NDArray[Any] = np.round(127 * vectors / np.maximum(largest, tiny))
    return rounded


def _of_bits(ours: NDArray[Any], theirs: NDArray[Any], cells: Cells) -> Closeness:
    """Return the same of signs, eight a byte."""
    shift = 128 if cells == "bits minus 128" else 0
    packed = ((theirs.astype(int) + shift) & 0xFF).astype(np.uint8)
    bits = np.unpackbits(packed, axis=1)
    if bits.shape[1] > ours.shape[1]:
        return Closeness(gaps=(float("inf"),) * len(ours), agrees=False)
    kept = ours[:, : bits.shape[1]]
    differ = (kept > 0) != (bits > 0)
    gaps = differ.mean(axis=1)
    near = np.abs(unit(kept)) <= NEAR_ZERO
    return Closeness(gaps=tuple(gaps.tolist()), agrees=not bool((differ & ~near).any()))


def _of_steps(made: NDArray[Any], theirs: NDArray[Any]) -> Closeness:
    """Return the same of whole numbers: steps that they are apart, of 127."""
    apart = np.abs(made.astype(np.float64) - theirs.astype(np.float64))
    agrees = bool((apart <= NEAR_STEP).all() and (apart == 0).mean() >= SAME_STEPS)
    return Closeness(gaps=tuple((apart.max(axis=1) / 127).tolist()), agrees=agrees)


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return lengths
