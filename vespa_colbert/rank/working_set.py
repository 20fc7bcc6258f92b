"""How much memory an expression takes for each document, so that a batch is cut into parts.

What a kernel computes makes no tensor of products, and what does not depend on documents is there
once: neither counts, and both are computed for the whole batch. The rest is counted from types: all
intermediate values, which an evaluation keeps, and what the largest operation holds beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from vespa_colbert.errors import VespaColbertError
from vespa_colbert.rank.expand import calls, is_bare, plain
from vespa_colbert.rank.functions import FUNCTIONS
from vespa_colbert.rank.language.nodes import (
    Call,
    Dimensions,
    Generated,
    Lambda,
    Node,
    Number,
    Pattern,
    String,
    children,
)
from vespa_colbert.rank.residuals import as_rebuilt
from vespa_colbert.rank.shapes import as_cells, as_max_sim
from vespa_colbert.tensor import TensorType

__all__ = ["MOST_BYTES", "WorkingSet"]

MOST_BYTES = 2**28
"""What a part of a batch may take: 256 MiB. A single document takes what it takes."""

CODE = 8
"""Bytes of a label's code."""

CELLS_HELD = 8
"""Doubles that an operation holds for each cell: two operands, the result, copies in an order."""

WITHOUT_DOCUMENTS = frozenset({"query", "constant", "value"})
"""Features that are the same for every document."""


@dataclass(slots=True, kw_only=True)
class WorkingSet:
    """The bytes that an expanded tree takes.

    Attributes:
        type_of: Type of a subtree.
        labels: Mapped dimension → the most labels that a document, the query or a constant has.
        is_fused: Whether a subtree is computed by a kernel.
        features: Names of features, so that those of dimensions are told from them.
        whole: Subtrees that are computed for the whole batch, those found so far.
    """

    type_of: Callable[[Node], TensorType]
    labels: Mapping[str, int]
    is_fused: Callable[[Node], bool]
    features: AbstractSet[str]
    whole: set[Node] = field(default_factory=set, init=False)
    _kept: dict[Node, int] = field(default_factory=dict, init=False)
    _held: int = field(default=0, init=False)

    def bytes_a_document(self, node: Node) -> int:
        """Return the bytes that the value of a tree takes for one document, at most."""
        self._count(node)
        return sum(self._kept.values()) + self._held

    def _count(self, node: Node) -> None:
        """Count a subtree, once."""
        node = plain(node)
        if node in self._kept or isinstance(node, Number | String | Dimensions | Pattern | Lambda):
            return
        if not self._needs_documents(node):
            if not is_bare(node):
                self.whole.add(node)
            return
        self._kept[node] = 0
        if (operands := self._fused_operands(node)) is not None:
            before = len(self._kept)
            for each in operands:
                self._count(each)
            if len(self._kept) == before:
                self.whole.add(node)
            return
        for each in _operands(node):
            self._count(each)
        kind = self._type(node)
        if kind is not None:
            self._add(node, kind)

    def _add(self, node: Node, kind: TensorType) -> None:
        """Count the value of a node, and what computing it holds."""
        cells, copies = self._cells(kind), 2 if _is_attribute(node) else 1
        codes = self._rows(kind) * CODE * (1 + len(kind.mapped))
        self._kept[node] = copies * cells * kind.cell_type.dtype.itemsize + codes
        inner = [self._cells(found) for each in _operands(node) if (found := self._type(each))]
        most = max([cells, *inner]) * _indexes_inside(node)
        self._held = max(self._held, most * CELLS_HELD * 8)

    def _needs_documents(self, node: Node) -> bool:
        """Return whether the value of a tree may differ by document."""
        return any(
            call.name in self.features if is_bare(call) else call.name not in FUNCTIONS
            for call in calls(node)
            if call.name not in WITHOUT_DOCUMENTS
        )

    def _fused_operands(self, node: Node) -> list[Node] | None:
        """Return what a kernel needs computed, ``None`` if no kernel serves."""
        shape = as_max_sim(node)
        if shape is None or not self.is_fused(node):
            return None
        sides = (shape.left, shape.right)
        inner = [as_cells(each).node for each in sides if not as_rebuilt(each, shape.component)]
        return [each for each in inner if not _is_attribute(each)]

    def _type(self, node: Node) -> TensorType | None:
        """Return the type of a subtree, ``None`` for a word or what an evaluation will refuse."""
        if isinstance(plain(node), Lambda | Dimensions):
            return None
        try:
            return self.type_of(node)
        except VespaColbertError:
            return None

    def _cells(self, kind: TensorType) -> int:
        return self._rows(kind) * math.prod(kind.shape)

    def _rows(self, kind: TensorType) -> int:
        """Return the most subspaces; a dimension of unknown labels is taken for the longest."""
        longest = max(self.labels.values(), default=1)
        return math.prod(self.labels.get(name, longest) for name in kind.mapped)


def _operands(node: Node) -> list[Node]:
    """Return what a node is computed from; of a generator the attributes that it looks into."""
    if isinstance(node, Generated):
        return [call for call in calls(node) if _is_attribute(call)]
    if isinstance(node, Call) and not node.arguments:
        return []
    return [] if _is_attribute(node) else list(children(node))


def _is_attribute(node: Node) -> bool:
    return isinstance(node, Call) and node.name == "attribute"


def _indexes_inside(node: Node) -> int:
    """Return how many times a function literal or a generator looks at each cell, at most."""
    waiting: list[Node] = [each for each in children(node) if isinstance(each, Lambda)]
    waiting += [node] if isinstance(node, Generated) else []
    sizes = 1
    while waiting:
        each = waiting.pop()
        if isinstance(each, Generated):
            sizes *= math.prod(each.type.shape)
        waiting.extend(children(each))
    return sizes
