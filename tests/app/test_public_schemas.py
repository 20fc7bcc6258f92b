"""Schemas of public applications, read from a folder that the project does not hold.

``VESPA_COLBERT_SCHEMA_CORPUS`` names it: checkouts of Vespa's source and of its sample
applications, whole or in part. What Vespa takes has to be read, and as Vespa reads it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.app.judged_package import judge_package
from tests.app.public_schemas import SchemaFiles, schema_files, write_package
from vespa_colbert.app import read_application
from vespa_colbert.errors import SchemaSyntaxError, SpecError
from vespa_colbert.vespa_java import VespaJava

CORPUS = "VESPA_COLBERT_SCHEMA_CORPUS"

pytestmark = [
    pytest.mark.java,
    pytest.mark.slow,
    pytest.mark.skipif(CORPUS not in os.environ, reason=f"{CORPUS} names no folder of schemas"),
]


def test_public_schemas_are_read_as_vespa_reads_them(java: VespaJava, tmp_path: Path) -> None:
    counts = Counter[str]()
    faults = []
    for number, schema in enumerate(schema_files(Path(os.environ[CORPUS]))):
        app = write_package(schema, tmp_path / f"app-{number}")
        faults += _faults(java, schema, app, counts)
    summary = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(summary)  # noqa: T201 - shown by pytest -s and with a failure
    assert counts["profiles equal"] > 0, f"no schema in {os.environ[CORPUS]}"
    assert not faults, "\n".join((summary, *faults))


def _faults(java: VespaJava, schema: SchemaFiles, app: Path, counts: Counter[str]) -> list[str]:
    """Return what is wrong with a schema as we read it, and count it."""
    where = f"{schema.folder}: {schema.name}"
    report = java.validate_application(app)
    try:
        application = read_application(app)
    except (SchemaSyntaxError, SpecError) as error:
        counts["schemas refused by both" if report.errors else "schemas refused here alone"] += 1
        return [] if report.errors else [f"{where}: {error}"]
    if report.errors:
        counts["schemas read, refused by Vespa"] += 1
        return []
    counts["schemas read by both"] += 1
    found = []
    for profile, faults in judge_package(java, application, report).items():
        counts["profiles differ" if faults else "profiles equal"] += 1
        found += [f"{where}, {profile}: {fault}" for fault in faults]
    return found
