"""Checks of the types in rank expressions: what fits, what is meant, what is fast."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.errors import ExpressionError
from vespa_colbert.rank.expand import plain
from vespa_colbert.rank.language.nodes import Node, children
from vespa_colbert.rank.shapes import MaxSim, Similarity, as_cells, as_max_sim
from vespa_colbert.tensor import CellType, TensorType
from vespa_colbert.validate.findings import Fault
from vespa_colbert.validate.package import Package
from vespa_colbert.validate.ranking import Profile
from vespa_colbert.validate.written import Written

__all__ = [
    "ambiguous_operators",
    "expressions_not_read",
    "max_sim_dimensions",
    "phases_not_numbers",
    "slow_max_sims",
    "types_that_do_not_fit",
]

PHASES = ("first-phase", "second-phase", "global-phase")


def types_that_do_not_fit(package: Package) -> Iterator[Fault]:
    """Yield operations on tensors that do not fit."""
    for profile in package.profiles:
        seen = set[str]()
        for written, node in profile.expanded:
            reason = profile.fault_of_types(node)
            if reason and reason not in seen:
                seen.add(reason)
                yield Fault(
                    place=written.place(),
                    reason=f"{written.part}: {reason.splitlines()[0]}",
                    remedy="make the types of inputs and fields fit; unpack_bits makes 8 times as "
                    "many components",
                )


def phases_not_numbers(package: Package) -> Iterator[Fault]:
    """Yield phases that do not give one number."""
    for profile in package.profiles:
        for written, node in profile.expanded:
            kind = profile.kind(node) if written.part in PHASES else None
            if kind is not None and not kind.is_number:
                yield Fault(
                    place=written.place(),
                    about=written.part,
                    reason=f"{written.part} of {profile.where} gives {kind}, and not a number",
                    remedy="reduce it over all its dimensions",
                )


def expressions_not_read(package: Package) -> Iterator[Fault]:
    """Yield expressions that are not in the language as it is known here."""
    for profile in package.profiles:
        for written in (*profile.functions.values(), *profile.roots):
            try:
                package.parsed.tree(written.text)
            except ExpressionError as error:
                yield Fault(place=written.place(), reason=f"{written.part}: {_first_line(error)}")


def ambiguous_operators(package: Package) -> Iterator[Fault]:
    """Yield chains of operators that container and content nodes group differently."""
    for profile in package.profiles:
        for written in dict.fromkeys(use.written for use in profile.uses):
            try:
                package.parsed.tree(written.text)
                package.parsed.tree(written.text, strict_grouping=True)
            except ExpressionError as error:
                if "mean one thing" in str(error):
                    yield Fault(
                        place=written.place(getattr(error, "position", 0)),
                        reason=f"{written.part}: {_first_line(error)}",
                        remedy="put parentheses around what belongs together",
                    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _max_sims(package: Package) -> Iterator[tuple[Profile, Written, MaxSim]]:
    """Yield each MaxSim once, in the smallest expression that has it."""
    for profile in package.profiles:
        seen = set[Node]()
        reached = {use.written for use in profile.uses} | {*profile.roots}
        for written, tree in profile.expanded:
            if written not in reached:
                continue
            for node in _below(tree):
                shape = as_max_sim(node)
                if shape is not None and node not in seen:
                    seen.add(node)
                    yield profile, written, shape


def _below(tree: Node) -> Iterator[Node]:
    waiting = [tree]
    while waiting:
        node = plain(waiting.pop())
        yield node
        waiting.extend(children(node))


def max_sim_dimensions(package: Package) -> Iterator[Fault]:
    """Yield MaxSims that are summed or compared over a dimension that a side lacks or shares."""
    for profile, written, shape in _max_sims(package):
        left, right = profile.kind(shape.left), profile.kind(shape.right)
        if left is None or right is None or left.is_number or right.is_number:
            continue
        if reason := _dimension_fault(shape, left, right):
            yield Fault(
                place=written.place(),
                about=written.part,
                reason=f"{written.part} of {profile.where}: {reason}",
                remedy=(
                    "MaxSim compares over a dimension that both sides have, takes the best over "
                    "one of the document's alone and sums over one of the query's alone"
                ),
            )


def _dimension_fault(shape: MaxSim, left: TensorType, right: TensorType) -> str:
    lacking = [kind for kind in (left, right) if kind.dimension(shape.component) is None]
    if lacking:
        return f"compares over {shape.component}, which {lacking[0]} lacks"
    for name in shape.best_over:
        if all(kind.dimension(name) is not None for kind in (left, right)):
            return f"takes the best over {name}, which {left} and {right} share"
    if shape.summed and all(kind.dimension(shape.summed) is not None for kind in (left, right)):
        return f"sums over {shape.summed}, which {left} and {right} share"
    return ""


def slow_max_sims(package: Package) -> Iterator[Fault]:
    """Yield MaxSims that content nodes compute without one of their fast kernels.

    Source: SumMaxDotProductFunction, SumMaxInvHammingFunction and BestSimilarityFunction,
    Vespa 8.700.24.
    """
    for profile, written, shape in _max_sims(package):
        left, right = profile.kind(shape.left), profile.kind(shape.right)
        if left is None or right is None or _dimension_fault(shape, left, right):
            continue
        if any(not kind.indexed for kind in (left, right)):
            continue
        if reason := _slow(shape, left, right):
            yield Fault(
                place=written.place(),
                about=written.part,
                reason=f"{written.part} of {profile.where} is a MaxSim without Vespa's fast "
                f"kernel: {reason}",
                remedy=_remedy(shape, left, right),
            )


def _slow(shape: MaxSim, left: TensorType, right: TensorType) -> str:
    """Return why no kernel of a content node serves, or an empty text."""
    wanted = CellType.FLOAT if shape.similarity is Similarity.PRODUCT else CellType.INT8
    for kind in (left, right):
        if kind.cell_type is not wanted:
            return f"{kind} has cells of {kind.cell_type.value}, the kernel wants {wanted.value}"
    if len(shape.best_over) != 1:
        return f"the best is taken over {', '.join(shape.best_over)} in one or several steps"
    (best,) = shape.best_over
    document, query = (left, right) if left.dimension(best) is not None else (right, left)
    if len(document.dimensions) != 2:
        return f"{document} has more dimensions than a token's and a component's"
    component = query.dimension(shape.component)
    if query.indexed[-1:] != (shape.component,) or component is None:
        return f"{shape.component} is not the last dimension of {query}"
    return ""


def _remedy(shape: MaxSim, left: TensorType, right: TensorType) -> str:
    if shape.similarity is Similarity.PRODUCT:
        slow = next((each for each in (left, right) if each.cell_type is not CellType.FLOAT), None)
        if slow is not None and as_cells(shape.left).bits is None:
            return (
                "use cells of float, or int8 with unpack_bits; or put cell_cast(…, float) around "
                "the tensor, which costs a copy"
            )
    return "one tensor of tokens for each document is served; expect the general, slower way else"
