"""A graph over all token vectors of an index (HNSW, by faiss): the nearest documents of a vector.

The local twin of a field with ``index: hnsw`` in Vespa, and of ColBERT's candidates: it is asked
once for each token of a query, and what it finds is ranked by MaxSim. It is not Vespa's graph:
levels are drawn at random, neighbours are chosen by another rule, and a search here ends when
enough vectors are found, there when enough documents are. So the two miss different documents, and
what is promised of both is recall. What neither misses: ``candidates.nearest_documents``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.arrays import bfloat16_values, truncate_to_bfloat16
from vespa_colbert.errors import ArrayError, IndexFolderError, MissingExtraError, SpecError
from vespa_colbert.files import atomic_file
from vespa_colbert.index.rows import CodedRows, DocumentRows, Rows
from vespa_colbert.tensor import CellType, TensorType

__all__ = [
    "GRAPH_METRICS",
    "GraphOptions",
    "TokenGraph",
    "build_graph",
    "graph_path",
    "open_graph",
    "rows_state",
    "write_graph",
]

FORMAT = "vespa-colbert token graph 1"
HEADER_BYTES = 2048
BLOCK = 65536
"""Vectors that are converted at once."""

GRAPH_METRICS = {
    "angular": "METRIC_L2",
    "euclidean": "METRIC_L2",
    "prenormalized-angular": "METRIC_INNER_PRODUCT",
    "innerproduct": "METRIC_INNER_PRODUCT",
    "dotproduct": "METRIC_INNER_PRODUCT",
    "hamming": "",
}
"""``distance-metric`` → what faiss compares by; hamming has a graph of its own, over bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """How a graph is built and searched.

    Attributes:
        max_links: Links of a node, twice as many on the lowest level: ``max-links-per-node``.
        neighbors_to_explore: Neighbours looked at when a vector is added:
            ``neighbors-to-explore-at-insert``. Vespa's packages here have 32 and 400, which take
            eight times as long to build.
        explore: Vectors that a search keeps in view, at least: its recall.
    """

    max_links: int = 16
    neighbors_to_explore: int = 100
    explore: int = 64

    def __post_init__(self) -> None:
        if min(self.max_links - 1, self.neighbors_to_explore, self.explore) < 1:
            raise SpecError(f"graph: expected 2 links and 1 neighbour or more, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenGraph:
    """The vectors of a field, each a node with links to its neighbours.

    Attributes:
        type: Type of the vectors of one text.
        metric: What is near: a key of ``GRAPH_METRICS``.
        documents: (row,) int64, the document of each vector.
        options: How it was built and is searched.
        faiss_index: The graph.
    """

    type: TensorType
    metric: str
    documents: NDArray[np.int64]
    options: GraphOptions
    faiss_index: Any

    def nearest(self, vectors: NDArray[Any], target_hits: int) -> list[NDArray[np.int64]]:
        """Return the documents nearest to each vector, as far as the graph finds them.

        Args:
            vectors: (vector, width) of the field's cells, int8 or floating.
            target_hits: Documents wanted for each, at least 1.

        Returns:
            For each vector (found,) int64, positions, the nearest first; fewer than wanted only if
            there are no more, or the graph does not reach them.

        Raises:
            ArrayError: If the vectors are of another width, or a value is not finite.
        """
        if vectors.ndim != 2 or vectors.shape[1:] != self.type.shape:
            raise ArrayError(
                f"graph of {self.type}: expected vectors of {self.type.shape[0]}, got "
                f"{vectors.shape}"
            )
        asked = _as_asked(vectors, self.type, self.metric)
        found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(asked)
        waiting, rows = np.arange(len(asked)), 2 * target_hits
        while len(waiting):
            rows = min(rows, len(self.documents))
            for place, nodes in zip(waiting, self._search(asked[waiting], rows), strict=True):
                found[place] = _first_of_each(self.documents[nodes[nodes >= 0]])[:target_hits]
            if rows >= len(self.documents):
                break
            waiting = waiting[[len(found[place]) < target_hits for place in waiting]]
            rows *= 4
        return found

    def _search(self, vectors: NDArray[Any], rows: int) -> NDArray[np.int64]:
        """Return the nodes nearest to each vector: (vector, rows) int64, -1 for none."""
        if not rows:
            return np.zeros((len(vectors), 0), np.int64)
        self.faiss_index.hnsw.efSearch = max(self.options.explore, rows)
        _distances, nodes = self.faiss_index.search(vectors, rows)
        return np.asarray(nodes, np.int64)


def build_graph(rows: Rows, metric: str, options: GraphOptions | None = None) -> TokenGraph:
    """Return the graph over the vectors of a field.

    Args:
        rows: The field.
        metric: A key of ``GRAPH_METRICS``; int8 cells are bits for ``hamming``, else numbers.
        options: How it is built and searched.

    Raises:
        SpecError: If there is no graph by that metric of such cells, or they are codes of vectors.
        ArrayError: If a value is not finite.
        MissingExtraError: If faiss is not installed.
    """
    vectors = _vector_type(rows)
    is_packed = vectors.cell_type is CellType.INT8
    if metric not in GRAPH_METRICS or (metric == "hamming" and not is_packed):
        known = ", ".join(name for name in GRAPH_METRICS if is_packed or name != "hamming")
        raise SpecError(f"graph of {vectors}: expected one of {known}, got {metric!r}")
    chosen = options or GraphOptions()
    index = _empty_index(vectors.shape[0], metric, chosen)
    for start in range(0, len(rows.values), BLOCK):
        index.add(_compared(_cells(rows.values[start : start + BLOCK]), metric))
    return TokenGraph(
        type=vectors,
        metric=metric,
        documents=_documents(rows.offsets),
        options=chosen,
        faiss_index=index,
    )


def _empty_index(width: int, metric: str, options: GraphOptions) -> Any:
    faiss = _faiss()
    if metric == "hamming":
        index = faiss.IndexBinaryHNSW(8 * width, options.max_links)
    else:
        kind = getattr(faiss, GRAPH_METRICS[metric])
        index = faiss.IndexHNSWFlat(width, options.max_links, kind)
    index.hnsw.efConstruction = options.neighbors_to_explore
    return index


def _faiss() -> Any:
    """Return the library.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("ann", "faiss-cpu") from None
    return faiss


def _vector_type(rows: Rows) -> TensorType:
    """Return the type of one vector.

    Raises:
        SpecError: If the rows are codes of vectors.
    """
    if isinstance(rows, CodedRows):
        raise SpecError(f"graph of {rows.type}: expected token vectors, got residuals of a codec")
    inner = rows.type if isinstance(rows, DocumentRows) else rows.rows.type
    return inner.without(inner.mapped[0])


def _cells(values: NDArray[Any]) -> NDArray[Any]:
    """Return vectors as tensors hold them; bfloat16 is kept as the upper halves of floats."""
    return bfloat16_values(values) if values.dtype == np.uint16 else values


def _documents(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _as_asked(vectors: NDArray[Any], kind: TensorType, metric: str) -> NDArray[Any]:
    """Return vectors of a query as they are compared: in the cells of the field.

    Raises:
        ArrayError: If they are not int8 where the field is, or a value is not finite.

    Source: TemporaryVectorStore, Vespa 8.700.24.
    """
    if kind.cell_type is CellType.INT8 and vectors.dtype != np.int8:
        raise ArrayError(f"graph of {kind}: expected int8 cells, got {vectors.dtype}")
    is_cut = kind.cell_type is CellType.BFLOAT16
    return _compared(truncate_to_bfloat16(vectors) if is_cut else vectors, metric)


def _compared(cells: NDArray[Any], metric: str) -> NDArray[Any]:
    """Return vectors as faiss compares them.

    Raises:
        ArrayError: If a value is not finite.
    """
    if metric == "hamming":
        return np.ascontiguousarray(cells).view(np.uint8)
    vectors: NDArray[np.float32] = np.ascontiguousarray(cells, np.float32)
    if not np.isfinite(vectors).all():
        raise ArrayError("graph: expected finite values, got NaN or infinity")
    if metric == "angular":
        # The angle of vectors of length 1 grows with the distance between them.
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, np.where(norms > 0, norms, 1.0), dtype=np.float32)
    return vectors


def _first_of_each(documents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each document once, in the order in which they come."""
    _values, first = np.unique(documents, return_index=True)
    return documents[np.sort(first)]


def rows_state(rows: Rows) -> str:
    """Return what tells the vectors of a field from any others: their sha256."""
    digest = hashlib.sha256(f"{rows.type}".encode())
    digest.update(np.ascontiguousarray(rows.offsets, np.int64).tobytes())
    for start in range(0, len(rows.values), BLOCK):
        digest.update(np.ascontiguousarray(rows.values[start : start + BLOCK]).tobytes())
    return digest.hexdigest()


def graph_path(folder: Path, field: str) -> Path:
    """Return where the graph of a field stands: beside the folder of the index."""
    return folder.with_name(f"{folder.name}.{field}.graph")


def write_graph(graph: TokenGraph, path: Path, rows: Rows) -> None:
    """Write a graph to a file.

    Args:
        graph: The graph.
        path: The file; an older one is replaced.
        rows: The field that it was built from.

    Raises:
        OutputError: If it cannot be written.
    """
    faiss = _faiss()
    is_bits = graph.metric == "hamming"
    content = (faiss.serialize_index_binary if is_bits else faiss.serialize_index)(
        graph.faiss_index
    )
    header = {
        "format": FORMAT,
        "vectors": rows_state(rows),
        **_facts(graph.type, graph.metric, graph.options),
        "rows": len(graph.documents),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    with atomic_file(path) as part, part.open("wb") as stream:
        stream.write(json.dumps(header).encode("ascii").ljust(HEADER_BYTES - 1) + b"\n")
        stream.write(content)


def _facts(kind: TensorType, metric: str, options: GraphOptions) -> dict[str, Any]:
    built = asdict(options)
    del built["explore"]
    return {"type": str(kind), "metric": metric, **built}


def open_graph(
    path: Path,
    rows: Rows,
    metric: str,
    options: GraphOptions | None = None,
) -> TokenGraph:
    """Return the graph of a file after checking that it is whole and of these vectors.

    Args:
        path: The file.
        rows: The field that it must have been built from.
        metric: The metric that it must have.
        options: How it must have been built; ``explore`` may be another.

    Raises:
        IndexFolderError: If there is none, it is damaged, or it was built from other vectors, as
            those of the index before it was changed, or otherwise.
        SpecError: If the field holds codes of vectors.
        MissingExtraError: If faiss is not installed.
    """
    chosen = options or GraphOptions()
    said, content = _read(path)
    vectors = _vector_type(rows)
    wanted = {
        "vectors": rows_state(rows),
        **_facts(vectors, metric, chosen),
        "rows": len(rows.values),
    }
    for name, value in wanted.items():
        if said.get(name) != value:
            raise IndexFolderError(
                f"{path}: built from {name} {said.get(name)!r:.80}, expected {value!r:.80}; "
                "build it again with --build-graph"
            )
    if hashlib.sha256(content.data).hexdigest() != said.get("sha256"):
        raise IndexFolderError(f"{path}: the graph is damaged; build it again with --build-graph")
    faiss = _faiss()
    is_bits = metric == "hamming"
    read = faiss.deserialize_index_binary if is_bits else faiss.deserialize_index
    return TokenGraph(
        type=vectors,
        metric=metric,
        documents=_documents(rows.offsets),
        options=chosen,
        faiss_index=read(content),
    )


def _read(path: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Return what a file says of its graph, and the rest of it.

    Raises:
        IndexFolderError: If there is none, or it holds something else.
    """
    if not path.is_file():
        raise IndexFolderError(f"{path}: expected the graph of an index, found none; build it")
    content = np.fromfile(path, np.uint8)
    try:
        said = json.loads(content[:HEADER_BYTES].tobytes())
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise IndexFolderError(
            f"{path}: expected a graph of token vectors, got another kind of file"
        )
    return said, content[HEADER_BYTES:]
