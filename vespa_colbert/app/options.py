"""What one may choose about an application package, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vespa_colbert.app.application import MINIMUM_VESPA_VERSION
from vespa_colbert.app.nodes import ONE_NODE, Cloud, Nodes
from vespa_colbert.tensor import CellType

__all__ = ["AppOptions", "Layout", "Mode"]

Layout = Literal["passage", "contexts", "chunks"]
"""What a document is: a passage, a list of contexts, or a text that Vespa cuts into chunks."""

Mode = Literal["index", "streaming"]
"""How Vespa finds documents: by indexes, or by reading those of one group (personal search)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """What one may choose about the package: the table ``[app]`` of a recipe.

    Attributes:
        name: Id of the content cluster and namespace of document ids.
        schema: Name of the schema and of the document type.
        layout: What a document is.
        mode: How documents are found.
        cell_types: One tensor field each, with its rank profiles.
        dims: Components of a token vector that are stored, a field for each number; empty for all
            that the model gives. Vespa cuts without normalising again.
        rerank_count: Hits that the second phase ranks again, on each content node.
        embed_title: Whether the title stands before the text that is embedded.
        query_profiles: Whether each rank profile has a query profile that fills its inputs.
        nodes: Where it runs.
        cloud: What Vespa Cloud has to know; ``None`` for hosts of one's own.
        minimum_vespa_version: Lowest release to accept.
    """

    name: str = "passages"
    schema: str = "passage"
    layout: Layout = "passage"
    mode: Mode = "index"
    cell_types: tuple[CellType, ...] = (CellType.FLOAT, CellType.INT8)
    dims: tuple[int, ...] = ()
    rerank_count: int = 100
    embed_title: bool = True
    query_profiles: bool = True
    nodes: Nodes = ONE_NODE
    cloud: Cloud | None = None
    minimum_vespa_version: str = MINIMUM_VESPA_VERSION
