"""Bytes of a tensor field on a content node: the layouts of Vespa's own tensor stores.

Calculated from the code are the buffer of a tensor, its size class and the reference to it. Taken
as the upper bound are the links of an HNSW graph. Not counted are what a store reserves before it
is filled (`GROWTH`) and what the heap itself takes.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from vespa_colbert.tensor import TensorType

__all__ = ["GROWTH", "GraphSettings", "StoredTensor", "stored_tensor", "subspace_bytes"]

GROWTH = 0.2
"""Share by which a full store grows, so that up to this much of it is reserved and empty.

Source: TensorBufferStore and proton.def documentdb.allocation.growfactor, Vespa 8.700.24.
"""

REFERENCE = 4
"""Bytes that every document has in the attribute: where its tensor lies."""

LABEL = 4
"""Bytes of a label. A label that is a number below ten million is kept in these four bytes.

Source: string_id and SharedStringRepo, Vespa 8.700.24.
"""

WRITTEN_LABEL = 6
"""Bytes of a label where it is written out, if it is no place in a text: ids of tokens, which have
up to six digits in the largest vocabularies.
"""

COUNT = 4
ALIGNED, ALIGNED_FROM = 16, 32
CLASSES, CLASS_FACTOR = 300, 1.03
LARGEST_CLASS = 2 * 256 * 2**20

VALUE, DIMENSION, MAP_NODE, SMALLEST_MAP, SHARED_POINTER = 232, 40, 12, 8, 16
"""Bytes of a FastValue, a dimension of its type, a node of its map, nodes of the smallest map, and
the pointer to it.

