"""Token vectors rebuilt from residuals in a tree: what a kernel can rebuild while it compares.

What is recognised: ``l2_normalize(r + constant(name), x)`` and the sum alone, where r makes each
component of an ``attribute`` of bytes from bits of one byte. What a byte stands for is not read out
of the expression: the expression is evaluated for all 256 of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.algebra import DOCUMENTS
from vespa_colbert.rank.batches import batch_labels
from vespa_colbert.rank.expand import is_bare, plain
from vespa_colbert.rank.kept import KeptByTensor
from vespa_colbert.rank.kernels.residual import Residuals
from vespa_colbert.rank.language.nodes import (
    Call,
    Generated,
    Lambda,
    Node,
    Number,
    Operation,
    Slice,
)
from vespa_colbert.rank.shapes import MaxSim, as_cells
from vespa_colbert.tensor import CellType, Tensor, TensorType

__all__ = [
    "Rebuilt",
    "RowsOfLabels",
    "StoredResiduals",
    "Values",
    "as_rebuilt",
    "rows_of_labels",
    "stored_residuals",
]

OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}

Cells: TypeAlias = NDArray[np.float32]
"""What each byte stands for in each place: (width, 256, components) float32."""


class Values(Protocol):
    """What an evaluation knows."""

    @property
    def documents(self) -> int:
        """Size of the batch."""

    @property
    def features(self) -> Callable[[str], Tensor | DocumentRows | None]:
        """Feature name → value."""

    def value(self, node: Node, variables: dict[str, Tensor]) -> Tensor:
        """Return the value of a tree."""

    def value_by_itself(self, node: Node, features: dict[str, Tensor]) -> Tensor:
        """Return the value of a tree with these features and no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The parts of vectors that are rebuilt.

    Attributes:
        residuals: What makes the residuals of bytes.
        attribute: Name of the feature that holds the bytes.
        centroids: The constant that is added.
        owners: The byte that each component is made from, in order; empty where the bits are the
            components.
        is_normalized: Whether the sums are divided by their lengths.
    """

    residuals: Node
    attribute: str
    centroids: Node
    owners: tuple[int, ...]
    is_normalized: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredResiduals:
    """The residuals of a batch.

    Attributes:
        rows: Of all documents, laid end to end.
        offsets: (document + 1,) int64.
    """

    rows: Residuals
    offsets: NDArray[np.int64]


@dataclass(slots=True, kw_only=True)
class _Known:
    """What does not change from query to query, for as long as the constant is there.

    Attributes:
        cells: Rebuilt vectors and type of the field → what bytes stand for.
        rows: A batch of the field → rebuilt vectors → its residuals.
    """

    cells: dict[tuple[Rebuilt, TensorType], Cells | None] = field(default_factory=dict)
    rows: KeptByTensor[dict[Rebuilt, StoredResiduals]] = field(
        default_factory=lambda: KeptByTensor(dict)
    )


_KNOWN: KeptByTensor[_Known] = KeptByTensor(_Known)
"""Centroids → what was made with them."""


@functools.lru_cache(maxsize=256)
def as_rebuilt(node: Node, component: str) -> Rebuilt | None:
    """Return the parts of vectors that are rebuilt from residuals, or ``None``.

    Args:
        node: What a query is compared with.
        component: Dimension of the components.
    """
    node, is_normalized = plain(node), False
    if isinstance(node, Call) and node.name == "l2_normalize" and len(node.arguments or ()) == 2:
        first, second = node.arguments or ()
        if str(plain(second)) != component:
            return None
        node, is_normalized = plain(first), True
    if not isinstance(node, Operation) or node.operator != "+":
        return None
    for residuals, centroids in ((node.left, node.right), (node.right, node.left)):
        added, found = plain(centroids), _bytes(residuals, component)
        if isinstance(added, Call) and added.name == "constant" and found is not None:
            return Rebuilt(
                residuals=residuals,
                attribute=found.attribute,
                centroids=added,
                owners=found.owners,
                is_normalized=is_normalized,
            )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bytes:
    """An attribute of bytes, and the byte of each component; empty for that of each bit."""

    attribute: str
    owners: tuple[int, ...] = ()


def _bytes(node: Node, component: str) -> _Bytes | None:
    """Return what a tree makes components of, if each is made from bits of one byte."""
    node = plain(node)
    if not isinstance(node, Call):
        return None
    arguments = node.arguments or ()
    if node.name == "unpack_bits":
        inner = as_cells(node).node
        is_attribute = isinstance(inner, Call) and inner.name == "attribute"
        return _Bytes(attribute=inner.feature_name) if is_attribute else None  # type: ignore[union-attr]
    if node.name not in {"map", "map_subspaces"} or len(arguments) != 2:
        return None
    below, function = _bytes(arguments[0], component), arguments[1]
    if node.name == "map" or below is None or not isinstance(function, Lambda):
        return below
    owners = _owners(function.body, function.parameters[0], component)
    if owners is None or below.owners:  # one step from bits to components is enough
        return None
    return _Bytes(attribute=below.attribute, owners=tuple(place // 8 for place in owners))


def _owners(body: Node, parameter: str, component: str) -> tuple[int, ...] | None:
    """Return a bit of each component's byte if the body is a sum of bits, ``None`` if it is not."""
    body = plain(body)
    if isinstance(body, Operation) and body.operator == "+":
        left = _owners(body.left, parameter, component)
        right = _owners(body.right, parameter, component)
        agree = left is not None and right is not None and len(left) == len(right)
        if not agree or any(a // 8 != b // 8 for a, b in zip(left or (), right or (), strict=True)):
            return None
        return left
    if isinstance(body, Operation) and body.operator == "*":
        factors = plain(body.left), plain(body.right)
        others = [each for each in factors if not isinstance(each, Number)]
        return _owners(others[0], parameter, component) if len(others) == 1 else None
    return _places(body, parameter, component)


def _places(node: Node, parameter: str, component: str) -> tuple[int, ...] | None:
    """Return the indexes of ``tensor(x[n])(p{x:(index)})``, ``None`` where they are not known."""
    if not isinstance(node, Generated) or node.type.indexed != (component,) or node.type.mapped:
        return None
    piece = plain(node.body)
    if not isinstance(piece, Slice) or len(piece.coordinates) != 1:
        return None
    (coordinate,), subject = piece.coordinates, plain(piece.subject)
    is_own = isinstance(subject, Call) and is_bare(subject) and subject.name == parameter
    if not is_own or coordinate.index is None or coordinate.dimension not in {component, None}:
        return None
    found = [_number(coordinate.index, component, at) for at in range(node.type.shape[0])]
    if any(each is None or each < 0 or not each.is_integer() for each in found):
        return None
    return tuple(int(each) for each in found if each is not None)


def _number(node: Node, name: str, value: float) -> float | None:
    """Return the value of sums and products of numbers and one name, ``None`` for all else."""
    node = plain(node)
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Call) and is_bare(node) and node.name == name:
        return float(value)
    if not isinstance(node, Operation) or node.operator not in OPERATORS:
        return None
    left, right = _number(node.left, name, value), _number(node.right, name, value)
    return None if left is None or right is None else OPERATORS[node.operator](left, right)


