"""Vespa's own judgement of a package as findings, with the place where the message tells it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from vespa_colbert.validate.findings import Fault, Finding, Place, Severity
from vespa_colbert.validate.table import CHECKS
from vespa_colbert.validate.written import Places
from vespa_colbert.vespa_java import ApplicationReport

__all__ = ["NOT_ASKED", "findings_of"]

REFUSED, WARNED, MISSED = "vespa-refuses", "vespa-warns", "vespa-not-checked"
LINE = re.compile(r"at line (?P<line>\d+), column")
SCHEMA_FILE = re.compile(r"from '(?P<file>[\w.-]+\.(?:sd|profile))'")
XML_PLACE = re.compile(r"error in (?P<file>[\w./-]+\.xml):[^\[]*\[(?P<line>\d+):\d+\]")
ELEMENT = re.compile(r'element "(?P<name>[\w.:-]+)"')
SCHEMA = re.compile(r"schema '(?P<name>\w+)'")
PROFILE = re.compile(r"rank[ -]profile '(?P<name>[\w.-]+)'", re.IGNORECASE)
FIELD = re.compile(r"field '(?P<name>\w+)'")

NOT_ASKED = Finding(
    code=MISSED,
    severity=Severity.NOT_CHECKED,
    fault=Fault(
        place=Place(),
        reason="Vespa's own checks were not made: XML schema, config model, validators",
        remedy="leave --no-java out to have Vespa's Java judge the package",
    ),
)


def findings_of(
    report: ApplicationReport, places: Places, found: Collection[str]
) -> Iterator[Finding]:
    """Yield what Vespa says of a package.

    Args:
        report: Its judgement.
        places: What stands where in the schemas.
        found: Codes of our own checks that found something; where one says the same with a line,
            Vespa's warning is left out.
    """
    if report.errors:
        text = ": ".join(dict.fromkeys(_one_line(each) for each in report.errors))
        whole = "\n".join(report.errors)
        yield _finding(REFUSED, Severity.ERROR, text, _place(whole, report.folder, places))
    replaced = [each.said_by_vespa for each in CHECKS if each.said_by_vespa and each.code in found]
    for text in dict.fromkeys(report.warnings):
        if not any(part in text for part in replaced):
            place = _place(text, report.folder, places)
            yield _finding(WARNED, Severity.WARNING, _one_line(text), place)
    for text in report.not_checked:
        yield _finding(MISSED, Severity.NOT_CHECKED, _one_line(text), Place())


def _finding(code: str, severity: Severity, reason: str, place: Place) -> Finding:
    return Finding(code=code, severity=severity, fault=Fault(place=place, reason=reason))


def _one_line(text: str) -> str:
    """Return a message without the list of all tokens that might have stood somewhere."""
    return " ".join(text.partition("Was expecting")[0].split())


def _place(text: str, folder: Path, places: Places) -> Place:
    """Return the place that a message tells, as exactly as it does."""
    if (found := XML_PLACE.search(text)) is not None:
        return _xml_place(text, folder, found["file"], int(found["line"]))
    file, line = SCHEMA_FILE.search(text), LINE.search(text)
    if file is not None:
        paths = [path for path in folder.rglob(file["file"]) if path.is_file()]
        shown = paths[0].relative_to(folder).as_posix() if len(paths) == 1 else file["file"]
        return Place(file=shown, line=int(line["line"]) if line is not None else 0)
    if "services.xml" in text:
        return Place(file="services.xml")
    return _named_place(text, places)


def _xml_place(text: str, folder: Path, file: str, line: int) -> Place:
    """Return the place of the element that a message names.

    Vespa counts lines in a copy that it wrote itself, in which some are joined.
    """
    element = ELEMENT.search(text)
    path = folder / file
    if element is None or not path.is_file():
        return Place(file=file)
    start = re.compile(rf"<{re.escape(element['name'])}[\s/>]")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    found = [number for number, each in enumerate(lines, 1) if start.search(each)]
    return Place(file=file, line=min(found, key=lambda each: abs(each - line), default=0))


def _named_place(text: str, places: Places) -> Place:
    """Return where the field or profile is declared that a message names."""
    schema = SCHEMA.search(text)
    for kind, pattern in (("profile", PROFILE), ("field", FIELD)):
        name = pattern.search(text)
        if name is None:
            continue
        known = [
            place
            for key, place in places.named.items()
            if key[0] == kind
            and key[2] == name["name"]
            and (schema is None or key[1] == schema["name"])
        ]
        if known:
            return known[0]
    return Place(file=f"schemas/{schema['name']}.sd") if schema is not None else Place()