Source: fast_value_test.cpp, FastAddrMap and DirectTensorStore, Vespa 8.700.24.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """An HNSW graph over the vectors of a field.

    Attributes:
        max_links: ``max-links-per-node``.
    """

    max_links: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Bytes of one document's tensor on a node.

    Attributes:
        memory: Bytes in memory.
        paged: Bytes in a file that is mapped into memory, for a ``paged`` attribute.
        graph: Bytes in memory of the HNSW graph, at most.
        saved: Bytes in the file that the attribute is saved to.
    """

    memory: float
    paged: float
    graph: float
    saved: float


def stored_tensor(
    kind: TensorType,
    vectors: int,
    *,
    fast_rank: bool = False,
    paged: bool = False,
    graph: GraphSettings | None = None,
) -> StoredTensor:
    """Return the bytes of a tensor in an attribute.

    Args:
        kind: Type of the field.
        vectors: Subspaces of the tensor: token vectors.
        fast_rank: Whether the attribute states ``fast-rank``: mixed tensors are then kept as
            values that need no making, outside of the paged store.
        paged: Whether the attribute states ``paged``.
        graph: The HNSW graph over it, if there is one.

    Source: createsinglestd.cpp, createsinglefastsearch.cpp, allow_paged of attributevector.cpp,
    Vespa 8.700.24.
    """
    dense = not kind.mapped
    if dense:
        size = _dense_bytes(kind)
    else:
        size = _value_bytes(kind, vectors) if fast_rank else _class_bytes(kind, vectors)
    is_paged = paged and (dense or not fast_rank)
    links = 0.0 if graph is None else _graph_bytes(graph, 1 if dense else vectors, dense=dense)
    return StoredTensor(
        memory=REFERENCE + (0 if is_paged else size),
        paged=size if is_paged else 0,
        graph=links,
        saved=_saved_bytes(kind, vectors),
    )


def subspace_bytes(kind: TensorType) -> int:
    """Return the bytes of the cells of one vector."""
    return math.prod(kind.shape) * kind.cell_type.size


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _dense_bytes(kind: TensorType) -> int:
    """Return the bytes of a tensor without mapped dimensions. Source: DenseTensorStore."""
    size = subspace_bytes(kind)
    alignment = 8 if size <= 8 else 16 if size <= 16 else 32
    return _aligned(size, alignment)


def buffer_bytes(kind: TensorType, vectors: int) -> int:
    """Return the bytes of a tensor's buffer: a count, its labels, padding, its cells, padding.

    Source: TensorBufferOperations.get_buffer_size, Vespa 8.700.24.
    """
    cells = vectors * subspace_bytes(kind)
    smallest = max(COUNT, LABEL, kind.cell_type.size)
    alignment = smallest if cells < ALIGNED_FROM else ALIGNED
    labels = COUNT + LABEL * len(kind.mapped) * vectors
    return _aligned(labels, alignment) + _aligned(cells, alignment)


@functools.cache
def _size_classes(kind: TensorType) -> tuple[int, ...]:
    """Return the sizes that buffers have, rising.

    Source: TensorBufferTypeMapper, Vespa 8.700.24.
    """
    sizes, vectors = list[int](), 0
    while len(sizes) < CLASSES:
        if sizes:
            vectors = max(vectors + 1, math.floor(vectors * CLASS_FACTOR))
        while sizes and buffer_bytes(kind, vectors) <= sizes[-1]:
            vectors += 1
        size = buffer_bytes(kind, vectors)
        if size >= LARGEST_CLASS:
            break
        sizes.append(size)
    return tuple(sizes)


def _class_bytes(kind: TensorType, vectors: int) -> int:
    """Return the bytes that the store gives a tensor: those of the smallest class it fits in."""
    size = buffer_bytes(kind, vectors)
    return next((each for each in _size_classes(kind) if each >= size), size)


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()


def _value_bytes(kind: TensorType, vectors: int) -> int:
    """Return the bytes of a tensor that is kept as a value: cells and map in powers of two.

    Source: FastValue.get_memory_usage, FastCells and FastAddrMap, Vespa 8.700.24.
    """
    cells = _power_of_two(vectors * math.prod(kind.shape)) * kind.cell_type.size
    nodes = max(SMALLEST_MAP, _power_of_two(2 * vectors))
    labels = LABEL * len(kind.mapped) * vectors
    fixed = VALUE + DIMENSION * len(kind.dimensions) + SHARED_POINTER
    return fixed + labels + nodes * MAP_NODE + cells


def _graph_bytes(graph: GraphSettings, nodes: int, *, dense: bool) -> float:
    """Return the bytes of the graph's nodes: at most twice the links at the lowest level.

    Upper levels are drawn at random: a node is on level k and those below it with a chance of
    1 / links^k, which makes 1 / (links - 1) more levels on average.

    Source: HnswNode, HnswGraph, HnswNodeidMapping, InvLogLevelGenerator, Vespa 8.700.24.
    """
    upper = 1 / (graph.max_links - 1)
    node, mapping = (4, 0) if dense else (12, 4)
    links = 2 * graph.max_links + upper * graph.max_links
    documents = 0 if dense or not nodes else 4
    return nodes * (node + mapping + 4 * (1 + upper) + 4 * links) + documents


def _saved_bytes(kind: TensorType, vectors: int) -> int:
    """Return the bytes of a tensor as it is serialized.

    Vectors have the labels 0, 1, 2 and so on; what is no vector, those of tokens.

    Source: TensorAttributeSaver and value_codec.cpp, Vespa 8.700.24.
    """
    cells = (vectors if kind.mapped else 1) * subspace_bytes(kind)
    if not kind.mapped:
        return 1 + cells
    names = sum(1 + len(name) for name in (*kind.mapped, *kind.indexed))
    places = sum(len(str(number)) for number in range(vectors))
    digits = places if kind.indexed else WRITTEN_LABEL * vectors
    labels = vectors * len(kind.mapped) + digits + vectors * (len(kind.mapped) - 1)
    numbers = sum(4 if each > 127 else 1 for each in (*kind.shape, vectors))
    return 4 + 4 + names + numbers + labels + cells
