"""Tensor cases made by rule: every operation on every layout, cell type and kind of value."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import VespaColbertError
from vespa_colbert.rank.algebra import AGGREGATORS as AGGREGATOR_NAMES
from vespa_colbert.rank.derived import DERIVED
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.result_types import ResultTypes
from vespa_colbert.rank.scalars import BINARY, OPERATORS, UNARY
from vespa_colbert.tensor import CellType, Tensor, TensorType

NAN, INF = float("nan"), float("inf")

LAYOUTS = (
    "x[3]",
    "x[2],y[3]",
    "s{}",
    "s{},t{}",
    "s{},x[3]",
    "s{},t{},x[2],y[2]",
)
SECOND = {
    "x[3]": "x[3],z[2]",
    "x[2],y[3]": "y[3]",
    "s{}": "s{},t{}",
    "s{},t{}": "t{}",
    "s{},x[3]": "x[3]",
    "s{},t{},x[2],y[2]": "s{},x[2]",
}
"""Layout → that of the second operand, which shares some dimensions and not all."""

EIGHTHS, ANY, SPECIAL, EMPTY = "eighths", "any", "special", "empty"
"""Whole eighths, whose sums are exact in every order; any double; NaN, ±Inf, −0; no cell."""


@dataclass(frozen=True)
class Case:
    operation: str
    expression: str
    inputs: dict[str, Tensor]
    values: str

    def __str__(self) -> str:
        types = ", ".join(f"{name}={each.type}" for name, each in self.inputs.items())
        return f"{self.expression} | {types} | {self.values}"


def block(kind: TensorType, values: str, random: np.random.Generator) -> NDArray[np.float64]:
    if kind.cell_type is CellType.INT8:
        return random.integers(-128, 128, kind.shape).astype(np.float64)
    if values == ANY:
        return np.asarray(random.normal(size=kind.shape))
    if values == SPECIAL:
        odd = [NAN, INF, -INF, 0.0, -0.0, 1.0, -2.0, 0.5]
        return np.asarray(random.choice(odd, kind.shape))
    return np.asarray(random.integers(-16, 17, kind.shape) / 8)


def made(kind: TensorType, values: str, random: np.random.Generator) -> Tensor:
    """Return a tensor; mapped dimensions have some of three labels."""
    if not kind.mapped:
        return Tensor.dense(kind, block(kind, values, random))
    addresses = itertools.product(("a", "1", "2"), repeat=len(kind.mapped))
    kept = [each for each in addresses if values != EMPTY and random.random() < 0.6]
    return Tensor.from_subspaces(kind, {each: block(kind, values, random) for each in kept})


def templates(kind: TensorType) -> Iterator[tuple[str, str]]:
    """Yield operation and expression for a first operand of a type, the second one being b."""
    yield from ((name, f"{name}(a)") for name in UNARY)
    yield from ((name, f"join(a,b,f(p,q)({name}(p,q)))") for name in BINARY)
    yield from ((name, f"a {name} b") for name in OPERATORS)
    yield from ((name, f"a {name} 2") for name in OPERATORS)
    names = [each.name for each in kind.dimensions]
    for aggregator in AGGREGATOR_NAMES:
        yield f"reduce {aggregator}", f"reduce(a,{aggregator})"
        yield from ((f"reduce {aggregator}", f"reduce(a,{aggregator},{name})") for name in names)
        for pair in itertools.combinations(names, 2):
            yield f"reduce {aggregator}", f"reduce(a,{aggregator},{','.join(pair)})"
    yield from _structural(kind, names)
    for row in DERIVED:
        if row.shape == "tensors":
            yield row.name, f"{row.name}(2,a)"
        for name in (*names, "w"):
            operands = {"along": "a", "over": "a", "pair along": "a,b", "three along": "a,b,b"}
            if row.shape in operands:
                yield row.name, f"{row.name}({operands[row.shape]},{name})"


def _structural(kind: TensorType, names: list[str]) -> Iterator[tuple[str, str]]:
    yield "negative", "-a"
    yield "not", "!a"
    yield "in", "a in [1,0.5,-2]"
    yield "map", "map(a,f(v)(if(v>0,v*2,1-v)))"
    yield "join", "join(a,b,f(p,q)(p*2-q))"
    yield "merge", "merge(a,a*2,f(p,q)(p+q))"
    yield "merge", "merge(a,b,f(p,q)(p-q))"
    for name in names:
        yield "rename", f"rename(a,{name},zz)"
        yield "rename", f"rename(a,{name},aa)"
    for first, second in itertools.permutations(names, 2):
        yield "rename", f"rename(a,({first},{second}),({second},{first}))"
    for name in (*kind.indexed, "w"):
        yield "concat", f"concat(a,b,{name})"
        yield "concat", f"concat(a,1.5,{name})"
        yield "concat", f"concat(a,a,{name})"
    for cells in CellType:
        yield "cell_cast", f"cell_cast(a,{cells})"
        yield "unpack_bits", f"unpack_bits(a,{cells})"
        yield "unpack_bits", f"unpack_bits(a,{cells},little)"
    for order in ("max", "min"):
        yield "cell_order", f"cell_order(a,{order})"
    yield "map_subspaces", "map_subspaces(a,f(d)(d*3+1))"
    yield "map_subspaces", "map_subspaces(a,f(d)(reduce(d,max)))"
    yield "map_subspaces", "map_subspaces(a,f(d)(tensor(w[2])(sum(d)*w)))"
    yield "map_subspaces", "map_subspaces(a,f(d)(concat(d,d,w)))"
    yield "filter_subspaces", "filter_subspaces(a,f(d)(sum(d)>0))"
    yield "filter_subspaces", "filter_subspaces(a,f(d)(d))"
    yield from _cuts(kind)
    yield "if", "if(reduce(a,count)>3,a,-(-a))"
    yield "switch", "switch(2){case 1: sum(a), case 2: reduce(a,max), default: 5}"
    yield "tensor", "tensor(w[3])(w*2+reduce(a,count))"
    yield "tensor", "a*tensor<int8>(w[2]):[3,-4]"
    yield "range", "a*range(w[3],v[2])"
    yield "diag", "a*diag(w[2],v[2])"


def _cuts(kind: TensorType) -> Iterator[tuple[str, str]]:
    for name in kind.mapped:
        yield "slice", f"a{{{name}:a}}"
        yield "slice", f"a{{{name}:'nosuch'}}"
        yield "slice", f"a{{{name}:(1+1)}}"
    for name in kind.indexed:
        yield "slice", f"a{{{name}:1}}"
        yield "slice", f"a{{{name}:(reduce(b,count)*0+1)}}"
        yield "slice", f"tensor(w[2])(sum(a{{{name}:(w)}}))"
    for pair in itertools.combinations([each.name for each in kind.dimensions], 2):
        yield "slice", f"a{{{pair[0]}:1,{pair[1]}:1}}"


def is_typed(expression: str, inputs: dict[str, Tensor]) -> bool:
    """Return whether the expression fits the types."""
    types = {name: tensor.type for name, tensor in inputs.items()}
    try:
        ResultTypes(types.get).of(parse_expression(expression))
    except VespaColbertError:
        return False
    return True


def generated_cases(every: int = 1) -> list[Case]:
    """Return the cases, or one in so many of them."""
    random = np.random.default_rng(5)
    found, number = [], 0
    for layout, cells, values in itertools.product(
        LAYOUTS, CellType, (EIGHTHS, ANY, SPECIAL, EMPTY)
    ):
        first = TensorType.parse(f"tensor<{cells}>({layout})")
        if values == EMPTY and not first.mapped:
            continue
        if cells is CellType.INT8 and values in {ANY, SPECIAL}:
            continue
        inputs = {"a": made(first, values, random)}
        others = list(CellType)[::-1] if values == EIGHTHS else [CellType.FLOAT]
        for operation, expression in templates(first):
            second = others[number % len(others)]
            kind = TensorType.parse(f"tensor<{second}>({SECOND[layout]})")
            bound = dict(inputs)
            if "b" in expression.replace("tensor", "").replace("subspaces", ""):
                bound["b"] = made(kind, values, random)
            endless = operation == "erf" and values == SPECIAL  # in Java, for NaN
            if not endless and is_typed(expression, bound):
                number += 1
                if number % every == 0:
                    found.append(Case(operation, expression, bound, values))
    return found
