"""Tree → value: the algebra of ``algebra.py``, and kernels where a shape is recognised.

One evaluation serves one document or a whole batch. Equal subtrees are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.algebra import (
    CELLS,
    DOCUMENTS,
    cast_cells,
    join,
    map_cells,
    reduce,
    unpack,
    user_dimensions,
)
from vespa_colbert.rank.expand import is_bare, plain
from vespa_colbert.rank.functions import BINARY, NOT_REPRODUCED, OPERATORS, UNARY
from vespa_colbert.rank.kernels import max_sim, max_sim_bits
from vespa_colbert.rank.nodes import (
    Call,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Number,
    Operation,
)
from vespa_colbert.rank.shapes import (
    MaxSim,
    as_max_sim,
    as_reduction,
    as_short_reduction,
    as_unpacked,
)
from vespa_colbert.tensor import CellType, Dimension, Tensor, TensorType

__all__ = ["Evaluation", "batch_numbers", "batch_tensor"]

Feature: TypeAlias = Tensor | DocumentRows
FLOAT_CELLS = (CellType.FLOAT, CellType.BFLOAT16)


def batch_numbers(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> Tensor:
    """Return a number a document as a tensor over the batch: (document,) float64."""
    labels = tuple(str(document) for document in range(len(values)))
    cells = np.asarray(values, np.float64)
    return Tensor.rows(TensorType(CellType.DOUBLE, (Dimension(DOCUMENTS),)), cells, labels)


def batch_tensor(rows: DocumentRows) -> Tensor:
    """Return a field of all documents as one tensor with the batch as a dimension more."""
    lengths = np.diff(rows.offsets)
    documents = np.repeat(np.arange(len(rows)), lengths)
    tokens = np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], lengths)
    dimensions = (Dimension(DOCUMENTS), *rows.type.dimensions)
    labels = (
        tuple(str(document) for document in range(len(rows))),
        tuple(str(token) for token in range(int(lengths.max(initial=0)))),
    )
    wanted = TensorType(rows.type.cell_type, dimensions)
    return Tensor(wanted, np.stack([documents, tokens], axis=1), labels, rows.values)


@dataclass(slots=True)
class Evaluation:
    """The evaluation of expanded trees for one query against a batch of documents.

    Attributes:
        features: Feature name (``query(qt)``, ``attribute(colbert)``, ``bm25(text)``) → value, or
            ``None`` where there is no such feature.
        documents: Size of the batch.
        uses_kernels: Whether recognised shapes go to kernels; tests turn it off to compare.
    """

    features: Callable[[str], Feature | None]
    documents: int
    uses_kernels: bool = True
    _known: dict[Node, Tensor] = field(default_factory=dict, init=False)

    def scores(self, node: Node) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return one number a document: (document,) float64.

        Raises:
            ExpressionTypeError: If the expression is not a number.
            ExpressionError: If it is nested too deeply.
        """
        try:
            value = self.value(node, {})
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None
        if value.type.is_number:
            return np.full(self.documents, value.as_number())
        if value.type.mapped != (DOCUMENTS,) or value.type.indexed:
            kind = TensorType(value.type.cell_type, user_dimensions(value.type))
            raise ExpressionTypeError(f"{node}: expected a number for each hit, got {kind}")
        found = np.zeros(self.documents)
        found[[int(label) for (label,) in value.addresses()]] = value.values
        return found

    def knows(self, node: Node) -> bool:
        """Return whether the value of a tree has been computed already."""
        return plain(node) in self._known

    def value(self, node: Node, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a tree; ``variables`` are the arguments of the lambda it is in."""
        node = plain(node)
        if variables:
            return self._compute(node, variables)
        if node not in self._known:
            self._known[node] = self._compute(node, variables)
        return self._known[node]

    def _compute(self, node: Node, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a node that is not known yet.

        Raises:
            ExpressionTypeError: If a node stands where it has no value.
        """
        if isinstance(node, Number):
            return Tensor.number(node.value)
        if isinstance(node, Call):
            return self._call(node, variables)
        if isinstance(node, Operation):
            return self._operation(node, variables)
        if isinstance(node, Negative):
            return map_cells(self.value(node.inner, variables), np.negative)
        if isinstance(node, Not):
            return map_cells(self.value(node.inner, variables), lambda x: (x == 0).astype(float))
        if isinstance(node, Membership):
            return self._membership(node, variables)
        raise ExpressionTypeError(f"{node}: expected a value")

    def _operation(self, node: Operation, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a chain of operators, without recursion along the chain.

        Raises:
            UnsupportedFunctionError: For an operator that is not reproduced.
        """
        first, operations = node.chain()
        value = self.value(first, variables)
        for each in operations:
            if (row := OPERATORS.get(each.operator)) is None:
                raise UnsupportedFunctionError(f"operator {each.operator} is not reproduced")
            value = join(value, self.value(each.right, variables), row.compute)
        return value

    def _call(self, node: Call, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a name with or without arguments.

        Raises:
            ExpressionTypeError: If a lambda uses anything but its parameters, as Vespa forbids.
            UnknownFeatureError: If nothing defines it.
            UnsupportedFunctionError: If Vespa does and we do not reproduce it.
        """
        if node.name in variables and is_bare(node):
            return variables[node.name]
        if node.arguments is not None and node.output is None:
            if not variables and (scores := self._kernel(node)) is not None:
                return scores
            if (built_in := self._built_in(node, node.arguments, variables)) is not None:
                return built_in
        if variables:
            known = ", ".join(variables)
            raise ExpressionTypeError(f"{node}: a lambda sees only its own parameters ({known})")
        found = self.features(node.feature_name)
        if found is None and node.arguments and node.name in NOT_REPRODUCED:
            raise UnsupportedFunctionError(
                f"{node}: {node.name} is a function of Vespa that is not reproduced here"
            )
        if found is None:
            raise UnknownFeatureError(
                f"{node.feature_name}: no function, input, field or feature has this name"
            )
        return batch_tensor(found) if isinstance(found, DocumentRows) else found

    def _built_in(
        self, node: Call, arguments: tuple[Node, ...], variables: Mapping[str, Tensor]
    ) -> Tensor | None:
        """Return the value of a built-in function, or ``None`` if there is none of that shape."""
        if (short := as_short_reduction(node)) is not None:
            inner = self.value(short.argument, variables)
            if inner.type.dimension(short.dimensions[0]) is not None:
                return reduce(inner, short.aggregator, short.dimensions, self.documents)
        if (one := UNARY.get(node.name)) and len(arguments) == 1:
            return map_cells(self.value(arguments[0], variables), one.compute)
        if (two := BINARY.get(node.name)) and len(arguments) == 2:
            left, right = (self.value(argument, variables) for argument in arguments)
            return join(left, right, two.compute)
        if (reduction := as_reduction(node)) is not None:
            inner = self.value(reduction.argument, variables)
            return reduce(inner, reduction.aggregator, reduction.dimensions, self.documents)
        if (special := SPECIAL.get(node.name)) and len(arguments) in special.arity:
            return special.compute(self, arguments, variables)
        return None

    def _membership(self, node: Membership, variables: Mapping[str, Tensor]) -> Tensor:
        """Return 1 where a cell is one of the members.

        Raises:
            UnsupportedFunctionError: If a member is no constant: Vespa's content nodes refuse it.
        """
        value = self.value(node.value, variables)
        members = [each.value for each in node.members if isinstance(each, Number)]
        if len(members) < len(node.members):
            raise UnsupportedFunctionError(f"{node}: only numbers are reproduced as members")
        return map_cells(value, lambda x: np.isin(x, members).astype(float))

    def _kernel(self, node: Call) -> Tensor | None:
        """Return the scores of a MaxSim that a kernel knows, or ``None``."""
        shape = as_max_sim(node) if self.uses_kernels else None
        if shape is None:
            return None
        for query, document in ((shape.left, shape.right), (shape.right, shape.left)):
            inner, is_packed = as_unpacked(document)
            if not isinstance(inner, Call) or inner.name != "attribute":
                continue
            rows = self.features(inner.feature_name)
            if not isinstance(rows, DocumentRows) or not _fits(rows, shape, packed=is_packed):
                continue
            vectors = self.value(query, {})
            if not _is_query(vectors, shape, rows, packed=is_packed):
                continue
            compute = max_sim_bits if is_packed else max_sim
            return batch_numbers(compute(vectors.values, rows.values, rows.offsets))
        return None


def _fits(rows: DocumentRows, shape: MaxSim, *, packed: bool) -> bool:
    cells = rows.type.cell_type
    kinds = cells is CellType.INT8 if packed else cells in FLOAT_CELLS
    return (
        kinds
        and rows.type.mapped == (shape.document_token,)
        and rows.type.indexed == (shape.component,)
    )


def _is_query(vectors: Tensor, shape: MaxSim, rows: DocumentRows, *, packed: bool) -> bool:
    width = rows.type.shape[0] * (8 if packed else 1)
    return (
        vectors.type.cell_type in FLOAT_CELLS
        and vectors.type.mapped == (shape.query_token,)
        and vectors.type.indexed == (shape.component,)
        and vectors.type.shape == (width,)
    )


Compute: TypeAlias = Callable[[Evaluation, tuple[Node, ...], Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """A built-in whose arguments are not all values."""

    arity: range
    compute: Compute


def _if(run: Evaluation, arguments: tuple[Node, ...], variables: Mapping[str, Tensor]) -> Tensor:
    """Return one branch, or for a batch the branch that each document takes.

    Raises:
        ExpressionTypeError: If the probability that a fourth argument states is no number.
        UnsupportedFunctionError: If the condition is a tensor, or branches of a batch are.
    """
    if not all(isinstance(each, Number) for each in arguments[3:]):
        raise ExpressionTypeError(f"if: expected a number as probability, got {arguments[3]}")
    condition = run.value(arguments[0], variables)
    if condition.type.is_number:
        return run.value(arguments[1 if condition.as_number() else 2], variables)
    branches = [run.value(argument, variables) for argument in arguments[1:3]]
    if any(user_dimensions(each.type) for each in (condition, *branches)):
        raise UnsupportedFunctionError("if: only numbers are reproduced as condition and branches")
    taken, other = (join(condition, branch, lambda _c, value: value) for branch in branches)
    chosen = np.where(condition.values != 0, taken.values, other.values)
    return Tensor(taken.type, taken.codes, taken.labels, chosen)


def _map(run: Evaluation, arguments: tuple[Node, ...], variables: Mapping[str, Tensor]) -> Tensor:
    function = _lambda(arguments[1], parameters=1)
    inner = run.value(arguments[0], variables)
    (name,) = function.parameters
    return map_cells(inner, lambda x: _on_cells(run, function.body, {name: x}))


def _join(run: Evaluation, arguments: tuple[Node, ...], variables: Mapping[str, Tensor]) -> Tensor:
    function = _lambda(arguments[2], parameters=2)
    left, right = (run.value(argument, variables) for argument in arguments[:2])
    first, second = function.parameters
    return join(left, right, lambda x, y: _on_cells(run, function.body, {first: x, second: y}))


def _on_cells(
    run: Evaluation,
    body: Node,
    cells: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return a lambda's value for arrays of cells, taken as a vector of numbers."""
    arrays = np.broadcast_arrays(*cells.values())
    shape, size = arrays[0].shape, arrays[0].size
    if size == 0:
        return np.zeros(shape)
    kind = TensorType(CellType.DOUBLE, (Dimension(CELLS, size),))
    variables = {
        name: Tensor.dense(kind, array.reshape(-1))
        for name, array in zip(cells, arrays, strict=True)
    }
    computed = run.value(body, variables).values
    return np.broadcast_to(computed.reshape(-1), (size,)).reshape(shape)


def _lambda(node: Node, *, parameters: int) -> Lambda:
    """Return the node if it is a function literal with that many parameters.

    Raises:
        ExpressionTypeError: If not.
    """
    if not isinstance(node, Lambda) or len(node.parameters) != parameters:
        raise ExpressionTypeError(f"{node}: expected a function of {parameters}, as in f(x)(x * 2)")
    return node


def _cell_type(node: Node) -> CellType:
    """Return the cell type a bare name spells.

    Raises:
        ExpressionTypeError: If it spells none.
    """
    try:
        return CellType(str(node))
    except ValueError:
        known = ", ".join(each.value for each in CellType)
        raise ExpressionTypeError(f"expected a cell type among {known}, got {node}") from None


def _cell_cast(
    run: Evaluation, arguments: tuple[Node, ...], variables: Mapping[str, Tensor]
) -> Tensor:
    return cast_cells(run.value(arguments[0], variables), _cell_type(arguments[1]))


def _unpack_bits(
    run: Evaluation, arguments: tuple[Node, ...], variables: Mapping[str, Tensor]
) -> Tensor:
    """Return the bits as cells.

    Raises:
        UnsupportedFunctionError: If the last bit is to come first.
    """
    cell_type = _cell_type(arguments[1]) if len(arguments) > 1 else CellType.FLOAT
    if len(arguments) > 2 and str(arguments[2]) != "big":
        raise UnsupportedFunctionError(f"unpack_bits: {arguments[2]} is not reproduced, only big")
    return unpack(run.value(arguments[0], variables), cell_type)


SPECIAL = {
    "if": Special(arity=range(3, 5), compute=_if),
    "map": Special(arity=range(2, 3), compute=_map),
    "join": Special(arity=range(3, 4), compute=_join),
    "cell_cast": Special(arity=range(2, 3), compute=_cell_cast),
    "unpack_bits": Special(arity=range(1, 4), compute=_unpack_bits),
}
"""Built-ins that take lambdas, cell types or branches."""
