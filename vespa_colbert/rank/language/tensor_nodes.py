"""The nodes that are tensors by themselves: generated, of a pattern, written out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vespa_colbert.rank.language.words import label_text, type_text
from vespa_colbert.tensor import TensorType

if TYPE_CHECKING:
    from vespa_colbert.rank.language.nodes import Node

__all__ = ["Generated", "LiteralCell", "Pattern", "TensorLiteral"]


@dataclass(frozen=True, slots=True)
class Generated:
    """A tensor whose cells are computed from their indexes: ``tensor(x[3])(x * 2)``.

    Attributes:
        type: Its type; every dimension is indexed.
        body: The expression of a cell; the names of the dimensions are its indexes.
        position: Where it stands in the source, characters from 0.
    """

    type: TensorType
    body: Node
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{type_text(self.type)}({self.body})"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A tensor whose cells follow from its type: ``range(x[3])``, ``diag(x[2],y[2])``.

    Attributes:
        name: ``range``, ``diag`` or ``random``.
        type: Its type.
        position: Where it stands in the source, characters from 0.
    """

    name: str
    type: TensorType
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.name + type_text(self.type).removeprefix("tensor")


@dataclass(frozen=True, slots=True)
class LiteralCell:
    """A cell of a tensor literal.

    Attributes:
        labels: One label or index for each dimension of the type, in the type's order.
        value: An expression.
    """

    labels: tuple[str, ...]
    value: Node


@dataclass(frozen=True, slots=True)
class TensorLiteral:
    """A tensor that is written out: ``tensor(x[2]):[1, 2]``, ``tensor(x{}):{a:1, b:c + 1}``.

    However it is written, every cell has its full address; of two cells with one address the
    later counts. An indexed dimension of the long form ``{{x:0}:1}`` may lack cells.

    Attributes:
        type: Its type.
        cells: In the order written.
        position: Where it stands in the source, characters from 0.
    """

    type: TensorType
    cells: tuple[LiteralCell, ...]
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        listed = ", ".join(f"{{{self._address(cell)}}}:{cell.value}" for cell in self.cells)
        return f"{type_text(self.type)}:{{{listed}}}"

    def _address(self, cell: LiteralCell) -> str:
        pairs = zip(self.type.dimensions, cell.labels, strict=True)
        return ",".join(f"{each.name}:{label_text(label)}" for each, label in pairs)
