"""The profiles of a package as we read them, compared with Vespa's."""

from __future__ import annotations

from pathlib import Path

from tests.app.derived_profiles import (
    derived_by_vespa,
    derived_read,
    differences,
    texts_of,
    written_by_vespa,
    written_read,
)
from vespa_colbert.app import (
    Application,
    ApplicationPackage,
    ApplicationSpec,
    read_application,
    read_package,
    read_schema,
    render_app,
)
from vespa_colbert.rank import parse_expression
from vespa_colbert.vespa_java import ApplicationReport, VespaJava

__all__ = ["assert_vespa_takes", "judge_package"]


def assert_vespa_takes(java: VespaJava, spec: ApplicationSpec, folder: Path) -> ApplicationPackage:
    """Return a printed package that Vespa took, and read and derived as we read it."""
    package = render_app(spec, folder, parse=parse_expression)
    report = java.validate_application(package.path)
    assert report.errors == ()
    judged = judge_package(java, read_application(package.path), report)
    assert {profile: faults for profile, faults in judged.items() if faults} == {}
    assert read_schema(package.schemas[0]) == spec.schemas[0]
    assert read_package(package.path) == package
    return package


def judge_package(
    java: VespaJava, application: Application, report: ApplicationReport
) -> dict[str, list[str]]:
    """Return schema and profile → how it differs from Vespa's; an empty list if it does not."""
    found: dict[str, list[str]] = {}
    schemas = [schema for schema in application.schemas if not schema.is_document]
    profiles = {(s.name, name): (s, s.profile(name)) for s in schemas for name in s.profile_names}
    theirs = {(s, name) for s, names in report.profiles.items() for name in names}
    for missing in profiles.keys() ^ theirs:
        side = "read" if missing in profiles else "derived"
        found[".".join(missing)] = [f"only {side}"]
    texts = list(dict.fromkeys(t for _, profile in profiles.values() for t in texts_of(profile)))
    answers = zip(texts, java.print_expressions(texts), strict=True)
    printed = {text: answer.text or text for text, answer in answers}
    for key in profiles.keys() & theirs:
        schema, profile = profiles[key]
        name, label = key[0], ".".join(key)
        derived = derived_by_vespa(report.profiles[name][key[1]])
        written = written_by_vespa(report.written[name][key[1]])
        found[label] = [
            *differences(derived_read(schema, profile, printed), derived),
            *differences(written_read(profile, printed), written),
        ]
    return found
