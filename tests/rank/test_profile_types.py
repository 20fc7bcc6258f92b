"""Types are asked for before a document is ranked, and a fault says where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vespa_colbert.app import read_application
from vespa_colbert.errors import (
    ExpressionError,
    ExpressionTypeError,
    UnknownFeatureError,
    UnsupportedFunctionError,
)
from vespa_colbert.rank import Ranker, RankQuery
from vespa_colbert.rank.compiled import CompiledProfile, compile_profile
from vespa_colbert.rank.features.table import FEATURES, REFUSED, REFUSED_TENSORS
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.profile_types import ProfileTypes, require_types

SCHEMA = """
schema doc {
    document doc {
        field number type double { indexing: attribute }
        field tags type array<string> { indexing: attribute }
        field stored type int { indexing: summary }
        field rows type tensor<int8>(dt{},x[2]) { indexing: attribute }
        field ids type tensor<float>(d0[4]) { indexing: attribute }
        field title type string { indexing: index
            index: enable-bm25 }
    }
    rank-profile p {
        inputs {
            query(q) tensor<float>(qt{},x[16])
            query(switch) double: 0
        }
        constants {
            c tensor(x[2]): [1, 2]
        }
        function products() { expression: query(q) * attribute(rows) }
        function outer() { expression: sum(products, qt) + 1 }
        function wrong_row() { expression: attribute(rows) }
        function by_number() { expression: attribute(number) }
        first-phase { expression: FIRST }
        REST
    }
}
"""

Compile = Callable[..., CompiledProfile]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    def make(first: str, rest: str = "") -> CompiledProfile:
        (tmp_path / "schemas").mkdir(exist_ok=True)
        text = SCHEMA.replace("FIRST", first).replace("REST", rest)
        (tmp_path / "schemas" / "doc.sd").write_text(text)
        return compile_profile(read_application(tmp_path).schema(), "p", folder=tmp_path)

    return make


def check(profile: CompiledProfile) -> None:
    require_types(ProfileTypes(profile), ProfileTypes(profile, is_global=True))


def test_a_fault_in_a_branch_that_is_not_taken_names_expression_functions_and_phase(
    compiled: Compile,
) -> None:
    with pytest.raises(ExpressionTypeError, match=r"cannot join .* dimension x") as raised:
        check(compiled("if (query(switch) > 0, sum(outer), attribute(number))"))

    assert raised.value.__notes__ == [
        "query(q) * attribute(rows)",
        "function products",
        "function outer",
        "schema doc, profile p, first-phase",
    ]


def test_nothing_is_ranked_where_a_match_feature_has_a_fault(
    compiled: Compile, tmp_path: Path
) -> None:
    compiled("attribute(number)", "match-features { outer }")
    (tmp_path / "docs.jsonl").write_text(json.dumps({"id": "a", "number": 1}) + "\n")
    ranker = Ranker.from_application(tmp_path, "p", tmp_path / "docs.jsonl")

    with pytest.raises(ExpressionTypeError) as raised:
        ranker.rank(RankQuery())

    assert raised.value.__notes__[-1] == "schema doc, profile p, match-features"


@pytest.mark.parametrize(
    ("first", "rest", "place"),
    [
        ("attribute(rows)", "", "first-phase"),
        ("1", "second-phase { expression: wrong_row }", "second-phase"),
        ("1", "global-phase { expression: reduce(wrong_row, sum, dt) }", "global-phase"),
    ],
)
def test_a_phase_gives_a_number(compiled: Compile, first: str, rest: str, place: str) -> None:
    with pytest.raises(ExpressionTypeError, match="expected a number for each hit") as raised:
        check(compiled(first, rest))

    assert raised.value.__notes__[-1] == f"schema doc, profile p, {place}"


def test_features_of_hits_may_be_tensors(compiled: Compile) -> None:
    check(compiled("1", "match-features { wrong_row } summary-features { constant(c) }"))


@pytest.mark.parametrize(
    ("rest", "error", "fragment"),
    [
        ("match-features { closest(rows) }", UnsupportedFunctionError, "its type is not known"),
        ("match-features { nosuch(rows) }", UnknownFeatureError, "nosuch(rows)"),
        ("summary-features { attribute(stored) }", UnknownFeatureError, "is no attribute"),
        ("summary-features { constant(d) }", UnknownFeatureError, "a constant among c"),
        ("match-features { relevanceScore }", UnsupportedFunctionError, "only the global phase"),
        ("match-features { bm25(tags) }", UnknownFeatureError, "enable-bm25"),
        ("match-features { secondPhase }", UnknownFeatureError, "has no second-phase"),
        ("global-phase { expression: normalize_linear(wrong_row) }", ExpressionTypeError, "number"),
        (
            "global-phase { expression: sum(tokenInputIds(8, wrong_row)) }",
            ExpressionTypeError,
            "d0",
        ),
    ],
)
def test_what_has_no_type_is_refused(
    compiled: Compile, rest: str, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error) as raised:
        check(compiled("1", rest))

    assert fragment in str(raised.value)


def test_a_feature_without_a_value_here_has_a_type_in_a_branch(compiled: Compile) -> None:
    check(compiled("if (query(switch) > 0, nativeRank(title), attribute(number))"))


def test_a_feature_that_needs_itself_is_named(compiled: Compile) -> None:
    profile = compiled("1", 'function f() { expression: rankingExpression("f") + 1 }')

    with pytest.raises(ExpressionError, match=r"needs its own value"):
        ProfileTypes(profile).of(parse_expression('rankingExpression("f")'))


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("attribute(rows)", "tensor<int8>(dt{},x[2])"),
        ("attribute(number)", "double"),
        ("attribute(tags,1)", "double"),
        ("query(q)", "tensor<float>(qt{},x[16])"),
        ("query(undeclared)", "double"),
        ("constant(c)", "tensor(x[2])"),
        ("tokenInputIds(8, attribute(ids))", "tensor<float>(d0[1],d1[8])"),
        ("customTokenInputIds(1, 2, 9, attribute(ids))", "tensor<float>(d0[1],d1[9])"),
        ("bm25(title)", "double"),
        ("rankingExpression(wrong_row)", "tensor<int8>(dt{},x[2])"),
        ("normalize_linear(by_number) + reciprocal_rank(by_number, 2)", "double"),
        ("reciprocal_rank_fusion(by_number, relevanceScore)", "double"),
        ("unpack_bits(attribute(rows)) * query(q)", "tensor<float>(dt{},qt{},x[16])"),
    ],
)
def test_a_feature_has_the_type_that_its_value_has(
    compiled: Compile, expression: str, kind: str
) -> None:
    types = ProfileTypes(compiled("1"), is_global=True)

    assert str(types.of(parse_expression(expression))) == kind


def test_every_feature_with_an_unknown_type_is_one_that_is_refused() -> None:
    assert REFUSED_TENSORS <= REFUSED
    assert not REFUSED & FEATURES.keys()
