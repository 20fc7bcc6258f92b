"""The built-in functions of rank expressions: one table, a row a function.

A row has the signature, the rule for the type of the result, what computes the value, and where its
behaviour is taken from. A name that Vespa has and this table lacks raises, it never scores 0. The
cases in which Vespa's own engines differ are listed in docs/expression-differences.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vespa_colbert.rank import algebra
from vespa_colbert.rank.algebra import rules
from vespa_colbert.rank.derived import DERIVED, Derived
from vespa_colbert.rank.scalars import BINARY, OPERATORS, UNARY, Scalar
from vespa_colbert.tensor import CellType, Tensor, TensorType

__all__ = [
    "BINARY",
    "FUNCTIONS",
    "NOT_REPRODUCED",
    "OPERATORS",
    "OPERATOR_ROWS",
    "RESERVED",
    "SCALARS",
    "UNARY",
    "Function",
    "Parameter",
    "Scalar",
]


class Parameter(Enum):
    """What a function takes in one place; the value is how a signature writes it."""

    TENSOR = "tensor"
    CELL_FUNCTION = "f(x)(…)"
    PAIR_FUNCTION = "f(x,y)(…)"
    SUBSPACE_FUNCTION = "f(subspace)(…)"
    AGGREGATOR = "aggregator"
    DIMENSION = "dimension"
    DIMENSIONS = "dimension, …"
    NAMES = "(dimension, …)"
    CELL_TYPE = "cell type"
    CELL_ORDER = "max or min"
    BIT_ORDER = "big or little"
    PROBABILITY = "probability"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of rank expressions.

    Attributes:
        name: As written in an expression.
        parameters: What it takes, in order.
        optional: How many of the last parameters may be left out.
        rule: The type of the result from what stands in the parameters: a type for a tensor, a
            function of types for a subspace function, ``None`` for a function of cells.
        kernel: The value from the same with values: a function of arrays for a function of cells.
        source: Where its behaviour is taken from.
    """

    name: str
    parameters: tuple[Parameter, ...]
    optional: int = 0
    rule: Callable[..., TensorType]
    kernel: Callable[..., Tensor]
    source: str

    @property
    def signature(self) -> str:
        """How a call is written; what may be left out in brackets."""
        needed = len(self.parameters) - self.optional
        written = [
            each.value if place < needed else f"[{each.value}]"
            for place, each in enumerate(self.parameters)
        ]
        return f"{self.name}({', '.join(written)})"

    def takes(self, count: int) -> bool:
        """Return whether a call may have that many arguments."""
        most = len(self.parameters)
        is_open = most > 0 and self.parameters[-1] is Parameter.DIMENSIONS
        return count >= most - 1 if is_open else most - self.optional <= count <= most


P = Parameter
EVAL = "ValueType and tensor_function.cpp in eval, Vespa 8.700.24"
TENSOR_FUNCTIONS = "com.yahoo.tensor.functions, Vespa 8.700.24"


def _of_cells(scalar: Scalar) -> Function:
    return Function(
        name=scalar.name,
        parameters=(P.TENSOR,),
        rule=rules.map_type,
        kernel=lambda tensor: algebra.map_cells(tensor, scalar.compute),
        source=scalar.source,
    )


def _of_pairs(scalar: Scalar) -> Function:
    return Function(
        name=scalar.name,
        parameters=(P.TENSOR, P.TENSOR),
        rule=rules.join_type,
        kernel=lambda left, right: algebra.join(left, right, scalar.compute),
        source=scalar.source,
    )


def _short_reduction(name: str) -> Function:
    return Function(
        name=name,
        parameters=(P.TENSOR, P.DIMENSIONS),
        rule=rules.reduce_type,
        kernel=lambda tensor, dimensions: algebra.reduce(tensor, name, dimensions),
        source=TENSOR_FUNCTIONS,
    )


def _without_function(rule: Callable[..., TensorType]) -> Callable[..., TensorType]:
    """Return a type rule that does not look at the last parameter."""

    def of_tensors(*types: Any) -> TensorType:
        return rule(*types[:-1])

    return of_tensors


def _unpacked_type(
    tensor: TensorType, cell_type: CellType = CellType.FLOAT, _order: str = "big"
) -> TensorType:
    return rules.unpack_bits_type(tensor, cell_type)


def _unpacked(tensor: Tensor, cell_type: CellType = CellType.FLOAT, order: str = "big") -> Tensor:
    return algebra.unpack(tensor, cell_type, order)


def _checked(row: Derived) -> Callable[..., Tensor]:
    """Return the kernel of a derived function with the demands of its type rule."""

    def computed(*operands: Any) -> Tensor:
        types = (
            algebra.visible_type(each.type) if isinstance(each, Tensor) else each
            for each in operands
        )
        row.rule(*types)
        return row.kernel(*operands)

    return computed


def _reduced_type(tensor: TensorType, _name: str, dimensions: Sequence[str]) -> TensorType:
    return rules.reduce_type(tensor, dimensions)


