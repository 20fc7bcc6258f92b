"""Print and acceptance, judged by Vespa's own parser."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.rank.expression_trees import TREES, meaning
from tests.rank.mutations import EXPRESSIONS, mutated
from vespa_colbert.errors import ExpressionSyntaxError
from vespa_colbert.rank.language.nodes import Node
from vespa_colbert.rank.language.parser import parse_expression
from vespa_colbert.rank.language.vespa_text import vespa_text
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

SEED = 8_700_24

REFUSED_BY_US = {
    "expected a size, as in": "Vespa's content nodes know no dimension without a size",
    "expected a number to have cells of type double": "nor a number with other cells",
    "does not end in a backslash": "Vespa prints such a label so that it cannot read it again",
    "expected indexed dimensions": "Vespa reads range(x{}) and fails when it prints it",
    "expected at most": "our limits of depth and length; Vespa's stack overflows at some depth",
}
"""Words of our message → why we refuse what Vespa's container accepts."""

PRINTED_OTHERWISE = {"tensor():[1]": "tensor():{1}"}
"""Vespa prints a number written as a list so that its parser refuses it; we print a cell."""

FEW, MANY = 200, 5_000
FEW_TEXTS, MANY_TEXTS = 100, 1_000


def check_tree(tree: Node, judge: VespaJava) -> None:
    """Check that a tree prints what Vespa accepts and prints the same."""
    text = str(tree)
    parsed = parse_expression(text)
    assert str(parsed) == text
    assert meaning(parsed) == meaning(tree)
    (found,) = judge.print_expressions([text])
    assert found.is_accepted, f"{text}: {found.fault}"
    assert vespa_text(parsed) == found.text


class TestTrees:
    @settings(max_examples=FEW, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tree=TREES)
    def test_vespa_accepts_and_prints_the_same(self, judge: VespaJava, tree: Node) -> None:
        check_tree(tree, judge)

    @pytest.mark.slow
    @settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tree=TREES)
    def test_vespa_accepts_and_prints_all_the_same(self, judge: VespaJava, tree: Node) -> None:
        check_tree(tree, judge)


def ours(text: str) -> tuple[Node | None, str]:
    """Return the tree of a text, or why there is none."""
    try:
        return parse_expression(text, strict_grouping=False), ""
    except ExpressionSyntaxError as error:
        return None, str(error)


def check_texts(texts: list[str], judge: VespaJava) -> int:
    """Check each text against Vespa's parser; return how many Vespa accepts."""
    accepted = 0
    for text, found in zip(texts, judge.print_expressions(texts), strict=True):
        node, reason = ours(text)
        accepted += found.is_accepted
        if node is None:
            excused = any(words in reason for words in REFUSED_BY_US)
            assert not found.is_accepted or excused, f"{text!r} is refused: {reason}"
            continue
        assert found.is_accepted, f"{text!r} is accepted; Vespa: {found.fault}"
        printed = str(node)
        assert str(parse_expression(printed, strict_grouping=False)) == printed
        if text not in PRINTED_OTHERWISE:
            assert vespa_text(node) == found.text, text
    return accepted


class TestTexts:
    def test_every_expression_is_read_as_vespa_reads_it(self, judge: VespaJava) -> None:
        assert check_texts(EXPRESSIONS, judge) > len(EXPRESSIONS) // 2

    def test_changed_ones_are_accepted_when_vespa_accepts(self, judge: VespaJava) -> None:
        assert check_texts(mutated(FEW_TEXTS, SEED), judge) > 0

    @pytest.mark.slow
    def test_many_changed_ones_are_accepted_when_vespa_accepts(self, judge: VespaJava) -> None:
        assert check_texts(mutated(MANY_TEXTS, SEED + 1), judge) > MANY_TEXTS // 10

    @pytest.mark.parametrize(
        "text", ["tensor(x[]):{{x:0}:1}", "tensor<float>():{{}:1}", "tensor(x{}):{'a\\':1}"]
    )
    def test_what_we_alone_refuse_vespa_accepts(self, judge: VespaJava, text: str) -> None:
        (found,) = judge.print_expressions([text])
        assert found.is_accepted
        assert ours(text)[0] is None

    @pytest.mark.parametrize("text", ["range(x{})", "diag(x{},y[2])", "random(x{})"])
    def test_vespa_cannot_print_a_pattern_of_labels(self, judge: VespaJava, text: str) -> None:
        (found,) = judge.print_expressions([text])
        assert found.is_accepted
        assert found.printing_fault is not None
        assert ours(text)[0] is None

    def test_vespa_refuses_what_it_prints_for_a_number_in_brackets(self, judge: VespaJava) -> None:
        ((text, printed),) = PRINTED_OTHERWISE.items()
        first, second = judge.print_expressions([text, printed])
        assert first.text == printed
        assert not second.is_accepted
        assert vespa_text(parse_expression(text)) == "tensor():{{}:1}"

    def test_vespa_prints_a_short_label_without_the_quotes_it_needs(self, judge: VespaJava) -> None:
        first, second = judge.print_expressions(["t{'a b'}", "t{a b}"])
        assert first.text == "t{a b}"
        assert not second.is_accepted
        assert str(parse_expression("t{'a b'}")) == 't{"a b"}'
