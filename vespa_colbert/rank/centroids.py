"""MaxSim of what document tokens choose among products that a query has: their centroids' alone.

What is recognised: Σ over query tokens of the best over document tokens of
``join(products, reduce(attribute(name), …), f(p,cell)(p))``, where the products have a label of a
document token and one of a query token. The attribute says which tokens there are; its cells do not
count.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.rank.algebra import DOCUMENTS
from vespa_colbert.rank.batches import batch_labels
from vespa_colbert.rank.expand import plain
from vespa_colbert.rank.kept import KeptByTensor
from vespa_colbert.rank.kernels.blocked import max_sim_of_chosen
from vespa_colbert.rank.language.nodes import Call, Lambda, Node
from vespa_colbert.rank.residuals import RowsOfLabels, Values, rows_of_labels
from vespa_colbert.rank.shapes import as_reduction
from vespa_colbert.tensor import CellType, Tensor

__all__ = ["Chosen", "as_chosen", "chosen_scores"]


_ROWS: KeptByTensor[dict[tuple[str, tuple[str, ...]], RowsOfLabels]] = KeptByTensor(dict)
"""A batch of the field → dimension and labels of the products → its tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The parts of a MaxSim of products that document tokens choose.

    Attributes:
        products: What a query has: a number for each label and query token.
        attribute: Name of the feature whose subspaces are the document tokens.
        reduced: Its dimensions over which its cells are brought together.
        summed: Dimension of the query tokens; ``None`` for all that are left.
        best_over: Dimensions over which the best is taken.
    """

    products: Node
    attribute: str
    reduced: tuple[str, ...]
    summed: str | None
    best_over: tuple[str, ...]


@functools.lru_cache(maxsize=256)
def as_chosen(node: Node) -> Chosen | None:
    """Return the parts of a MaxSim of products that document tokens choose, or ``None``."""
    outer = as_reduction(node)
    best = None if outer is None else as_reduction(outer.argument)
    if outer is None or best is None or (outer.aggregator, best.aggregator) != ("sum", "max"):
        return None
    joined = plain(best.argument)
    if not isinstance(joined, Call) or joined.name != "join" or len(outer.dimensions) > 1:
        return None
    *operands, function = joined.arguments or ()
    if len(operands) != 2 or not isinstance(function, Lambda) or len(function.parameters) != 2:
        return None
    taken = str(plain(function.body))
    if taken not in function.parameters or len(set(function.parameters)) < 2:
        return None
    at = function.parameters.index(taken)
    present = as_reduction(operands[1 - at])
    inner = None if present is None else plain(present.argument)
    if present is None or not isinstance(inner, Call) or inner.name != "attribute":
        return None
    return Chosen(
        products=operands[at],
        attribute=inner.feature_name,
        reduced=present.dimensions,
        summed=outer.dimensions[0] if outer.dimensions else None,
        best_over=best.dimensions,
    )


def chosen_scores(node: Node, run: Values) -> tuple[NDArray[np.float64], int] | None:
    """Return the scores of a batch and how many query tokens there are.

    Args:
        node: The tree.
        run: The evaluation.

    Returns:
        (document,) float64, 0 for a document without tokens; ``None`` where the tree or the types
        are others.
    """
    if run.documents == 0 or (shape := as_chosen(node)) is None:
        return None
    stored = run.features(shape.attribute)
    if not isinstance(stored, Tensor) or not _holds_tokens(stored, shape, run.documents):
        return None
    products = run.value(shape.products, {})
    lines = _lines(products, shape)
    if lines is None:
        return None
    named = next(name for name in products.type.mapped if name in shape.best_over)
    key = named, products.labels[products.type.mapped.index(named)]
    kept = _ROWS.of(stored)
    if key not in kept:
        kept.clear()  # of one constant there is one list of labels
        kept[key] = rows_of_labels(stored, *key)
    rows = kept[key]
    return max_sim_of_chosen(lines, rows.places, rows.offsets), lines.shape[1]


def _holds_tokens(tensor: Tensor, shape: Chosen, documents: int) -> bool:
    """Return whether a tensor has a subspace for each token of each document, and nothing else."""
    kind = tensor.type
    return (
        {*kind.mapped} == {DOCUMENTS, *shape.best_over}
        and bool(kind.indexed)
        and sorted(kind.indexed) == sorted(shape.reduced)
        and tensor.labels[kind.mapped.index(DOCUMENTS)] == batch_labels(documents)
    )


def _lines(products: Tensor, shape: Chosen) -> NDArray[Any] | None:
    """Return the products of each label: (label, query token); ``None`` where one is missing."""
    kind = products.type
    named = [place for place, name in enumerate(kind.mapped) if name in shape.best_over]
    if len(kind.mapped) != 2 or len(named) != 1 or kind.indexed:
        return None
    (asked,) = {0, 1} - {*named}
    name = kind.mapped[asked]
    is_summed = name == shape.summed if shape.summed else True
    is_float = kind.cell_type in {CellType.FLOAT, CellType.DOUBLE}
    sizes = [len(products.labels[place]) for place in (named[0], asked)]
    if name.startswith("$") or name == DOCUMENTS or not (is_summed and is_float):
        return None
    if len(products.codes) != sizes[0] * sizes[1]:
        return None
    lines = np.empty(sizes, products.values.dtype)
    lines[products.codes[:, named[0]], products.codes[:, asked]] = products.values
    return lines
