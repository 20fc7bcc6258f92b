"""Vespa's tensor operations on values: (codes, labels, dense block), for one document or a batch.

Cells are computed in double and stored in the cell type of the result, as Vespa's Java does.

A batch of documents is one more mapped dimension, ``$doc``, whose labels are the positions of the
documents. Where a result has no other mapped dimension it has a cell for every document: a tensor
without cells reduces to 0, and dense tensors have no absent cells.
"""

from __future__ import annotations

from vespa_colbert.rank.algebra.cells import (
    CELLS,
    DOCUMENTS,
    is_hidden,
    user_dimensions,
    visible_type,
)
from vespa_colbert.rank.algebra.elementwise import cast_cells, map_cells, rename, unpack
from vespa_colbert.rank.algebra.join import concat, join, merge
from vespa_colbert.rank.algebra.reduce import AGGREGATORS, reduce
from vespa_colbert.rank.algebra.select import cell_order, choose, peek
from vespa_colbert.rank.algebra.subspaces import (
    SubspaceFunction,
    assembled,
    filter_subspaces,
    generated,
    index_values,
    map_subspaces,
    on_cells,
    pattern,
)

__all__ = [
    "AGGREGATORS",
    "CELLS",
    "DOCUMENTS",
    "SubspaceFunction",
    "assembled",
    "cast_cells",
    "cell_order",
    "choose",
    "concat",
    "filter_subspaces",
    "generated",
    "index_values",
    "is_hidden",
    "join",
    "map_cells",
    "map_subspaces",
    "merge",
    "on_cells",
    "pattern",
    "peek",
    "reduce",
    "rename",
    "unpack",
    "user_dimensions",
    "visible_type",
]
