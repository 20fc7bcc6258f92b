"""Which document token answers which query token: the winning cells of a MaxSim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import TokenVectors, unpack_bits
from vespa_colbert.rank.expand import calls
from vespa_colbert.rank.language.nodes import Node
from vespa_colbert.rank.residuals import as_rebuilt
from vespa_colbert.rank.shapes import as_max_sim
from vespa_colbert.tensor import CellType, Tensor

__all__ = ["NO_ALIGNMENT", "Alignment", "align", "rebuilt_vectors"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """The best document row of every query row.

    Attributes:
        rows: (query token,) int64, position of the winning document row; the first of equals.
        values: (query token,) float32, its dot product; they add up to the MaxSim.
        means: (query token,) float32, the average over all document rows.
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    means: NDArray[np.float32]


NO_ALIGNMENT = Alignment(
    rows=np.zeros(0, np.int64), values=np.zeros(0, np.float32), means=np.zeros(0, np.float32)
)
"""With a document without rows."""


def align(query: TokenVectors, document: Tensor) -> Alignment:
    """Return the winning document row of each query row.

    Args:
        query: (query token, dim) float32.
        document: Tensor of one document, with one mapped dimension; int8 cells are sign bits.
    """
    packed = document.type.cell_type is CellType.INT8
    rows = unpack_bits(document.values) if packed else document.values.astype(np.float32)
    if len(rows) == 0:
        return NO_ALIGNMENT
    products = query @ rows.T
    best = products.argmax(axis=1)
    values = products[np.arange(len(query)), best]
    return Alignment(rows=best, values=values, means=products.mean(axis=1))


def rebuilt_vectors(tree: Node, attribute: str) -> Node | None:
    """Return what a MaxSim of a tree rebuilds from residuals, ``None`` if there is no such MaxSim.

    Args:
        tree: An expanded expression.
        attribute: The feature that holds the residuals, as ``attribute(name)``.
    """
    for call in calls(tree):
        if (shape := as_max_sim(call)) is None:
            continue
        for side in (shape.left, shape.right):
            found = as_rebuilt(side, shape.component)
            if found is not None and found.attribute == attribute:
                return side
    return None