def stored_residuals(node: Node, shape: MaxSim, run: Values) -> StoredResiduals | None:
    """Return the residuals that a batch holds, ``None`` where the tree or the types are others.

    Args:
        node: What the query is compared with.
        shape: The MaxSim.
        run: The evaluation.
    """
    rebuilt = as_rebuilt(node, shape.component)
    if rebuilt is None:
        return None
    stored = run.features(rebuilt.attribute)
    if not isinstance(stored, Tensor) or not _is_stored(stored, shape, run.documents):
        return None
    centroids = run.value(rebuilt.centroids, {})
    known = _KNOWN.of(centroids)
    if (rebuilt, stored.type) not in known.cells:
        known.cells[rebuilt, stored.type] = _cells_of_byte(rebuilt, stored.type, run)
    cells = known.cells[rebuilt, stored.type]
    if cells is None or not _fit(centroids.type, shape, cells.shape[0] * cells.shape[2]):
        return None
    rows = known.rows.of(stored)
    if rebuilt not in rows:
        rows[rebuilt] = _rows(stored, centroids, cells, rebuilt)
    return rows[rebuilt]


def _is_stored(tensor: Tensor, shape: MaxSim, documents: int) -> bool:
    """Return whether a tensor holds bytes of the tokens of each document, and nothing else."""
    kind = tensor.type
    place = kind.mapped.index(DOCUMENTS) if DOCUMENTS in kind.mapped else -1
    return (
        kind.cell_type is CellType.INT8
        and {*kind.mapped} == {DOCUMENTS, *shape.best_over}
        and kind.indexed == (shape.component,)
        and place >= 0
        and tensor.labels[place] == batch_labels(documents)
    )


