"""Shapes in a tree that have a kernel: recognised however they are written."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.rank.algebra import AGGREGATORS
from vespa_colbert.rank.expand import is_bare, plain
from vespa_colbert.rank.functions import BINARY
from vespa_colbert.rank.nodes import Call, Embraced, Node, Operation

__all__ = [
    "MaxSim",
    "Reduction",
    "as_max_sim",
    "as_reduction",
    "as_short_reduction",
    "as_unpacked",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """A reduction, however written: ``reduce(a, sum, x)`` or ``sum(a, x)``."""

    argument: Node
    aggregator: str
    dimensions: tuple[str, ...]


def as_reduction(node: Node) -> Reduction | None:
    """Return the parts of a reduction, or ``None``.

    ``max(a, b)`` and ``min(a, b)`` are none: see ``as_short_reduction``.

    Source: RankingExpressionParser.jj, Vespa 8.700.24.
    """
    node = plain(node)
    if not isinstance(node, Call) or not node.arguments:
        return None
    first, *rest = node.arguments
    names = [each.name for each in rest if isinstance(each, Call) and is_bare(each)]
    if len(names) != len(rest):
        return None
    if node.name == "reduce" and names and names[0] in AGGREGATORS:
        return Reduction(argument=first, aggregator=names[0], dimensions=tuple(names[1:]))
    if node.name in AGGREGATORS and node.name not in BINARY:
        return Reduction(argument=first, aggregator=node.name, dimensions=tuple(names))
    return None


def as_short_reduction(node: Node) -> Reduction | None:
    """Return what ``max(a, x)`` or ``min(a, x)`` is if a has a dimension x, or ``None``.

    Source: TensorMaxMinTransformer, Vespa 8.700.24. With one argument, or more than two, Vespa's
    grammar does not know them.
    """
    node = plain(node)
    if not isinstance(node, Call) or len(node.arguments or ()) != 2:
        return None
    first, second = node.arguments or ()
    if node.name not in BINARY.keys() & AGGREGATORS.keys():
        return None
    if isinstance(second, Embraced) and second.stands_for is not None:
        name = second.stands_for
    elif isinstance(second, Call) and is_bare(second):
        name = second.name
    else:
        return None
    return Reduction(argument=first, aggregator=node.name, dimensions=(name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxSim:
    """The parts of Σ_qt max_dt Σ_x left · right."""

    left: Node
    right: Node
    query_token: str
    document_token: str
    component: str


def as_max_sim(node: Node) -> MaxSim | None:
    """Return the parts of a MaxSim, or ``None``; a reduction over no named dimension is none.

    It is one only if the dimensions are where their names say: whoever evaluates it sees to that.
    """
    names = []
    for aggregator in ("sum", "max", "sum"):
        found = as_reduction(node) or as_short_reduction(node)
        if found is None or found.aggregator != aggregator or len(found.dimensions) != 1:
            return None
        names.append(found.dimensions[0])
        node = plain(found.argument)
    if not isinstance(node, Operation) or node.operator != "*" or len(set(names)) < len(names):
        return None
    query_token, document_token, component = names
    return MaxSim(
        left=node.left,
        right=node.right,
        query_token=query_token,
        document_token=document_token,
        component=component,
    )


def as_unpacked(node: Node) -> tuple[Node, bool]:
    """Return the argument of ``unpack_bits`` and True, or the node itself and False."""
    node = plain(node)
    if isinstance(node, Call) and node.name == "unpack_bits" and len(node.arguments or ()) == 1:
        return plain((node.arguments or ())[0]), True
    return node, False
