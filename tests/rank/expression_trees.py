"""Whole trees of rank expressions for Hypothesis, each of which Vespa's parser accepts in print."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from vespa_colbert.rank.language.built_ins import BUILT_INS
from vespa_colbert.rank.language.nodes import (
    Call,
    Case,
    Coordinate,
    Dimensions,
    Embraced,
    Generated,
    Lambda,
    LiteralCell,
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
from vespa_colbert.rank.language.operators import PRECEDENCE
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = ["TREES", "meaning"]

Trees = st.SearchStrategy[Node]


def number(text: str) -> Number:
    return Number(text, float(text))


def names_of(terminal: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name for name, kind in BUILT_INS.items() if kind == terminal])


WORDS = st.sampled_from(["x", "y", "d0", "max", "in", "true", "f", "tensor", "@a", "q$", "9lives"])
WORD_NODES = WORDS.map(Call)
NAMES = st.sampled_from([
    "a",
    "b1",
    "query",
    "f",
    "in",
    "case",
    "@x",
    "a$b",
    "9lives",
    "true_",
    "e5",
])
BARE_NAMES = st.sampled_from([
    "a",
    "if",
    "switch",
    "sum",
    "max",
    "log",
    "tensor",
    "f",
    "in",
    "range",
])
OUTPUTS = st.sampled_from(["b", "c.1", "9", "1.5", "1.b", "true", "max", "a.b.c"])
NUMBERS = st.one_of(
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{0,3})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["9223372036854775807", "1e400", "123456789.25", "1e-9", "00"]),
)
STRINGS = st.one_of(
    st.sampled_from([
        "'x'",
        '"y z"',
        "'('",
        '"a\\"b"',
        "''",
        "'\\n\\u00e9'",
        '"\\u12"',
        '"#"',
        "'é\n'",
    ]),
    st.text("ab '\t\u00e9\U0001f600", max_size=4).map(lambda text: f'"{text}"'),
)
LABELS = st.sampled_from([
    "a",
    "0",
    "-3",
    "a b",
    "it's",
    'a"b',
    "",
    "é",
    "true",
    "0x1",
    "5L",
    "1.5",
])
LEAVES = st.one_of(
    NUMBERS.map(number),
    NUMBERS.map(lambda text: number(f"-{text}")),
    st.sampled_from([Number("true", 1.0), Number("-false", -0.0)]),
    STRINGS.map(String),
    BARE_NAMES.map(Call),
    st.builds(Call, NAMES, st.none(), OUTPUTS),
)


@st.composite
def types(draw: st.DrawFn, *, mapped: bool, indexed: bool) -> TensorType:
    """Return a type of up to three dimensions, of the kinds that are asked for."""
    names = draw(
        st.lists(st.sampled_from(["x", "y", "d0", "max", "9days"]), max_size=3, unique=True)
    )
    sizes = st.one_of(*[st.none()] * mapped, *[st.integers(1, 3)] * indexed)
    dimensions = tuple(Dimension(name, draw(sizes)) for name in names)
    cells = draw(st.sampled_from(list(CellType))) if dimensions else CellType.DOUBLE
    return TensorType(cells, dimensions)


@st.composite
def literals(draw: st.DrawFn, values: Trees) -> Node:
    """Return a tensor literal in the long form, with distinct addresses."""
    kind = draw(types(mapped=True, indexed=True))
    labels = st.tuples(*[
        LABELS if each.size is None else st.integers(0, each.size - 1).map(str)
        for each in kind.dimensions
    ])
    addresses = draw(st.lists(labels, max_size=3, unique=True))
    return TensorLiteral(kind, tuple(LiteralCell(each, draw(values)) for each in addresses))


def lambdas(parameters: int) -> st.SearchStrategy[Lambda]:
    """Return function literals that use their parameters alone."""
    names = st.permutations(["x", "y1", "max"]).map(lambda found: tuple(found[:parameters]))
    return names.flatmap(lambda found: st.builds(Lambda, st.just(found), bodies(found)))


def bodies(parameters: tuple[str, ...]) -> Trees:
    leaves = st.one_of(NUMBERS.map(number), st.sampled_from(parameters).map(Call))

    def grow(inner: Trees) -> Trees:
        return st.one_of(
            st.builds(Operation, inner, st.sampled_from(list(PRECEDENCE)), inner),
            st.builds(Call, names_of("VALUE_FUNCTION"), st.tuples(inner)),
            st.builds(Call, names_of("LARGEST"), st.tuples(inner, inner)),
            st.builds(Call, st.just("if"), st.tuples(inner, inner, inner)),
            st.builds(Slice, inner, coordinates(inner)),
        )

    return st.recursive(leaves, grow, max_leaves=4)


def coordinates(inner: Trees) -> st.SearchStrategy[tuple[Coordinate, ...]]:
    full = st.one_of(
        st.builds(Coordinate, WORDS, label=LABELS), st.builds(Coordinate, WORDS, index=inner)
    )
    short = st.one_of(
        st.builds(Coordinate, st.none(), label=LABELS),
        st.builds(Coordinate, st.none(), index=inner),
    )
    return st.one_of(st.lists(full, min_size=1, max_size=2).map(tuple), st.tuples(short))


def built_ins(inner: Trees) -> Trees:
    """Return calls of every built-in function, with what each takes."""
    word = WORD_NODES
    tags = st.lists(st.one_of(word, st.sampled_from(["3", "-1"]).map(Call)), max_size=2)
    aggregators = st.sampled_from(["avg", "count", "max", "median", "min", "prod", "sum"]).map(Call)
    pairs = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=2)
    renamed = pairs.map(lambda found: [Dimensions(names) for names in zip(*found, strict=True)])
    cells = st.sampled_from(list(CellType)).map(lambda each: Call(each.value))
    chance = st.sampled_from([Number("0.25", 0.25), Number("-0", -0.0), Number("1f", 1.0)])
    rests: list[tuple[Any, int, Any]] = [
        (names_of("VALUE_FUNCTION"), 1, st.just([])),
        (names_of("PAIR_FUNCTION"), 2, st.just([])),
        (names_of("LARGEST"), 2, st.just([])),
        (names_of("REDUCTION"), 1, tags),
        (st.just("reduce"), 1, st.tuples(aggregators, tags).map(lambda both: [both[0], *both[1]])),
        (st.sampled_from(["map", "map_subspaces", "filter_subspaces"]), 1, st.tuples(lambdas(1))),
        (st.sampled_from(["join", "merge"]), 2, st.tuples(lambdas(2))),
        (st.just("rename"), 1, renamed),
        (st.just("concat"), 2, st.tuples(word)),
        (st.just("cell_order"), 1, st.tuples(st.sampled_from(["max", "min"]).map(Call))),
        (st.sampled_from(["softmax", "l1_normalize", "l2_normalize"]), 1, st.tuples(word)),
        (st.just("expand"), 1, st.tuples(word)),
        (st.just("cell_cast"), 1, st.tuples(cells)),
        (names_of("NAMED_PAIR_FUNCTION"), 2, st.tuples(word)),
        (st.just("xw_plus_b"), 3, st.tuples(word)),
        (st.just("unpack_bits"), 1, st.lists(cells, max_size=1)),
        (st.just("if"), 3, st.lists(chance, max_size=1)),
    ]

    def call(name: Any, count: int, rest: Any) -> Trees:
        arguments = st.tuples(st.tuples(*[inner] * count), rest)
        return st.builds(Call, name, arguments.map(lambda both: (*both[0], *both[1])))

    return st.one_of(*(call(*each) for each in rests))


def features(inner: Trees) -> Trees:
    arguments = st.lists(inner, max_size=3).map(tuple)
    return st.builds(Call, NAMES, arguments, st.one_of(st.none(), OUTPUTS))


def below(inner: Trees) -> Trees:
    negated = inner.filter(lambda node: not isinstance(node, Number))
    cases = st.lists(st.builds(Case, inner, inner), min_size=1, max_size=2).map(tuple)
    makers: list[Callable[[], Trees]] = [
        lambda: features(inner),
        lambda: built_ins(inner),
        lambda: st.builds(Operation, inner, st.sampled_from(list(PRECEDENCE)), inner),
        lambda: st.builds(Embraced, inner),
        lambda: st.builds(Negative, negated),
        lambda: st.builds(Not, inner),
        lambda: st.builds(Membership, inner, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        lambda: st.builds(Slice, inner, coordinates(inner)),
        lambda: st.builds(Generated, types(mapped=False, indexed=True), inner),
        lambda: st.builds(Pattern, names_of("PATTERN"), types(mapped=False, indexed=True)),
        lambda: literals(inner),
        lambda: st.builds(Switch, inner, cases, inner),
    ]
    return st.one_of(*(make() for make in makers))


# Not st.recursive, which keeps few trees with more than one child a node.
TREES = below(st.one_of(LEAVES, below(st.one_of(LEAVES, below(LEAVES)))))
"""Trees of every kind of node, up to four nodes deep and deeper in lambdas."""


def meaning(part: Any) -> Any:
    """Return a tree as nested tuples, without parentheses and places: what it means."""
    if isinstance(part, Embraced):
        return meaning(part.inner)
    if isinstance(part, tuple):
        return tuple(meaning(each) for each in part)
    if not dataclasses.is_dataclass(part) or isinstance(part, TensorType):
        return part
    own = [getattr(part, each.name) for each in dataclasses.fields(part) if each.compare]
    return type(part).__name__, *(meaning(each) for each in own)
