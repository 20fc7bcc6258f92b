from __future__ import annotations

from pathlib import Path

import pytest

from tests.vespa_java.tiny_package import SCHEMA, write_package
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java

PROFILE = """
    rank-profile written inherits bm25 {
        inputs { query(factor) double: 2.5 }
        constants { half: 0.5 }
        function inline twice() { expression: 2 * constant(half) }
        function product(a, b) { expression: a * b }
        second-phase { expression: product(twice, 3) }
    }
"""


def test_profiles_are_given_as_written_before_vespa_compiles_them(
    java: VespaJava, tmp_path: Path
) -> None:
    end = SCHEMA.rindex("}")
    folder = write_package(tmp_path / "app", schema=SCHEMA[:end] + PROFILE + SCHEMA[end:])
    report = java.validate_application(folder)
    assert report.errors == ()
    written = dict(report.written["doc"]["written"])
    assert written["inline function twice()"] == "2 * constant(half)"
    assert written["function product(a,b)"] == "a * b"
    assert written["secondphase"] == "product(twice,3)"
    assert written["input query(factor)"] == "tensor()"
    assert written["default of query(factor)"] == "tensor():{2.5}"
    assert written["constant(half)"] == "tensor()"
    derived = dict(report.profiles["doc"]["written"])
    assert derived["rankingExpression(product).rankingScript"] == "a * b"
    assert "constant(half)" not in str(derived)


def test_a_refused_package_has_no_written_profiles(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app", schema="schema doc {")
    assert java.validate_application(folder).written == {}
