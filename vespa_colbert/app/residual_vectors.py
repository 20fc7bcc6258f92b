"""Token vectors kept as residuals: what a package needs to know of a codec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.codec import read_codec
from vespa_colbert.codec.store import CENTROIDS_FILE

__all__ = ["ResidualVectors", "read_residual_vectors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualVectors:
    """A codec, as rank expressions and a constant hold it.

    Attributes:
        dim: Components of a token vector.
        weights: What stands for a residual in each bucket: 2, 4 or 16 of them.
        centroids: How many there are.
        file: Holds them, as Vespa reads a constant.
    """

    dim: int
    weights: tuple[float, ...]
    centroids: int
    file: Path

    @property
    def bits(self) -> int:
        """Bits a component."""
        return len(self.weights).bit_length() - 1

    @property
    def width(self) -> int:
        """Bytes of a token's residual."""
        return self.dim * self.bits // 8


def read_residual_vectors(folder: Path) -> ResidualVectors:
    """Return what a package needs to know of the codec in a folder.

    Raises:
        SpecError: If there is none, or it is damaged.
    """
    codec = read_codec(folder)
    return ResidualVectors(
        dim=codec.dim,
        weights=tuple(codec.weights.tolist()),
        centroids=len(codec.centroids),
        file=folder / CENTROIDS_FILE,
    )
