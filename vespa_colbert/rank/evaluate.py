"""Tree → value: the algebra of ``algebra``, and kernels where a shape is recognised.

One evaluation serves one document or a whole batch. Equal subtrees are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.index.rows import DocumentRows
from vespa_colbert.rank.algebra import (
    DOCUMENTS,
    SubspaceFunction,
    assembled,
    choose,
    generated,
    index_values,
    join,
    map_cells,
    on_cells,
    pattern,
    peek,
    reduce,
    user_dimensions,
    visible_type,
)
from vespa_colbert.rank.arguments import Reader, as_choices, coordinates
from vespa_colbert.rank.batches import batch_numbers, batch_tensor, numbers_of_batch
from vespa_colbert.rank.expand import is_bare, plain
from vespa_colbert.rank.functions import FUNCTIONS, OPERATORS
from vespa_colbert.rank.fused import fused_max_sim
from vespa_colbert.rank.language.nodes import (
    Call,
    Generated,
    Lambda,
    Membership,
    Negative,
    Node,
    Not,
    Number,
    Operation,
    Pattern,
    Slice,
    String,
    Switch,
    TensorLiteral,
)
from vespa_colbert.rank.result_types import ResultTypes, refuse_unknown, require_indexed
from vespa_colbert.rank.shapes import as_short_reduction
from vespa_colbert.rank.string_hash import string_value
from vespa_colbert.tensor import Tensor, TensorType

__all__ = ["Evaluation", "batch_numbers", "batch_tensor"]

Feature: TypeAlias = Tensor | DocumentRows


class LambdaScope(dict[str, Tensor]):
    """The names that a lambda sees, and no others; a generator sees what is around it too."""


@dataclass(slots=True)
class Evaluation:
    """The evaluation of expanded trees for one query against a batch of documents.

    Attributes:
        features: Feature name (``query(qt)``, ``attribute(colbert)``, ``bm25(text)``) → value, or
            ``None`` where there is no such feature.
        documents: Size of the batch.
        uses_kernels: Whether recognised shapes go to kernels; tests turn it off to compare.
        inputs_first: Whether x in ``max(a, x)`` is a feature if there is one of that name, as in an
            expression by itself, and not a dimension of a, as in a schema.
        given: A tree → its value where another evaluation has it.
    """

    features: Callable[[str], Feature | None]
    documents: int
    uses_kernels: bool = True
    inputs_first: bool = False
    given: Callable[[Node], Tensor | None] = lambda _node: None
    _known: dict[Node, Tensor] = field(default_factory=dict, init=False)
    _depth: int = field(default=0, init=False)

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
        return numbers_of_batch(value, self.documents)

    def value_by_itself(self, node: Node, features: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a tree with these features and no others, from the algebra alone."""
        return Evaluation(features.get, documents=0, uses_kernels=False).value(node, {})

    def forget(self) -> None:
        """Let go of the values that were computed, which would otherwise wait for a collection."""
        self._known.clear()

    def knows(self, node: Node) -> bool:
        """Return whether the value of a tree has been computed already."""
        return plain(node) in self._known

    def value(self, node: Node, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a tree; ``variables`` are the names that a lambda or a generator has.

        Raises:
            ExpressionTypeError: If types do not fit an operation.
            UnknownFeatureError: If nothing defines a name.
            UnsupportedFunctionError: If Vespa has a function that is not reproduced.
        """
        node = plain(node)
        if variables:
            return self._compute(node, variables)
        if (known := self._known.get(node)) is None:
            given = self.given(node)
            known = self._compute(node, variables) if given is None else given
            self._known[node] = known
        return known

    def _compute(self, node: Node, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a node that is not known yet."""
        if isinstance(node, Number | String):
            return Tensor.number(_constant(node))
        if isinstance(node, Call):
            return self._call(node, variables)
        if isinstance(node, Operation):
            return self._operation(node, variables)
        if isinstance(node, Negative):
            return map_cells(self.value(node.inner, variables), np.negative)
        if isinstance(node, Not):
            return map_cells(self.value(node.inner, variables), lambda x: (x == 0).astype(float))
        return self._construct(node, variables)

    def _construct(self, node: Node, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a construct of the grammar.

        Raises:
            ExpressionTypeError: If a node stands where it has no value.
        """
        if isinstance(node, Membership):
            return self._membership(node, variables)
        if isinstance(node, Slice):
            return self._slice(node, variables)
        if isinstance(node, Generated):
            return self._generated(node, variables)
        if isinstance(node, TensorLiteral):
            cells = {cell.labels: self._number(cell.value, variables) for cell in node.cells}
            return assembled(node.type, cells)
        if isinstance(node, Pattern):
            require_indexed(node)
            return pattern(node.name, node.type)
        if isinstance(node, Switch):
            return self.value(as_choices(node), variables)
        raise ExpressionTypeError(f"{node}: expected a value")

    def _operation(self, node: Operation, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a chain of operators, without recursion along the chain."""
        first, operations = node.chain()
        value = self.value(first, variables)
        for each in operations:
            compute = OPERATORS[each.operator].compute
            value = join(value, self.value(each.right, variables), compute)
        return value

    def _call(self, node: Call, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a name with or without arguments.

        Raises:
            ExpressionTypeError: If a lambda uses anything but its parameters, as Vespa forbids.
            UnknownFeatureError: If nothing defines it.
        """
        if node.name in variables and is_bare(node):
            return variables[node.name]
        if node.arguments is not None and node.output is None:
            fused = self.uses_kernels and not variables
            if fused and (scores := fused_max_sim(node, self)) is not None:
                return scores
            if (built_in := self._built_in(node, node.arguments, variables)) is not None:
                return built_in
        if isinstance(variables, LambdaScope):
            known = ", ".join(variables)
            raise ExpressionTypeError(f"{node}: a lambda sees only its own parameters ({known})")
        found = self.features(node.feature_name)
        if found is None:
            refuse_unknown(node)
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
            (name,) = short.dimensions
            is_input = self.inputs_first and (name in variables or self.features(name) is not None)
            if inner.type.dimension(name) is not None and not is_input:
                return reduce(inner, short.aggregator, short.dimensions)
        row = FUNCTIONS.get(node.name)
        if row is None or not row.takes(len(arguments)):
            return None
        if row.name == "if":
            return self._if(arguments, variables)
        reader = Reader(lambda each: self.value(each, variables), self._cells, self._subspaces)
        return row.kernel(*reader.operands(row, arguments))

    def _if(self, arguments: tuple[Node, ...], variables: Mapping[str, Tensor]) -> Tensor:
        """Return one branch, or for a batch the branch that each document takes.

        Raises:
            ExpressionTypeError: If the condition is a tensor, or the branches have two types.
        """
        row, place = FUNCTIONS["if"], len(arguments[:3])
        Reader(lambda _each: None, self._cells, self._subspaces).operands(row, arguments)
        condition = self._number(arguments[0], variables)
        if condition.type.is_number:
            return self.value(arguments[1 if condition.as_number() != 0 else 2], variables)
        branches = [self.value(argument, variables) for argument in arguments[1:place]]
        row.rule(*(visible_type(each.type) for each in (condition, *branches)))
        return choose(condition, *branches)

    def _cells(self, function: Lambda) -> Callable[..., NDArray[np.float64]]:
        """Return a function literal as one of arrays of cells."""

        def body(*numbers: Tensor) -> Tensor:
            given = zip(function.parameters, numbers, strict=True)
            return self._number(function.body, LambdaScope(given))

        return lambda *arrays: on_cells(body, arrays)

    def _subspaces(self, function: Lambda) -> SubspaceFunction:
        """Return a function literal as one of dense subspaces."""
        (name,) = function.parameters
        types = ResultTypes(lambda _feature: None)
        return SubspaceFunction(
            lambda subspaces: self.value(function.body, LambdaScope({name: subspaces})),
            lambda kind: types.of_function(function, kind),
        )

    def _number(self, node: Node, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a tree that must be a number.

        Raises:
            ExpressionTypeError: If it is none.
        """
        found = self.value(node, variables)
        if user_dimensions(found.type):
            raise ExpressionTypeError(f"{node}: expected a number, got {visible_type(found.type)}")
        return found

    def _slice(self, node: Slice, variables: Mapping[str, Tensor]) -> Tensor:
        subject = self.value(node.subject, variables)
        places = coordinates(node, visible_type(subject.type))
        return peek(
            subject,
            {
                name: place if isinstance(place, str) else self._number(place, variables)
                for name, place in places.items()
            },
        )

    def _generated(self, node: Generated, variables: Mapping[str, Tensor]) -> Tensor:
        """Return a generated tensor: its body once, its indexes as hidden dimensions."""
        require_indexed(node)
        self._depth += 1
        try:
            names = {name: f"${self._depth}.{name}" for name in node.type.indexed}
            sizes = zip(node.type.indexed, node.type.shape, strict=True)
            indexes = {name: index_values(names[name], size) for name, size in sizes}
            kind = LambdaScope if isinstance(variables, LambdaScope) else dict
            scope: dict[str, Tensor] = kind({**variables, **indexes})
            return generated(node.type, self._number(node.body, scope), names)
        finally:
            self._depth -= 1

    def _membership(self, node: Membership, variables: Mapping[str, Tensor]) -> Tensor:
        """Return 1 where a cell is one of the members.

        Raises:
            UnsupportedFunctionError: If a member is no constant: Vespa's content nodes refuse it.
        """
        value = self.value(node.value, variables)
        plains = [plain(each) for each in node.members]
        members = [_constant(each) for each in plains if isinstance(each, Number | String)]
        if len(members) < len(plains):
            raise UnsupportedFunctionError(f"{node}: only constants are reproduced as members")
        return map_cells(value, lambda x: np.isin(x, members).astype(float))


def _constant(node: Number | String) -> float:
    """Return the number that a constant is worth."""
    return string_value(node.value) if isinstance(node, String) else node.value
