"""The fields that hold token vectors: their names, their types, and how they are read back."""

from __future__ import annotations

from dataclasses import dataclass

from vespa_colbert.app.options import AppOptions, Layout
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["COMPONENTS_A_CELL", "LABELS", "OUTER", "TokenField", "field_name", "token_fields"]

COMPONENTS_A_CELL = {CellType.FLOAT: 1, CellType.BFLOAT16: 1, CellType.INT8: 8}
"""Cell types that Vespa's embedder can fill → components of a vector that one cell holds.

Source: ColBertEmbedder, Vespa 8.700.24.
"""

OUTER = "context"
"""The dimension that names a text of a document that has several."""

LABELS: dict[Layout, tuple[str, ...]] = {
    "passage": ("dt",),
    "contexts": (OUTER, "token"),
    "chunks": (OUTER, "token"),
}
"""Layout → the dimensions that name a token of a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenField:
    """A field that holds a document's token vectors.

    Attributes:
        cell_type: Its cells: float, bfloat16, or int8 for one bit a component.
        dim: Components of a token vector that it holds.
        is_cut: Whether the model gives more.
        labels: The dimensions that name a token.
    """

    cell_type: CellType
    dim: int
    is_cut: bool
    labels: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """What the names of its field and its rank profiles end in."""
        return f"{self.cell_type.value}_{self.dim}" if self.is_cut else self.cell_type.value

    @property
    def name(self) -> str:
        """Name of the field."""
        return f"colbert_{self.suffix}"

    @property
    def type(self) -> TensorType:
        """Type of the field."""
        width = self.dim // COMPONENTS_A_CELL[self.cell_type]
        labels = (Dimension(label) for label in self.labels)
        return TensorType(self.cell_type, (*labels, Dimension("x", width)))

    @property
    def vectors(self) -> str:
        """The expression that gives the vectors back as numbers."""
        return f"unpack_bits({self.attribute})" if self.is_packed else self.attribute

    @property
    def attribute(self) -> str:
        """The rank feature that gives its cells."""
        return f"attribute({self.name})"

    @property
    def is_packed(self) -> bool:
        """Whether a cell holds the signs of eight components."""
        return self.cell_type is CellType.INT8

    @property
    def query_name(self) -> str:
        """Name of the query's token vectors of as many components."""
        return f"qt{self.dim}" if self.is_cut else "qt"

    @property
    def query_type(self) -> TensorType:
        """Type of the query's token vectors of as many components."""
        return TensorType(CellType.FLOAT, (Dimension("qt"), Dimension("x", self.dim)))


def field_name(cell_type: CellType) -> str:
    """Return the name of the field that holds whole token vectors with such cells."""
    return f"colbert_{cell_type.value}"


def token_fields(options: AppOptions, dim: int) -> tuple[TokenField, ...]:
    """Return the fields that hold token vectors of a model: cell types outside, dims inside."""
    return tuple(
        TokenField(
            cell_type=cell_type, dim=stored, is_cut=stored < dim, labels=LABELS[options.layout]
        )
        for cell_type in options.cell_types
        for stored in options.dims or (dim,)
    )
