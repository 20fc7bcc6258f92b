"""The ladder: what two judges were compared on, how far apart they were, and the verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

__all__ = ["ParityReport", "Rung", "RungCount", "Verdict"]


class Verdict(StrEnum):
    """What came out; what was not looked at is never a pass."""

    PASSED = "passed"
    FAILED = "FAILED"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One rung of the ladder.

    Attributes:
        name: What was compared.
        cases: Number of texts or pairs.
        values: Number of single values compared.
        worst: Largest difference; for exact rungs the number of values that differ.
        tolerance: What was allowed; 0 means exact.
        measure: How the difference is taken: ``exact``, ``absolute`` or ``relative``.
        verdict: What came out.
        note: The worst case in words, or why nothing was checked.
    """

    name: str
    cases: int
    values: int
    worst: float
    tolerance: float
    measure: str
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """All rungs of a comparison of two judges.

    Attributes:
        judges: The two names, ours first.
        rungs: From the ids up to the scores.
        versions: Judge or library → version.
    """

    judges: tuple[str, str]
    rungs: tuple[Rung, ...]
    versions: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether something was checked and no rung failed."""
        verdicts = [rung.verdict for rung in self.rungs]
        return Verdict.PASSED in verdicts and Verdict.FAILED not in verdicts

    @property
    def first_difference(self) -> Rung | None:
        """The lowest rung that failed: the reason for those above it."""
        return next((rung for rung in self.rungs if rung.verdict is Verdict.FAILED), None)

    def to_json(self) -> str:
        """Return the report as a JSON document; a difference without bound is null."""
        rungs = [asdict(rung) for rung in self.rungs]
        for rung in rungs:
            rung["worst"] = rung["worst"] if math.isfinite(rung["worst"]) else None
        document = {
            "judges": list(self.judges),
            "passed": self.passed,
            "rungs": rungs,
            "versions": dict(self.versions),
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


@dataclass(slots=True)
class RungCount:
    """A rung while its cases are counted.

    Attributes:
        name: What is compared.
        tolerance: What is allowed; 0 for exact.
        measure: ``exact``, ``absolute`` or ``relative``.
        remark: What a reader has to know of a rung that was checked.
    """

    name: str
    tolerance: float
    measure: str
    cases: int = field(default=0, init=False)
    values: int = field(default=0, init=False)
    worst: float = field(default=0.0, init=False)
    note: str = field(default="", init=False)
    remark: str = ""
    _largest: float = field(default=0.0, init=False)

    def add(self, case: str, difference: float, values: int) -> None:
        """Count one case: its difference and how many values it had."""
        self.cases += 1
        self.values += values
        exact = self.measure == "exact"
        difference = math.inf if math.isnan(difference) else difference
        if difference > max(self.tolerance, self._largest):
            self._largest = difference
            self.note = (
                f"{case}: {f'{difference:.0f} values differ' if exact else f'{difference:.3g}'}"
            )
        self.worst = self.worst + difference if exact else max(self.worst, difference)

    def shapes_differ(self, case: str, ours: object, theirs: object) -> None:
        """Count a case whose two sides cannot be laid over each other: never within tolerance."""
        self.cases += 1
        self.worst = self._largest = math.inf
        self.note = f"{case}: {ours} against {theirs}"

    def rung(self, reason: str = "no case was given") -> Rung:
        """Return the finished rung; without a case it was not checked, for the reason given.

        Nor was it if no case had a value, as results without a hit: two empty sides say nothing.
        """
        if self.cases == 0:
            verdict, notes = Verdict.NOT_CHECKED, [reason]
        elif self.values == 0 and self.worst == 0:
            verdict = Verdict.NOT_CHECKED
            notes = ["no case has a value to compare", self.remark]
        else:
            verdict = Verdict.PASSED if self.worst <= self.tolerance else Verdict.FAILED
            notes = [self.note, self.remark]
        return Rung(
            name=self.name,
            cases=self.cases,
            values=self.values,
            worst=self.worst,
            tolerance=self.tolerance,
            measure=self.measure,
            verdict=verdict,
            note="; ".join(filter(None, notes)),
        )
