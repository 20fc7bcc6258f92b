"""Shapes in a tree that have a kernel: recognised however they are written.

What is found here is how an expression is written. Whether the dimensions are where their names
say is for ``fused.py`` to see, which knows the types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from vespa_colbert.rank.algebra import AGGREGATORS
from vespa_colbert.rank.expand import is_bare, plain
from vespa_colbert.rank.functions import BINARY
from vespa_colbert.rank.language.nodes import Call, Embraced, Lambda, Node, Number, Operation

__all__ = [
    "Cells",
    "Compared",
    "MaxSim",
    "Reduction",
    "Similarity",
    "as_cells",
    "as_compared",
    "as_max_sim",
    "as_reduction",
    "as_short_reduction",
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


class Similarity(Enum):
    """How a query token and a document token are compared."""

    PRODUCT = "the dot product"
    INVERSE_HAMMING = "1 / (1 + Hamming distance)"
    HAMMING = "the Hamming distance, of which the smallest counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxSim:
    """The parts of Σ over query tokens of the best over document tokens of a similarity.

    Attributes:
        left: One operand.
        right: The other one.
        similarity: How they are compared.
        summed: Dimension of the query tokens; ``None`` for every dimension that is left.
        best_over: Dimensions over which the best is taken.
        component: Dimension of the components.
    """

    left: Node
    right: Node
    similarity: Similarity
    summed: str | None
    best_over: tuple[str, ...]
    component: str


def as_max_sim(node: Node) -> MaxSim | None:
    """Return the parts of a MaxSim, or ``None``."""
    outer = as_reduction(node)
    if outer is None or outer.aggregator != "sum" or len(outer.dimensions) > 1:
        return None
    for read in (_best_product, _best_inverse, _inverse_of_nearest, _nearest):
        if (best := read(outer.argument)) is not None:
            break
    else:
        return None
    summed = outer.dimensions[0] if outer.dimensions else None
    names = [name for name in (summed, *best.over, best.compared.component) if name is not None]
    if len(set(names)) < len(names):
        return None
    return MaxSim(
        left=best.compared.left,
        right=best.compared.right,
        similarity=best.similarity,
        summed=summed,
        best_over=best.over,
        component=best.compared.component,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Σ_component left · right, or of their Hamming distances.

    Attributes:
        left: One operand.
        right: The other one.
        component: Dimension of the components.
        is_hamming: Whether distances are summed.
    """

    left: Node
    right: Node
    component: str
    is_hamming: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """The best of what is compared, over some dimensions."""

    compared: Compared
    over: tuple[str, ...]
    similarity: Similarity


def _best_product(node: Node) -> _Best | None:
    return _best(node, "max", Similarity.PRODUCT, lambda each: each)


def _best_inverse(node: Node) -> _Best | None:
    return _best(node, "max", Similarity.INVERSE_HAMMING, _as_inverse)


def _nearest(node: Node) -> _Best | None:
    return _best(node, "min", Similarity.HAMMING, lambda each: each)


def _inverse_of_nearest(node: Node) -> _Best | None:
    distance = _as_inverse(node)
    if distance is None:
        return None
    return _best(distance, "min", Similarity.INVERSE_HAMMING, lambda each: each)


def _best(
    node: Node, aggregator: str, similarity: Similarity, inside: Callable[[Node], Node | None]
) -> _Best | None:
    """Return the best over one dimension or more of what ``inside`` finds in there."""
    over: tuple[str, ...] = ()
    while (found := as_reduction(node) or as_short_reduction(node)) is not None:
        if found.aggregator != aggregator or not found.dimensions:
            break
        node, over = found.argument, (*over, *found.dimensions)
    inner = inside(node) if over else None
    compared = None if inner is None else as_compared(inner)
    wants_hamming = similarity is not Similarity.PRODUCT
    if compared is None or compared.is_hamming != wants_hamming:
        return None
    return _Best(compared=compared, over=over, similarity=similarity)


def _as_inverse(node: Node) -> Node | None:
    """Return the x of ``1 / (1 + x)`` or ``1 / (x + 1)``, or ``None``."""
    node = plain(node)
    if not isinstance(node, Operation) or node.operator != "/" or not _is_one(node.left):
        return None
    sum_ = plain(node.right)
    if not isinstance(sum_, Operation) or sum_.operator != "+":
        return None
    if _is_one(sum_.left):
        return sum_.right
    return sum_.left if _is_one(sum_.right) else None


