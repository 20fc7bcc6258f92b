"""In the worker: an application package through Vespa's own config model, as when deployed."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.deployment import (
    LARGE_BYTES,
    DeployLog,
    FileRegistry,
    build_model,
    deploy_builder,
    logged,
    own_path,
    validate_model,
)
from vespa_colbert.vespa_java.jars import VESPA_VERSION
from vespa_colbert.vespa_java.jvm import java_class, message_chain
from vespa_colbert.vespa_java.report import ApplicationReport, Properties
from vespa_colbert.vespa_java.written_profiles import written_profiles

__all__ = ["RANK_PROFILES", "Applications", "BuiltApplication", "file_facts"]

RANK_PROFILES = "com.yahoo.vespa.config.search.RankProfilesConfig"

KEPT = 4
"""Built packages kept ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltApplication:
    """A package that Vespa took, with the model it built from it.

    Attributes:
        report: The judgement.
        model: The com.yahoo.vespa.model.VespaModel.
        files: The package's files.
    """

    report: ApplicationReport
    model: Any
    files: FileRegistry

    def config(self, class_name: str, config_id: str) -> Any:
        """Return a configuration as Vespa derives it for one part of the system."""
        return self.model.getConfig(java_class(class_name), config_id)

    def schema_config_id(self, schema: str) -> str:
        """Return the id under which the derived configuration of a schema is found.

        Raises:
            VespaJavaError: If no content cluster has that schema.
        """
        found = {}
        for cluster in self.model.getSearchClusters():
            for database in cluster.getDocumentDbs():
                found[str(database.getName())] = str(database.getConfigId())
        if schema not in found:
            raise VespaJavaError(
                f"{self.report.folder}: expected a schema among {sorted(found)}, got {schema!r}"
            )
        return found[schema]


class Applications:
    """Builds packages, and keeps the last few built ones ready.

    Args:
        scratch: Folder for working copies; the packages themselves are never written to.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.numbers = itertools.count()
        self.kept: dict[tuple[Path, str], BuiltApplication] = {}

    def validate(self, folder: Path) -> ApplicationReport:
        """Return Vespa's judgement of a package, read again each time."""
        self.kept = {key: built for key, built in self.kept.items() if key[0] != folder}
        built = self._build(folder)
        if isinstance(built, ApplicationReport):
            return built
        self.kept[folder, fingerprint(folder)] = built
        return built.report

    def require(self, folder: Path) -> tuple[BuiltApplication, str]:
        """Return a package built by Vespa, and the checksum of what it was built from.

        Raises:
            VespaJavaError: If Vespa refuses the package.
        """
        checksum = fingerprint(folder)
        built = self.kept.get((folder, checksum)) or self._build(folder)
        if isinstance(built, ApplicationReport):
            raise VespaJavaError(
                f"{folder}: Vespa refuses this application package: " + "; ".join(built.errors)
            )
        self.kept.pop((folder, checksum), None)
        self.kept[folder, checksum] = built
        while len(self.kept) > KEPT:
            oldest = self.kept.pop(next(iter(self.kept)))
            shutil.rmtree(oldest.files.package.parent, ignore_errors=True)
        return built, checksum

    def _build(self, folder: Path) -> BuiltApplication | ApplicationReport:
        """Return the built package, or the report of a refused one.

        Raises:
            VespaJavaError: If Java itself fails: no memory, a class missing from the jars.
        """
        work = self.scratch / f"application-{next(self.numbers)}"
        log = DeployLog()
        report = ApplicationReport(folder=folder, vespa_version=VESPA_VERSION)
        try:
            return _built(report, work, log)
        except java_class("java.lang.Throwable") as error:
            is_verdict = isinstance(error, java_class("java.lang.Exception"))
            if not is_verdict and not isinstance(error, java_class("java.lang.StackOverflowError")):
                raise
            errors = tuple(own_path(text, work, folder) for text in message_chain(error))
            return replace(logged(report, log, work), errors=errors)


def fingerprint(folder: Path) -> str:
    """Return a checksum of a folder: of what its small files hold, of name, size and time else."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        facts = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{facts.st_size}\0".encode())
        if facts.st_size < LARGE_BYTES:
            digest.update(path.read_bytes())
        else:
            digest.update(f"{facts.st_mtime_ns} {facts.st_ino}".encode())
    return digest.hexdigest()


def file_facts(path: Path) -> tuple[str, int, int, int]:
    """Return what stands for the content of a large file: its path, size, time and inode.

    Raises:
        VespaJavaError: If there is no such file.
    """
    if not path.is_file():
        raise VespaJavaError(f"{path}: there is no such file")
    facts = path.stat()
    return str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino


def _built(report: ApplicationReport, work: Path, log: DeployLog) -> BuiltApplication:
    """Return a package built and validated; what Vespa has against it comes as Java exceptions.

    Source: SessionPreparer.preprocess and VespaModelFactory.createAndValidateModel, Vespa 8.700.24.
    """
    files = FileRegistry(work / "application", work / "blobs")
    state = deploy_builder(report.folder, files, log).build()
    model = build_model(state)
    validate_model(model, state)
    report = replace(
        logged(report, log, work), profiles=_profiles(model), written=written_profiles(state)
    )
    return BuiltApplication(report=report, model=model, files=files)


def _profiles(model: Any) -> dict[str, dict[str, Properties]]:
    """Return schema → rank profile → derived properties."""
    found: dict[str, dict[str, Properties]] = {}
    for cluster in model.getSearchClusters():
        for database in cluster.getDocumentDbs():
            config = model.getConfig(java_class(RANK_PROFILES), database.getConfigId())
            found[str(database.getName())] = {
                str(profile.name()): tuple(
                    (str(pair.name()), str(pair.value())) for pair in profile.fef().property()
                )
                for profile in config.rankprofile()
            }
    return found
