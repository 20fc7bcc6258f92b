"""Products of a query with vectors that all documents share, as centroids: tokens look them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vespa_colbert.errors import SpecError
from vespa_colbert.rank.centroids import as_chosen
from vespa_colbert.rank.expand import calls, plain
from vespa_colbert.rank.features.table import FEATURES, REFUSED
from vespa_colbert.rank.language.nodes import Call, Embraced, Node, Operation
from vespa_colbert.rank.shapes import as_compared, as_reduction, as_short_reduction

__all__ = ["SharedProducts", "SharedVectors", "as_shared", "looked_up", "vectors_of"]

OF_ALL = frozenset({"constant", "query"})
"""Features that are the same for every document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedProducts:
    """Products of all query tokens with all vectors that documents share.

    Attributes:
        expression: As printed.
        query_tokens: Vectors of the query.
        vectors: Vectors that documents share.
        width: Cells of a vector.
        is_once: Whether they are a function of their own, which is computed once for all documents.
    """

    expression: str
    query_tokens: int
    vectors: int
    width: int
    is_once: bool

    @property
    def operations(self) -> float:
        """A product and a sum for each cell of each pair."""
        return float(self.query_tokens * self.vectors * self.width * 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedVectors:
    """What such products are made of.

    Attributes:
        query: The query's side.
        constant: The name of the other side, as ``constant(centroids)``.
        component: Dimension of the components.
        is_once: As in ``SharedProducts``.
    """

    query: Node
    constant: Call
    component: str
    is_once: bool


def looked_up(node: Node) -> Node | None:
    """Return the products that tokens of a MaxSim look up, ``None`` if they look up none.

    They are all that is compared, or what is added to the products of each token.
    """
    if (chosen := as_chosen(node)) is not None:
        return chosen.products
    outer = as_reduction(node)
    place = None if outer is None else outer.argument
    while place is not None and (found := as_reduction(place) or as_short_reduction(place)):
        if found.aggregator != "max":
            return None
        place = found.argument
    added = None if place is None else plain(place)
    if not isinstance(added, Operation) or added.operator != "+":
        return None
    return next((each for each in (added.left, added.right) if _is_of_all(each)), None)


def _is_of_all(node: Node) -> bool:
    """Return whether a tree has the same value for every document, and reads a constant."""
    names = {each.name for each in calls(node) if each.name in FEATURES.keys() | REFUSED}
    return "constant" in names and names <= OF_ALL


def as_shared(products: Node, inline: set[str]) -> SharedVectors | None:
    """Return what products are made of, ``None`` if not of a query's vectors and a constant.

    Args:
        products: What tokens look up.
        inline: Functions that are part of the expression that calls them.

    Source: RankProgram.setup, Vespa 8.700.24: a feature that is made of constants and the query is
    computed once for each thread.
    """
    compared = as_compared(products) if _is_of_all(products) else None
    if compared is None or compared.is_hamming:
        return None
    for side, other in ((compared.left, compared.right), (compared.right, compared.left)):
        constant = plain(side)
        if isinstance(constant, Call) and constant.name == "constant":
            return SharedVectors(
                query=other,
                constant=constant,
                component=compared.component,
                is_once=_is_own_function(products, inline),
            )
    return None


def _is_own_function(node: Node, inline: set[str]) -> bool:
    """Return whether a function of its own holds a tree."""
    while isinstance(node, Embraced):
        if node.function is not None and node.function not in inline:
            return True
        node = node.inner
    return False


def vectors_of(constant: Call, counts: Mapping[str, int]) -> int:
    """Return how many vectors a constant has.

    Args:
        constant: It.
        counts: Name of a constant → how many vectors it has.

    Raises:
        SpecError: If it is not known.
    """
    name = constant.feature_name[len("constant(") : -1]
    if name not in counts:
        raise SpecError(
            f"{constant}: how many vectors it has is not known, and so is the work of their "
            "products; its file must be there and readable"
        )
    return counts[name]
