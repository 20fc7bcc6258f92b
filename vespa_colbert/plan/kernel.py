"""Which kernel of the content node evaluates a MaxSim, and why none does.

Without one, Vespa makes the tensor of all products and reduces it step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vespa_colbert.app.profile import RankProfile
from vespa_colbert.rank.expand import plain
from vespa_colbert.rank.language.nodes import Call, Embraced, Node, Number, Operation
from vespa_colbert.rank.shapes import MaxSim, Similarity, as_reduction
from vespa_colbert.tensor import CellType, TensorType

__all__ = ["GLOBAL_REASON", "Operands", "Verdict", "inline_functions", "kernel_of", "operands_of"]

GLOBAL_REASON = (
    "the global phase runs in the container, whose Java has no kernel for MaxSim, and every hit "
    "brings its tensor along; name the function in match-features"
)
DOT, HAMMING = "dot product", "inverse Hamming"
WANTED = {Similarity.PRODUCT: CellType.FLOAT, Similarity.INVERSE_HAMMING: CellType.INT8}
OVER_TWO = {"matmul", "join", "hamming"}
"""Functions of the two operands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a MaxSim has a kernel.

    Attributes:
        kernel: Its name, empty if none applies.
        reason: Why none does, empty if one does.
    """

    kernel: str = ""
    reason: str = ""

    @property
    def applies(self) -> bool:
        """Whether a kernel evaluates it."""
        return bool(self.kernel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """What a MaxSim compares.

    Attributes:
        query: Type of the side that is summed over.
        document: Type of the side that the best is taken over.
    """

    query: TensorType
    document: TensorType


def operands_of(shape: MaxSim, type_of: Callable[[Node], TensorType]) -> Operands:
    """Return the types of both sides of a MaxSim.

    Args:
        shape: The MaxSim.
        type_of: Node → type of its value.
    """
    left, right = type_of(shape.left), type_of(shape.right)
    if left.dimension(shape.best_over[0]) is not None:
        return Operands(query=right, document=left)
    return Operands(query=left, document=right)


def kernel_of(
    node: Node, shape: MaxSim, operands: Operands, profile: RankProfile, chunk: str | None
) -> Verdict:
    """Return which kernel evaluates a MaxSim on a content node.

    Args:
        node: The expanded tree of the MaxSim.
        shape: What ``as_max_sim`` says of it.
        operands: The types of what it compares.
        profile: Where it stands; functions that are ``inline`` are part of the expression.
        chunk: The dimension that a ``max`` right around it is over, if there is one.

    Source: SumMaxDotProductFunction and SumMaxInvHammingFunction, Vespa 8.700.24.
    """
    reason = _form_fault(node, shape) or _type_fault(shape, operands, chunk)
    if not reason and (function := _crossed(node, inline_functions(profile))):
        reason = (
            f"function {function} holds a part of it, and is evaluated by itself; write the whole "
            "MaxSim in one expression, or make the function inline"
        )
    if reason:
        return Verdict(reason=reason)
    return Verdict(kernel=DOT if shape.similarity is Similarity.PRODUCT else HAMMING)


def inline_functions(profile: RankProfile) -> set[str]:
    """Return the functions whose bodies Vespa puts in the place of their calls."""
    return {each.name for each in profile.functions if each.is_inline and not each.arguments}


def _form_fault(node: Node, shape: MaxSim) -> str:
    """Return why it is not written as a kernel wants it, or an empty text."""
    if shape.similarity is Similarity.HAMMING:
        return "the smallest Hamming distance is summed; a kernel sums max(1 / (1 + hamming))"
    if shape.summed is None:
        return "the outer sum names no dimension"
    if len(shape.best_over) > 1:
        return f"the best is taken over {len(shape.best_over)} dimensions, a kernel takes one"
    outer = as_reduction(node)
    if outer is not None and isinstance(plain(outer.argument), Operation):
        return "the inverse is taken of the smallest distance; a kernel takes max(1/(1+hamming))"
    return ""


def _type_fault(shape: MaxSim, operands: Operands, chunk: str | None) -> str:
    """Return why the types are not those of a kernel, or an empty text."""
    query, document, wanted = operands.query, operands.document, WANTED[shape.similarity]
    for what, kind in (("document", document), ("query", query)):
        if kind.cell_type is not wanted:
            return f"the {what}'s cells are {kind.cell_type}, the kernel takes {wanted}"
        is_flat = len(kind.dimensions) == 2
        if not is_flat and (kind is query or not _is_chunked(shape, document, chunk)):
            return f"the {what} has {len(kind.dimensions)} dimensions, the kernel takes 2"
    return _dimension_fault(shape, query, document)


def _dimension_fault(shape: MaxSim, query: TensorType, document: TensorType) -> str:
    """Return which dimension is not as a kernel wants it, or an empty text."""
    summed, best = query.dimension(shape.summed or ""), document.dimension(shape.best_over[0])
    component = query.dimension(shape.component)
    if summed is None or best is None or component is None:
        return "a dimension of the sum, of the best or of the components is not where it must be"
    if document.dimension(shape.component) != component or component.is_mapped:
        return f"query and document have not the same indexed dimension {shape.component}"
    if shape.similarity is not Similarity.PRODUCT:
        return ""
    if not (summed.is_mapped and best.is_mapped):
        return "tokens are indexed, the kernel takes mapped ones"
    return f"dimension {shape.component} has size 1" if component.size == 1 else ""


def _is_chunked(shape: MaxSim, document: TensorType, chunk: str | None) -> bool:
    """Return whether it is the MaxSim of each chunk, whose best is taken right around it."""
    fits = shape.similarity is Similarity.INVERSE_HAMMING and len(document.dimensions) == 3
    return fits and {chunk, shape.best_over[0]} == set(document.mapped)


def _crossed(node: Node, inline: set[str]) -> str:
    """Return the function that ends between the outer sum and the operands, or an empty text."""
    place = plain(node)
    while (below := _below(place)) is not None:
        place = below
        while isinstance(place, Embraced):
            if place.function and place.function not in inline:
                return place.function
            place = place.inner
    return ""


def _below(node: Node) -> Node | None:
    """Return what a reduction or ``1 / (1 + x)`` is over, ``None`` at the operands."""
    if isinstance(node, Call) and node.name not in OVER_TWO and node.arguments:
        return node.arguments[0]
    if isinstance(node, Operation) and node.operator in {"/", "+"}:
        return node.left if isinstance(plain(node.right), Number) else node.right
    return None
