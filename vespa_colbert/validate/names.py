"""The names that an expression uses as functions or features, and none that it binds itself."""

from __future__ import annotations

from collections.abc import Iterator

from vespa_colbert.rank.expand import is_bare, plain
from vespa_colbert.rank.features.table import FEATURES, REFUSED
from vespa_colbert.rank.language.built_ins import is_built_in, operands
from vespa_colbert.rank.language.nodes import (
    Call,
    Generated,
    Lambda,
    Node,
    Pattern,
    Slice,
    String,
    children,
)

__all__ = ["KNOWN", "used_names"]

OF_MODELS = {"lightgbm", "onnx_vespa", "tensorflow", "vespa", "xgboost"}
"""Models that Vespa turns into expressions while it builds a package.

Source: ConvertedModel and its importers, Vespa 8.700.24.
"""

LATER = {
    "bm25_for_labels",
    "num_docs_indexed",
    "queryTermDocumentFrequency",
    "tensorFromLabelsWithOffset",
}
"""Features of releases after 8.700.24. Source: setup_search_features, Vespa 8.763."""

KNOWN = frozenset({*FEATURES, *REFUSED, *OF_MODELS, *LATER})
"""What may stand before the parentheses of a rank feature."""

OF_EXPRESSIONS = {
    "normalize_linear",
    "reciprocal_rank",
    "reciprocal_rank_fusion",
    "customTokenInputIds",
    "tokenAttentionMask",
    "tokenInputIds",
    "tokenTypeIds",
}
"""Features whose arguments are expressions themselves."""


def used_names(node: Node, parameters: tuple[str, ...]) -> tuple[Call, ...]:
    """Return every call that names a function of the profile or a feature.

    A bare name among the arguments of a function or of ``max(a, x)`` may be a dimension as well;
    the place alone does not tell. Such a name is returned with its output ``?``, which no name of
    an expression can have.

    Args:
        node: The tree as written, nothing expanded.
        parameters: Names that it binds: those of the function that it is the body of.
    """
    return tuple(_used(node, frozenset(parameters)))


def _used(node: Node, bound: frozenset[str]) -> Iterator[Call]:
    node = plain(node)
    if isinstance(node, Lambda):
        yield from _used(node.body, bound | {*node.parameters})
    elif isinstance(node, Generated):
        yield from _used(node.body, bound | {*node.type.indexed})
    elif isinstance(node, Slice):
        yield from _used(node.subject, bound)
        for place in node.coordinates:
            if place.index is not None:
                yield from _used_index(place.index, bound)
    elif isinstance(node, Call):
        yield from _used_by_call(node, bound)
    elif not isinstance(node, String | Pattern):
        for each in children(node):
            yield from _used(each, bound)


def _used_index(node: Node, bound: frozenset[str]) -> Iterator[Call]:
    """Yield what an index uses; a bare name may be a label."""
    yield from (_maybe(each) if is_bare(each) else each for each in _used(node, bound))


def _used_by_call(node: Call, bound: frozenset[str]) -> Iterator[Call]:
    arguments = node.arguments or ()
    if is_built_in(node):
        count = operands(node)
        for place, each in enumerate(arguments):
            if place < count or isinstance(each, Lambda):
                unsure = place == 1 and node.name in {"max", "min"}
                yield from _used_index(each, bound) if unsure else _used(each, bound)
        return
    if node.name in bound:
        return
    yield node
    if node.name in KNOWN - OF_EXPRESSIONS:
        return
    for each in arguments:
        yield from _used_index(each, bound)


def _maybe(call: Call) -> Call:
    return Call(call.name, call.arguments, "?", call.position)
