from __future__ import annotations

import pytest

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java


def test_vespa_prints_what_it_accepts_and_says_why_it_does_not_accept(java: VespaJava) -> None:
    printed, refused, unprintable = java.print_expressions(["a+b", "a+", "range(x{})"])
    assert (printed.text, printed.fault, printed.printing_fault) == ("a + b", None, None)
    assert refused.text is None
    assert not refused.is_accepted
    assert "Could not parse 'a+'" in (refused.fault or "")
    assert unprintable.is_accepted
    assert "can only have indexed bound dimensions" in (unprintable.printing_fault or "")


def test_many_texts_come_back_in_order(java: VespaJava) -> None:
    texts = [f"{number}" for number in range(2500)]
    assert [each.text for each in java.print_expressions(texts)] == texts


def test_an_expression_too_deep_for_java_is_refused_and_the_next_is_read(java: VespaJava) -> None:
    deep, next_one = java.print_expressions(["(" * 20_000 + "a" + ")" * 20_000, "a"])
    assert "stack overflowed" in (deep.fault or "")
    assert next_one.text == "a"


def test_half_a_surrogate_pair_is_no_text(java: VespaJava) -> None:
    with pytest.raises(VespaJavaError, match="text 1: character 2"):
        java.print_expressions(["a", "'a\ud800'"])