def _is_one(node: Node) -> bool:
    node = plain(node)
    return isinstance(node, Number) and node.value == 1.0


Pair: TypeAlias = tuple[Node, Node]


def as_compared(node: Node) -> Compared | None:
    """Return the parts of ``sum(a * b, x)``, ``matmul(a, b, x)``, ``sum(hamming(a, b), x)``."""
    node = plain(node)
    if isinstance(node, Call) and node.name == "matmul" and len(node.arguments or ()) == 3:
        left, right, name = node.arguments or ()
        if not isinstance(name, Call) or not is_bare(name):
            return None
        return Compared(left=left, right=right, component=name.name, is_hamming=False)
    if isinstance(node, Operation) and node.operator == "+":
        return _as_sum_of_products(node)
    found = as_reduction(node)
    if found is None or found.aggregator != "sum" or len(found.dimensions) != 1:
        return None
    product, distance = _as_product(found.argument), _as_hamming(found.argument)
    pair = product or distance
    if pair is None:
        return None
    (component,) = found.dimensions
    left, right = pair
    return Compared(left=left, right=right, component=component, is_hamming=product is None)


def _as_sum_of_products(node: Operation) -> Compared | None:
    """Return ``sum(q * a, x) + sum(q * b, x)`` as the products of q with ``a + b``, or ``None``."""
    one, other = as_compared(node.left), as_compared(node.right)
    if one is None or other is None or one.is_hamming or other.is_hamming:
        return None
    for left, first in ((one.left, one.right), (one.right, one.left)):
        for right, second in ((other.left, other.right), (other.right, other.left)):
            if plain(left) == plain(right) and one.component == other.component:
                both = Operation(first, "+", second)
                return Compared(left=left, right=both, component=one.component, is_hamming=False)
    return None


def _as_product(node: Node) -> Pair | None:
    """Return the operands of ``a * b`` or of a join with that, or ``None``."""
    node = plain(node)
    if isinstance(node, Operation) and node.operator == "*":
        return node.left, node.right
    return _as_join_with(node, _as_product)


def _as_hamming(node: Node) -> Pair | None:
    """Return the operands of ``hamming(a, b)`` or of a join with that, or ``None``."""
    node = plain(node)
    if isinstance(node, Call) and node.name == "hamming" and len(node.arguments or ()) == 2:
        left, right = node.arguments or ()
        return left, right
    return _as_join_with(node, _as_hamming)


def _as_join_with(node: Node, operands: Callable[[Node], Pair | None]) -> Pair | None:
    """Return a and b of ``join(a, b, f(p,q)(…))`` where the body's operands are p and q."""
    if not isinstance(node, Call) or node.name != "join" or len(node.arguments or ()) != 3:
        return None
    left, right, function = node.arguments or ()
    if not isinstance(function, Lambda) or len(function.parameters) != 2:
        return None
    inside = operands(function.body)
    names = [] if inside is None else [str(plain(each)) for each in inside]
    return (left, right) if sorted(names) == sorted(function.parameters) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """An operand under what changes the form of its cells alone.

    Attributes:
        node: The operand.
        cast: The cell type it is cast to, as written; ``None`` where it keeps its own.
        bits: ``big`` or ``little`` where its bits are unpacked, ``None`` where they are not.
    """

    node: Node
    cast: str | None = None
    bits: str | None = None


def as_cells(node: Node) -> Cells:
    """Return an operand without the ``cell_cast`` or ``unpack_bits`` around it, if there is one."""
    node = plain(node)
    if isinstance(node, Call) and node.arguments:
        first, *rest = node.arguments
        words = [str(plain(each)) for each in rest]
        if node.name == "cell_cast" and len(words) == 1:
            inner = as_cells(first)
            if inner.cast is None:
                return Cells(node=inner.node, cast=words[0])
            if inner.bits is not None:  # a bit is the same number in every cell type
                return Cells(node=inner.node, cast=words[0], bits=inner.bits)
        if node.name == "unpack_bits" and len(words) <= 2:
            cast, bits = (*words, *("float", "big")[len(words) :])
            return Cells(node=plain(first), cast=cast, bits=bits)
    return Cells(node=node)
