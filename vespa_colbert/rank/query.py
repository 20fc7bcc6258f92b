"""What a query brings to ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vespa_colbert.tensor import Tensor

__all__ = ["NearestNeighbor", "RankQuery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestNeighbor:
    """A ``nearestNeighbor(field, tensor)`` of a query.

    Attributes:
        field: A tensor field with a distance metric.
        tensor: Name of the query's tensor: x for ``query(x)``.
        label: What ``closeness(label,…)`` and ``distance(label,…)`` know it by.
        target_hits: Documents that it finds, as with ``approximate: false``; 0 where what it finds
            does not limit what is ranked.
    """

    field: str
    tensor: str
    label: str = ""
    target_hits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankQuery:
    """What a query brings.

    Attributes:
        text: The words, for bm25 and for matching.
        tensors: Name → tensor of each ``query(name)``, of the type the profile declares.
        nearest: The nearestNeighbor items, which closeness and distance measure from.
    """

    text: str = ""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    nearest: tuple[NearestNeighbor, ...] = ()
