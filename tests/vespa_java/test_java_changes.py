"""What Vespa demands of a package that is deployed over another one."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.vespa_java.tiny_package import write_package
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java import ChangeReport, VespaJava

pytestmark = pytest.mark.java

SCHEMA = "schemas/doc.sd"
ROWS, BRIEF_ROWS = "tensor<float>(dt{},x[3])", "tensor<bfloat16>(dt{},x[3])"
OVERRIDE = (
    '<validation-overrides><allow until="{}">field-type-change</allow></validation-overrides>'
)


def compared(java: VespaJava, package: Path, folder: Path, before: str, after: str) -> ChangeReport:
    new = shutil.copytree(package, folder / "new")
    text = (new / SCHEMA).read_text()
    assert before in text
    (new / SCHEMA).write_text(text.replace(before, after))
    return java.compare_applications(package, new)


def test_the_same_package_changes_nothing(java: VespaJava, package: Path) -> None:
    report = java.compare_applications(package, package)
    assert (report.accepted, report.changes, report.blocked) == (True, (), ())
    assert report.not_checked


def test_a_tensor_of_another_type_must_be_fed_again_and_allowed(
    java: VespaJava, package: Path, tmp_path: Path
) -> None:
    report = compared(java, package, tmp_path, ROWS, BRIEF_ROWS)
    assert not report.accepted
    assert report.errors == ()
    (blocked,) = report.blocked
    assert blocked.override == "field-type-change"
    assert any(ROWS in each and BRIEF_ROWS in each for each in blocked.messages)
    (change,) = report.changes
    assert (change.kind, change.override, change.document_type) == (
        "refeed",
        "field-type-change",
        "doc",
    )


def test_an_override_that_the_package_has_allows_it(
    java: VespaJava, package: Path, tmp_path: Path
) -> None:
    new = shutil.copytree(package, tmp_path / "new")
    text = (new / SCHEMA).read_text()
    (new / SCHEMA).write_text(text.replace(ROWS, BRIEF_ROWS))
    soon = date.today() + timedelta(days=20)
    (new / "validation-overrides.xml").write_text(OVERRIDE.format(soon.isoformat()))
    report = java.compare_applications(package, new)
    assert (report.accepted, report.blocked) == (True, ())
    assert [each.override for each in report.changes] == ["field-type-change"]
    late = date.today() + timedelta(days=60)
    (new / "validation-overrides.xml").write_text(OVERRIDE.format(late.isoformat()))
    assert "30 days" in " ".join(java.compare_applications(package, new).errors)


def test_fast_rank_asks_for_a_restart(java: VespaJava, package: Path, tmp_path: Path) -> None:
    text = (package / SCHEMA).read_text()
    start = text.index("tensor<int8>(dt{},x[2])")
    line = text[start : text.index("attribute", start) + len("attribute")]
    report = compared(java, package, tmp_path, line, f"{line}\n attribute: fast-rank")
    assert report.accepted
    (change,) = report.changes
    assert (change.kind, change.override, change.document_type) == ("restart", "", "")
    assert "fast-rank" in change.message
    assert change.services


def test_a_package_that_vespa_refuses_in_any_case_has_errors(
    java: VespaJava, package: Path, tmp_path: Path
) -> None:
    report = compared(java, package, tmp_path, "tensor<int8>(dt{},x[2])", "tensor<int9>(dt{},x[2])")
    assert not report.accepted
    assert "int9" in " ".join(report.errors)
    assert str(tmp_path / "new") in str(report.new)


def test_a_running_package_that_vespa_refuses_is_an_error(java: VespaJava, tmp_path: Path) -> None:
    old = write_package(tmp_path / "old")
    (old / SCHEMA).write_text("schema doc {")
    with pytest.raises(VespaJavaError, match="refuses this application package"):
        java.compare_applications(old, old)
