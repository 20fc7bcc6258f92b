"""Schemas of our own, one a construct, read as Vespa reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.judged_package import judge_package
from tests.app.public_schemas import schema_files, write_package
from vespa_colbert.app import read_application, read_schema, render_schema
from vespa_colbert.vespa_java import VespaJava

VARIANTS = Path(__file__).with_name("variants") / "schemas"
CASES = {schema.name: schema for schema in schema_files(VARIANTS)}


@pytest.mark.java
@pytest.mark.parametrize("name", CASES)
def test_a_variant_is_read_as_vespa_reads_it(java: VespaJava, tmp_path: Path, name: str) -> None:
    app = write_package(CASES[name], tmp_path / "app")
    report = java.validate_application(app)
    assert report.errors == ()
    judged = judge_package(java, read_application(app), report)
    assert {f"{name}.default", f"{name}.unranked"} <= judged.keys()
    assert {profile: faults for profile, faults in judged.items() if faults} == {}


@pytest.mark.parametrize("name", [name for name, schema in CASES.items() if len(schema.files) == 1])
def test_a_variant_is_printed_and_read_back_as_it_was(tmp_path: Path, name: str) -> None:
    schema = read_schema(CASES[name].files[name])
    path = tmp_path / f"{name}.sd"
    path.write_text(render_schema(schema), encoding="utf-8")
    assert read_schema(path) == schema
