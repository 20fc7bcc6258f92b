"""The type rule of every operation against Vespa's own, on generated types, in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from vespa_colbert.errors import ExpressionTypeError
from vespa_colbert.rank.algebra import rules
from vespa_colbert.tensor import CellType, Dimension, TensorType
from vespa_colbert.vespa_java import VespaJava
from vespa_colbert.vespa_java.tensor_forms import Refusal

pytestmark = pytest.mark.java

PAIRS = 60
"""Pairs of types; each gives a case of every operation."""

AGGREGATORS = ("avg", "count", "max", "median", "min", "prod", "sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One operation on features a and b."""

    expression: str
    left: TensorType
    right: TensorType
    rule: Callable[[], TensorType]

    @property
    def ours(self) -> TensorType | None:
        try:
            return self.rule()
        except ExpressionTypeError:
            return None


def _random_type(generator: np.random.Generator) -> TensorType:
    names = [name for name in "xyz" if generator.random() < 0.55]
    dimensions = [
        Dimension(name, None if generator.random() < 0.4 else int(generator.integers(1, 4)))
        for name in names
    ]
    cell_type = CellType(generator.choice(list(CellType))) if names else CellType.DOUBLE
    return TensorType(cell_type, tuple(dimensions))


def _related_type(generator: np.random.Generator, other: TensorType) -> TensorType:
    """Return a type with the same dimensions half of the time, so that merge and join fit."""
    if generator.random() < 0.5 or other.is_number:
        return _random_type(generator)
    return TensorType(CellType(generator.choice(list(CellType))), other.dimensions)


def _cases() -> list[Case]:
    generator = np.random.default_rng(700)
    found: list[Case] = []
    for _ in range(PAIRS):
        left = _random_type(generator)
        right = _related_type(generator, left)
        aggregator = str(generator.choice(AGGREGATORS))
        cell_type = CellType(generator.choice(list(CellType)))
        operations = {
            **_of_two(left, right),
            **_of_dimensions(generator, left, aggregator),
            **_of_subspaces(left, aggregator, cell_type),
        }
        found += [
            Case(expression=text, left=left, right=right, rule=rule)
            for text, rule in operations.items()
        ]
    return found


def _of_two(left: TensorType, right: TensorType) -> dict[str, Callable[[], TensorType]]:
    return {
        "a * b": lambda: rules.join_type(left, right),
        "join(a, b, f(v,w)(v - w))": lambda: rules.join_type(left, right),
        "merge(a, b, f(v,w)(v + w))": lambda: rules.merge_type(left, right),
        "concat(a, b, x)": lambda: rules.concat_type(left, right, "x"),
        "concat(a, b, new)": lambda: rules.concat_type(left, right, "new"),
    }


def _of_dimensions(
    generator: np.random.Generator, kind: TensorType, aggregator: str
) -> dict[str, Callable[[], TensorType]]:
    names = [each.name for each in kind.dimensions if generator.random() < 0.6]
    places = ", ".join(f"{name}:k" if name in kind.mapped else f"{name}:0" for name in names)
    found: dict[str, Callable[[], TensorType]] = {
        f"reduce(a, {aggregator})": lambda: rules.reduce_type(kind, ()),
    }
    if names:
        before, after = ",".join(names), ",".join(f"{name}2" for name in names)
        renamed = tuple(f"{name}2" for name in names)
        found[f"reduce(a, {aggregator}, {before})"] = lambda: rules.reduce_type(kind, names)
        found[f"rename(a, ({before}), ({after}))"] = lambda: rules.rename_type(kind, names, renamed)
        found[f"a{{{places}}}"] = lambda: rules.peek_type(kind, names)
    if len(kind.dimensions) > 1:
        first, second = kind.dimensions[0].name, kind.dimensions[1].name
        found[f"rename(a, ({first},{second}), ({second},{first}))"] = lambda: rules.rename_type(
            kind, (first, second), (second, first)
        )
        found[f"rename(a, {first}, {second})"] = lambda: rules.rename_type(
            kind, (first,), (second,)
        )
    return found


def _of_subspaces(
    kind: TensorType, aggregator: str, cell_type: CellType
) -> dict[str, Callable[[], TensorType]]:
    def reduced(inner: TensorType) -> TensorType:
        return rules.reduce_type(inner, ())

    def cast(inner: TensorType) -> TensorType:
        return rules.cell_cast_type(inner, cell_type)

    def same(inner: TensorType) -> TensorType:
        return inner

    return {
        "map(a, f(v)(exp(v)))": lambda: rules.map_type(kind),
        "-a": lambda: rules.map_type(kind),
        f"cell_cast(a, {cell_type})": lambda: rules.cell_cast_type(kind, cell_type),
        "unpack_bits(a)": lambda: rules.unpack_bits_type(kind, CellType.FLOAT),
        f"unpack_bits(a, {cell_type})": lambda: rules.unpack_bits_type(kind, cell_type),
        f"map_subspaces(a, f(s)(reduce(s, {aggregator})))": lambda: rules.map_subspaces_type(
            kind, reduced
        ),
        f"map_subspaces(a, f(s)(cell_cast(s, {cell_type})))": lambda: rules.map_subspaces_type(
            kind, cast
        ),
        "map_subspaces(a, f(s)(s))": lambda: rules.map_subspaces_type(kind, same),
        "filter_subspaces(a, f(s)(reduce(s, max)))": lambda: rules.filter_type(kind, reduced),
    }


CASES = _cases()


def test_there_are_enough_cases_of_both_outcomes() -> None:
    refused = [case for case in CASES if case.ours is None]
    assert len(CASES) >= 500
    assert len(refused) >= 50


def test_every_type_is_vespas(judge: VespaJava) -> None:
    answers = judge.expression_types([
        (case.expression, {"a": case.left, "b": case.right}) for case in CASES
    ])
    wrong, differences = [], set()
    for case, answer in zip(CASES, answers, strict=True):
        if (None if isinstance(answer, Refusal) else answer) == case.ours:
            continue
        if (known := _known_difference(case)) is None:
            wrong.append(
                f"{case.expression}, a {case.left}, b {case.right}: {answer}, ours {case.ours}"
            )
        else:
            differences.add(known)
    assert wrong == []
    assert differences == {"negation", "labels and indexes", "two sizes"}


def _known_difference(case: Case) -> str | None:
    """Return in what the content nodes, which are followed, differ from Vespa's Java.

    Source: ValueType::map, MyJoin::unify in value_type.cpp, Vespa 8.700.24.
    """
    if case.expression == "-a" and case.left.cell_type in {CellType.INT8, CellType.BFLOAT16}:
        return "negation"
    if case.ours is not None:
        return None
    concatenated = case.expression.startswith("concat")
    pairs = [
        (each, other)
        for each in case.left.dimensions
        if (other := case.right.dimension(each.name)) not in {None, each}
    ]
    if any(each.is_mapped != other.is_mapped for each, other in pairs):
        return "labels and indexes"
    return "two sizes" if concatenated and pairs else None
