from __future__ import annotations

from collections.abc import Callable

import pytest

from vespa_colbert.app import Constant, Function, Input, RankProfile, Rerank, Schema
from vespa_colbert.errors import SpecError
from vespa_colbert.tensor import TensorType

NUMBER = TensorType.parse("double")
ROW = TensorType.parse("tensor<float>(x[2])")


def number_input(default: int) -> Input:
    return Input(name="i", type=NUMBER, default=str(default))


def schema(*profiles: RankProfile) -> Schema:
    return Schema(name="doc", fields=(), rank_profiles=profiles)


def test_a_child_has_what_its_parents_have_and_replaces_what_it_states() -> None:
    parent = RankProfile(
        name="parent",
        inputs=(Input(name="a", type=NUMBER), Input(name="b", type=NUMBER)),
        constants=(Constant(name="c", type=NUMBER, value="1"),),
        functions=(Function(name="f", expression="1"), Function(name="g", expression="2")),
        first_phase="f",
        second_phase=Rerank(expression="g", rerank_count=7),
        match_features=("f",),
    )
    child = RankProfile(
        name="child",
        inherits=("parent",),
        inputs=(Input(name="b", type=ROW),),
        functions=(Function(name="g", arguments=("x",), expression="x"),),
        second_phase=Rerank(rerank_count=9),
    )
    assert schema(parent, child).profile("child") == RankProfile(
        name="child",
        inputs=(Input(name="a", type=NUMBER), Input(name="b", type=ROW)),
        constants=(Constant(name="c", type=NUMBER, value="1"),),
        functions=(
            Function(name="f", expression="1"),
            Function(name="g", arguments=("x",), expression="x"),
        ),
        first_phase="f",
        second_phase=Rerank(expression="g", rerank_count=9),
        match_features=("f",),
    )


def test_grandparents_count_and_the_order_of_profiles_does_not() -> None:
    profiles = (
        RankProfile(name="c", inherits=("b",)),
        RankProfile(name="b", inherits=("a",)),
        RankProfile(name="a", first_phase="1"),
    )
    assert schema(*profiles).profile("c").first_phase == "1"


def test_what_nothing_states_is_the_default_of_vespa() -> None:
    plain = RankProfile(name="p", second_phase=Rerank(expression="1"))
    assert schema(plain).profile("p").first_phase == "nativeRank"
    assert schema(plain).profile("p").second_phase == Rerank(expression="1", rerank_count=100)
    assert schema().profile("unranked").first_phase == "value(0)"
    assert schema().profile("default").first_phase == "nativeRank"


def test_a_count_without_an_expression_makes_no_phase() -> None:
    profile = RankProfile(name="p", second_phase=Rerank(rerank_count=3))
    assert schema(profile).profile("p").second_phase is None


def test_a_total_count_replaces_the_default_count() -> None:
    phase = Rerank(expression="1", total_rerank_count=5)
    assert schema(RankProfile(name="p", second_phase=phase)).profile("p").second_phase == phase


def test_default_may_name_itself_as_its_parent() -> None:
    profile = RankProfile(name="default", inherits=("default",), first_phase="1")
    assert schema(profile).profile("default").first_phase == "1"


def test_own_match_features_replace_those_of_the_parent() -> None:
    parent = RankProfile(name="a", match_features=("x", "y"))
    own = RankProfile(name="b", inherits=("a",), match_features=("z",))
    added = RankProfile(
        name="c", inherits=("a",), match_features=("y", "z"), match_features_inherit=("a",)
    )
    assert schema(parent, own).profile("b").match_features == ("z",)
    assert schema(parent, added).profile("c").match_features == ("x", "y", "z")


def test_two_parents_may_have_an_equal_input_and_an_equal_phase() -> None:
    both = [
        RankProfile(name=name, inputs=(Input(name="i", type=ROW),), first_phase="1")
        for name in ("a", "b")
    ]
    child = schema(*both, RankProfile(name="c", inherits=("a", "b"))).profile("c")
    assert child.inputs == (Input(name="i", type=ROW),)
    assert child.first_phase == "1"


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (lambda n: RankProfile(name=n, first_phase=f"{n} + 1"), "first-phase"),
        (lambda n: RankProfile(name=n, second_phase=Rerank(expression=n)), "second-phase"),
        (lambda n: RankProfile(name=n, global_phase=Rerank(rerank_count=ord(n))), "rerank-count"),
        (lambda n: RankProfile(name=n, functions=(Function(name="f", expression="1"),)), "'f'"),
        (lambda n: RankProfile(name=n, inputs=(number_input(ord(n)),)), "'i'"),
        (lambda n: RankProfile(name=n, match_features=(n,)), "match-features"),
    ],
)
def test_parents_that_contradict_each_other_are_refused(
    part: Callable[[str], RankProfile], why: str
) -> None:
    with pytest.raises(SpecError, match=why):
        schema(part("a"), part("b"), RankProfile(name="c", inherits=("a", "b")))


def test_an_unknown_parent_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(SpecError, match=r"'b' inherits 'c': expected a profile among .*default.*b"):
        schema(RankProfile(name="b", inherits=("c",)))


def test_a_cycle_is_refused() -> None:
    profiles = (RankProfile(name="a", inherits=("b",)), RankProfile(name="b", inherits=("a",)))
    with pytest.raises(SpecError, match="inherits itself: a → b → a"):
        schema(*profiles)


def test_match_features_are_taken_from_parents_alone() -> None:
    with pytest.raises(SpecError, match="no parent"):
        schema(RankProfile(name="a"), RankProfile(name="b", match_features_inherit=("a",)))


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(SpecError, match=r"schema doc: expected .* default, unranked, got 'x'"):
        schema().profile("x")