PRIMITIVES = (
    Function(
        name="map",
        parameters=(P.TENSOR, P.CELL_FUNCTION),
        rule=_without_function(rules.map_type),
        kernel=algebra.map_cells,
        source=EVAL,
    ),
    Function(
        name="map_subspaces",
        parameters=(P.TENSOR, P.SUBSPACE_FUNCTION),
        rule=rules.map_subspaces_type,
        kernel=algebra.map_subspaces,
        source=EVAL,
    ),
    Function(
        name="filter_subspaces",
        parameters=(P.TENSOR, P.SUBSPACE_FUNCTION),
        rule=rules.filter_type,
        kernel=algebra.filter_subspaces,
        source=EVAL,
    ),
    Function(
        name="reduce",
        parameters=(P.TENSOR, P.AGGREGATOR, P.DIMENSIONS),
        rule=_reduced_type,
        kernel=algebra.reduce,
        source=EVAL,
    ),
    Function(
        name="join",
        parameters=(P.TENSOR, P.TENSOR, P.PAIR_FUNCTION),
        rule=_without_function(rules.join_type),
        kernel=algebra.join,
        source=EVAL,
    ),
    Function(
        name="merge",
        parameters=(P.TENSOR, P.TENSOR, P.PAIR_FUNCTION),
        rule=_without_function(rules.merge_type),
        kernel=algebra.merge,
        source=EVAL,
    ),
    Function(
        name="rename",
        parameters=(P.TENSOR, P.NAMES, P.NAMES),
        rule=rules.rename_type,
        kernel=algebra.rename,
        source=EVAL,
    ),
    Function(
        name="concat",
        parameters=(P.TENSOR, P.TENSOR, P.DIMENSION),
        rule=rules.concat_type,
        kernel=algebra.concat,
        source=EVAL,
    ),
    Function(
        name="cell_cast",
        parameters=(P.TENSOR, P.CELL_TYPE),
        rule=rules.cell_cast_type,
        kernel=algebra.cast_cells,
        source=EVAL,
    ),
    Function(
        name="cell_order",
        parameters=(P.TENSOR, P.CELL_ORDER),
        rule=_without_function(rules.map_type),
        kernel=algebra.cell_order,
        source=EVAL,
    ),
    Function(
        name="unpack_bits",
        parameters=(P.TENSOR, P.CELL_TYPE, P.BIT_ORDER),
        optional=2,
        rule=_unpacked_type,
        kernel=_unpacked,
        source="UnpackBitsNode, Vespa 8.700.24",
    ),
    Function(
        name="if",
        parameters=(P.TENSOR, P.TENSOR, P.TENSOR, P.PROBABILITY),
        optional=1,
        rule=rules.choice_type,
        kernel=lambda condition, taken, other, *_rest: algebra.choose(condition, taken, other),
        source="If in basic_nodes.h and NodeTypes in eval, Vespa 8.700.24",
    ),
)

SHAPES = {
    "tensor": (P.TENSOR,),
    "tensors": (P.TENSOR, P.TENSOR),
    "along": (P.TENSOR, P.DIMENSION),
    "over": (P.TENSOR, P.DIMENSIONS),
    "pair along": (P.TENSOR, P.TENSOR, P.DIMENSION),
    "three along": (P.TENSOR, P.TENSOR, P.TENSOR, P.DIMENSION),
}


def _table(rows: Iterable[Function]) -> dict[str, Function]:
    return {row.name: row for row in rows}


FUNCTIONS = _table((
    *map(_of_cells, UNARY.values()),
    *map(_of_pairs, BINARY.values()),
    *map(_short_reduction, sorted(algebra.AGGREGATORS.keys() - BINARY.keys())),
    *PRIMITIVES,
    *(
        Function(
            name=row.name,
            parameters=SHAPES[row.shape],
            rule=row.rule,
            kernel=_checked(row),
            source=f"{row.source}.toPrimitive in {TENSOR_FUNCTIONS}",
        )
        for row in DERIVED
    ),
))
"""Every function that is called by its name.

``max`` and ``min`` with the name of a dimension are reductions: see ``shapes.py``. Slices, tensor
literals, generated tensors, ``range``, ``diag``, ``switch``, ``in`` are constructs of the grammar.
"""

OPERATOR_ROWS = _table(map(_of_pairs, OPERATORS.values()))
"""Every operator between two values."""

SCALARS = dict.fromkeys(BINARY, 2) | dict.fromkeys(UNARY, 1)
"""Every function of one or two cells that Vespa has → how many arguments it takes.

A function of the profile with that name and number of arguments takes its place.

Source: Function and FunctionShadower, Vespa 8.700.24.
"""

NOT_REPRODUCED = {"random": "it gives other numbers every time"}
"""Names that Vespa's language has and this evaluator does not compute → the reason."""

RESERVED = FUNCTIONS.keys() | NOT_REPRODUCED.keys() | {"tensor", "range", "diag", "switch"}
"""Names that Vespa's grammar knows, if they have arguments."""
