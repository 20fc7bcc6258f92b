"""What is wrong with an application package: each thing with its place, reason and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = ["Fault", "Finding", "Findings", "Place", "Severity", "in_order"]


class Severity(Enum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where something stands.

    Attributes:
        file: Path in the package; empty for the package as a whole.
        line: From 1; 0 for the file as a whole.
    """

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What one check found, once.

    Attributes:
        place: Where.
        reason: What is there and what comes of it.
        remedy: What to do; empty if that is up to whoever reads it.
        about: What it is about; two of one check in one place about the same are one, as those
            of profiles that inherit one expression. Empty if the reason says that.
    """

    place: Place
    reason: str
    remedy: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or that could not be looked at.

    Attributes:
        code: Which check found it, in words with dashes.
        severity: How bad it is.
        fault: Where, why, and what to do.
    """

    code: str
    severity: Severity
    fault: Fault

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints: code, severity, file, line, reason, remedy."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "file": self.fault.place.file,
            "line": self.fault.place.line,
            "reason": self.fault.reason,
            "remedy": self.fault.remedy,
        }

    def __str__(self) -> str:
        place = str(self.fault.place)
        shown = f"{place}: " if place else ""
        line = f"{self.severity.value}: {shown}{self.fault.reason} [{self.code}]"
        return f"{line}\n    {self.fault.remedy}" if self.fault.remedy else line


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that is wrong with a package.

    Attributes:
        folder: The package.
        vespa_version: The release of Vespa that judged; empty if it was not asked.
        is_accepted: Whether Vespa takes it; ``None`` if it was not asked.
        findings: The worst first, then by file and line.
        profiles: Schema → names of its rank profiles.
    """

    folder: Path
    vespa_version: str
    is_accepted: bool | None
    findings: tuple[Finding, ...]
    profiles: Mapping[str, tuple[str, ...]]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity, in order."""
        return tuple(each for each in self.findings if each.severity is severity)

    @property
    def is_good(self) -> bool:
        """Whether nothing is an error; what could not be checked is none."""
        return not self.of(Severity.ERROR)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings without repetitions, the worst first, then by file and line."""
    ranks = list(Severity)
    return tuple(
        sorted(
            dict.fromkeys(findings),
            key=lambda each: (
                ranks.index(each.severity),
                each.fault.place,
                each.code,
                each.fault.reason,
            ),
        )
    )