def _fit(kind: TensorType, shape: MaxSim, dim: int) -> bool:
    """Return whether a constant has a vector of that many floats for each label of a token."""
    is_float = kind.cell_type is CellType.FLOAT and kind.shape == (dim,)
    is_named = len(kind.mapped) == 1 and kind.mapped[0] in shape.best_over
    return is_float and is_named and kind.indexed == (shape.component,)


def _cells_of_byte(rebuilt: Rebuilt, kind: TensorType, run: Values) -> Cells | None:
    """Return what each byte stands for in each place."""
    width = math.prod(kind.shape)
    count = len(rebuilt.owners) or 8 * width
    if count % width or (
        rebuilt.owners and rebuilt.owners != tuple(np.repeat(range(width), count // width).tolist())
    ):
        return None
    codes = np.zeros((256, len(kind.mapped) - 1), np.int64)
    codes[:, 0] = np.arange(256)
    mapped = kind.without(DOCUMENTS)
    every = np.arange(256, dtype=np.uint8).view(np.int8)
    labels = tuple(tuple(map(str, range(256))) for _ in mapped.mapped)
    values = np.repeat(every[:, np.newaxis], width, axis=1)
    probe = Tensor(mapped, codes, labels, values)
    found = run.value_by_itself(rebuilt.residuals, {rebuilt.attribute: probe})
    if found.type.cell_type is not CellType.FLOAT or found.values.shape != (256, count):
        return None
    order = np.argsort([int(label[0]) for label in _sorted_labels(found, mapped)])
    cells = found.values[order].reshape(256, width, count // width).transpose(1, 0, 2)
    return np.ascontiguousarray(cells)


def _sorted_labels(found: Tensor, mapped: TensorType) -> list[tuple[str, ...]]:
    """Return the addresses of subspaces, the dimension that counts the bytes first."""
    place = found.type.mapped.index(mapped.mapped[0])
    return [(address[place],) for address in found.addresses()]


def _rows(stored: Tensor, centroids: Tensor, cells: Cells, rebuilt: Rebuilt) -> StoredResiduals:
    """Return the rows whose centroid there is, those of each document together."""
    places = _subspaces(len(centroids.labels[0]), centroids.codes)
    found = rows_of_labels(stored, centroids.type.mapped[0], centroids.labels[0], places)
    packed: NDArray[Any] = stored.values if found.kept is None else stored.values[found.kept]
    return StoredResiduals(
        rows=Residuals(
            packed=packed.view(np.uint8),
            centroids=found.places,
            cells_of_byte=cells,
            vectors=centroids.values,
            is_normalized=rebuilt.is_normalized,
        ),
        offsets=found.offsets,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowsOfLabels:
    """The tokens of a batch whose label is known, those of each document together.

    Attributes:
        places: (row,) int64, where each one's label stands among the known ones.
        offsets: (document + 1,) int64.
        kept: (row,) int64, their subspaces; ``None`` for all of them in order.
    """

    places: NDArray[np.int64]
    offsets: NDArray[np.int64]
    kept: NDArray[np.int64] | None = None


def rows_of_labels(
    stored: Tensor,
    dimension: str,
    known: tuple[str, ...],
    places: NDArray[np.int64] | None = None,
) -> RowsOfLabels:
    """Return the tokens of a batch whose label is one of those that are known.

    Args:
        stored: The tokens of all documents, labelled.
        dimension: That of the labels.
        known: Labels.
        places: (label + 1,) int64, what stands for each of them, -1 for nothing and in the end;
            its place when absent.
    """
    column, named = map(stored.type.mapped.index, (DOCUMENTS, dimension))
    documents, codes = stored.codes[:, column], stored.codes[:, named]
    places_of_codes = _label_places(stored.labels[named], known)
    found = (places_of_codes if places is None else places[places_of_codes])[codes]
    kept = None
    if (found < 0).any() or (np.diff(documents) < 0).any():
        kept = np.flatnonzero(found >= 0)
        kept = kept[np.argsort(documents[kept], kind="stable")]
        documents, found = documents[kept], found[kept]
    offsets = np.searchsorted(documents, np.arange(len(stored.labels[column]) + 1))
    return RowsOfLabels(places=found, offsets=offsets.astype(np.int64), kept=kept)


@functools.lru_cache(maxsize=8)
def _label_places(labels: tuple[str, ...], known: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the place of each label among others: (label,) int64, -1 where it is not there."""
    places = {label: place for place, label in enumerate(known)}
    return np.array([places.get(label, -1) for label in labels], np.int64)


def _subspaces(labels: int, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the subspace of each label, and -1 for one more, which stands for no label."""
    places = np.full(labels + 1, -1, np.int64)
    places[codes[:, 0]] = np.arange(len(codes))
    return places
