"""The whole of it: order, Vespa's verdict, what cannot be read, the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.validate.packages import SCHEMA, SERVICES, write_package
from vespa_colbert.errors import SpecError
from vespa_colbert.validate import Severity, validate_application
from vespa_colbert.vespa_java import VespaJava

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", name="java")
def java_fixture() -> Iterator[VespaJava]:
    with VespaJava(timeout_seconds=60.0) as judge:
        yield judge


def test_the_worst_comes_first_and_then_files_and_lines(tmp_path: Path) -> None:
    schema = SCHEMA.replace("bm25(text) + attribute(number)", "foo(1) + query(a)")
    schema = schema.replace("value * query(weight)", "value * foo(2) * query(weight)")
    found = validate_application(write_package(tmp_path / "app", schema=schema)).findings

    assert [each.severity for each in found] == [
        Severity.ERROR, Severity.ERROR, *[Severity.WARNING] * 1, Severity.NOT_CHECKED,
    ]  # fmt: skip
    lines = [each.fault.place.line for each in found if each.severity is Severity.ERROR]
    assert lines == sorted(lines)


def test_without_java_it_is_said_that_vespa_was_not_asked(tmp_path: Path) -> None:
    found = validate_application(write_package(tmp_path / "app"))

    assert (found.vespa_version, found.is_accepted, found.is_good) == ("", None, True)
    assert [each.code for each in found.findings] == ["vespa-not-checked"]


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="application package"):
        validate_application(tmp_path / "nosuch")


def test_an_entity_of_services_xml_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    declared = f'<!DOCTYPE services [<!ENTITY e SYSTEM "{secret.as_uri()}">]>\n<services'
    services = SERVICES.replace("<services", declared).replace("{components}", "&e;")
    found = validate_application(write_package(tmp_path / "app", services=services, components=""))

    assert "hidden" not in repr(found)


def test_a_folder_without_schemas_or_services_says_what_is_missing(tmp_path: Path) -> None:
    found = validate_application(tmp_path)

    assert [(each.code, each.fault.place.file) for each in found.findings] == [
        ("vespa-not-checked", ""),
        ("not-read", "services.xml"),
    ]


@pytest.mark.java
def test_vespa_accepts_what_we_find_and_it_lets_pass(tmp_path: Path, java: VespaJava) -> None:
    schema = SCHEMA.replace(
        "bm25(text) + attribute(number)", "foo(1) + query(nope) + closeness(field,text)"
    )
    found = validate_application(write_package(tmp_path / "app", schema=schema), java)

    assert found.is_accepted
    assert {each.code for each in found.of(Severity.ERROR)} == {
        "unknown-feature",
        "distance-of-no-vectors",
    }


@pytest.mark.java
def test_vespa_refuses_with_the_line_that_it_tells(tmp_path: Path, java: VespaJava) -> None:
    schema = SCHEMA.replace("field plain type string", "field plain typ string")
    found = validate_application(write_package(tmp_path / "app", schema=schema), java)

    line = next(n for n, text in enumerate(schema.split("\n"), 1) if " typ " in text)
    refusal = next(each for each in found.findings if each.code == "vespa-refuses")
    assert (refusal.fault.place.file, refusal.fault.place.line) == ("schemas/doc.sd", line)
    assert not found.is_good


@pytest.mark.java
def test_a_fault_of_services_xml_has_its_line(tmp_path: Path, java: VespaJava) -> None:
    services = SERVICES.replace("<search/>", "<nonsense/>")
    found = validate_application(write_package(tmp_path / "app", services=services), java)

    refusal = next(each for each in found.findings if each.code == "vespa-refuses")
    assert (refusal.fault.place.file, refusal.fault.place.line) == ("services.xml", 4)


@pytest.mark.java
def test_a_package_that_we_cannot_read_still_gets_vespas_verdict(
    tmp_path: Path, java: VespaJava
) -> None:
    schema = SCHEMA.replace("1.0", "1.0").replace(
        "        first-phase {",
        "        rank-properties {\n            a b\n        }\n        first-phase {",
        1,
    )
    found = validate_application(write_package(tmp_path / "app", schema=schema), java)

    assert found.is_accepted is not None
    assert "not-read" in {each.code for each in found.findings}


@pytest.mark.java
def test_a_warning_of_vespa_gives_way_to_ours_which_has_a_line(
    tmp_path: Path, java: VespaJava
) -> None:
    services = SERVICES.replace('mode="index"', 'mode="streaming"')
    found = validate_application(write_package(tmp_path / "app", services=services), java)

    warnings = [each for each in found.of(Severity.WARNING) if "hnsw" in each.fault.reason.lower()]
    assert [each.code for each in warnings] == ["hnsw-in-streaming"]


@pytest.mark.java
def test_the_committed_package_is_good(java: VespaJava) -> None:
    found = validate_application(ROOT / "app_package", java)

    assert found.is_accepted
    assert [*found.of(Severity.ERROR), *found.of(Severity.WARNING)] == []
