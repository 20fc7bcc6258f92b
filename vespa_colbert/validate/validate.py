"""An application package → everything that is wrong with it: Vespa's judgement, then our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vespa_colbert.embedder.pooling import UNPOOLED, TokenPooling
from vespa_colbert.errors import SpecError
from vespa_colbert.validate.findings import Fault, Finding, Findings, Place, Severity, in_order
from vespa_colbert.validate.package import Package
from vespa_colbert.validate.table import CHECKS
from vespa_colbert.validate.verdict import NOT_ASKED, findings_of
from vespa_colbert.vespa_java import ApplicationReport, VespaJava

__all__ = ["validate_application"]


def validate_application(
    folder: Path, java: VespaJava | None = None, *, pooling: TokenPooling = UNPOOLED
) -> Findings:
    """Return what is wrong with an application package, any package, ours or not.

    What cannot be read here is a finding of its own, and never taken for good. The package is not
    written to, nothing in it is run, and nothing is fetched.

    Args:
        folder: The package, as it would be deployed.
        java: Vespa's own code, asked first; ``None`` for our own checks alone, which the findings
            then say.
        pooling: How token vectors are to be pooled, which is said nowhere in a package.

    Raises:
        SpecError: If there is no such folder.
        VespaJavaError: If Java itself fails.
    """
    if not folder.is_dir():
        raise SpecError(f"{folder}: expected the folder of an application package, got none")
    folder = folder.absolute()
    report = None if java is None else java.validate_application(folder)
    package = Package(folder=folder, pooling=pooling)
    own = tuple(_own(package))
    return Findings(
        folder=folder,
        vespa_version="" if report is None else report.vespa_version,
        is_accepted=None if report is None else report.accepted,
        findings=in_order((*_of_vespa(report, package, own), *own)),
        profiles=_profiles(report, package),
    )


def _profiles(report: ApplicationReport | None, package: Package) -> dict[str, tuple[str, ...]]:
    """Return schema → rank profiles, as Vespa has them; as they are written if it was not asked."""
    if report is not None:
        return {name: tuple(sorted(each)) for name, each in report.profiles.items()}
    return {each.name: tuple(sorted(each.profile_names)) for each in package.application.schemas}


def _of_vespa(
    report: ApplicationReport | None, package: Package, own: tuple[Finding, ...]
) -> Iterator[Finding]:
    if report is None:
        yield NOT_ASKED
    else:
        yield from findings_of(report, package.places, {each.code for each in own})


def _own(package: Package) -> Iterator[Finding]:
    """Yield what our own checks find; a check that fails is said to, and the others go on."""
    for check in CHECKS:
        try:
            found = list(check.find(package))
        except RecursionError:
            reason = f"{check.code}: the package is nested too deeply"
            fault = Fault(place=Place(), reason=reason)
            yield Finding(code="not-read", severity=Severity.NOT_CHECKED, fault=fault)
            continue
        once = {(each.place, each.about or each.reason): each for each in reversed(found)}
        for fault in once.values():
            yield Finding(code=check.code, severity=check.severity, fault=fault)
