"""In the worker: an application package through Vespa's own config model, as when deployed."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.jars import VESPA_VERSION
from vespa_colbert.vespa_java.jvm import (
    java_class,
    java_list,
    java_map,
    message_chain,
    proxy,
)
from vespa_colbert.vespa_java.report import ApplicationReport, DeployMessage, Properties
from vespa_colbert.vespa_java.written_profiles import written_profiles

__all__ = ["RANK_PROFILES", "Applications", "BuiltApplication", "file_facts"]

PROVIDER = "com.yahoo.config.model.application.provider"
IMPORTER = "ai.vespa.rankingexpression.importer"
IMPORTERS = (
    "vespa.VespaImporter",
    "onnx.OnnxImporter",
    "xgboost.XGBoostImporter",
    "lightgbm.LightGBMImporter",
)
RANK_PROFILES = "com.yahoo.vespa.config.search.RankProfilesConfig"

LARGE_BYTES = 1 << 20
"""Files from this size on are linked and not copied; their name, size and time stand for them."""

BUNDLES = "components"
"""Java reads the bundles of this folder while it preprocesses a package."""

NOT_CHECKED = {
    "vespa-verify-ranksetup-bin": (
        "whether the content nodes' C++ accepts every rank feature (vespa-verify-ranksetup is "
        "part of a Vespa installation)"
    ),
    "Unable to find config definition": "",
}
"""Part of a message that tells of a check which needs a Vespa installation → the same in words of
its own; empty where Vespa's own words say it."""

KEPT = 4
"""Built packages kept ready."""


class DeployLog:
    """Collects what Vespa tells the person who deploys."""

    def __init__(self) -> None:
        self.messages: list[DeployMessage] = []

    def log(self, level: Any, message: Any, *_throwable: Any) -> None:
        """Keep one message; Vespa gives a text or a supplier of one."""
        text = message.get() if hasattr(message, "get") else message
        self.messages.append(DeployMessage(level=str(level), text=str(text)))

    def logApplicationPackage(self, level: Any, message: Any) -> None:  # noqa: N802 - Java's name
        """Keep one message about the package."""
        self.log(level, message)


class FileRegistry:
    """The files that a package refers to, both where they are registered and where they are read.

    Source: FileDBRegistry and FileAcquirer, Vespa 8.700.24; a file that does not exist is refused
    as there.
    """

    def __init__(self, package: Path, blobs: Path) -> None:
        self.package, self.blobs = package, blobs
        self.found: dict[str, Path] = {}
        self.names: dict[str, str] = {}

    def addFile(self, relative_path: Any) -> Any:  # noqa: N802 - Java's name
        """Return a reference to a file of the package."""
        name = str(relative_path)
        path = Path(os.path.normpath(self.package / name))
        if not path.is_relative_to(self.package):
            raise java_class("java.lang.IllegalArgumentException")(f"{name} is outside the package")
        if not path.exists():
            raise java_class("java.lang.IllegalArgumentException")(
                f"{name}: there is no such file in the application package"
            )
        return self._keep(name, path)

    def addUri(self, uri: Any) -> Any:  # noqa: N802 - Java's name
        """Return a reference to a file that Vespa would fetch; it cannot be read here."""
        return self._keep(str(uri), Path("/nonexistent"))

    def addBlob(self, name: Any, blob: Any) -> Any:  # noqa: N802 - Java's name
        """Return a reference to bytes that Vespa made from the package."""
        digest = hashlib.sha256(str(name).encode()).hexdigest()[:16]
        path = self.blobs / digest / Path(str(name)).name
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = java_class("java.io.FileOutputStream")(str(path))
        if path.suffix == ".lz4":
            stream = java_class("net.jpountz.lz4.LZ4FrameOutputStream")(stream)
        try:
            stream.write(blob.array(), blob.arrayOffset(), blob.remaining())
        finally:
            stream.close()
        return self._keep(str(name), path)

    def addApplicationPackage(self) -> Any:  # noqa: N802 - Java's name
        """Return a reference to the whole package."""
        return self._keep("", self.package)

    def export(self) -> Any:
        """Return all references."""
        return java_list([])

    def waitFor(self, reference: Any, *_timeout: Any) -> Any:  # noqa: N802 - Java's name
        """Return the file behind a reference."""
        return java_class("java.io.File")(str(self.path_of(str(reference.value()))))

    def path_of(self, reference: str) -> Path:
        """Return the path behind a reference.

        Raises:
            VespaJavaError: If nothing was registered under it.
        """
        if reference not in self.found:
            raise VespaJavaError(f"{reference}: the package refers to a file that is not in it")
        return self.found[reference]

    def _keep(self, name: str, path: Path) -> Any:
        # No spaces: Vespa writes references into texts whose parts are separated by them.
        reference = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.found[reference] = path
        return java_class("com.yahoo.config.FileReference")(reference)


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
            errors = tuple(_own_path(text, work, folder) for text in message_chain(error))
            return replace(_logged(report, log, work), errors=errors)


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
    version = java_class("com.yahoo.component.Version").fromString(VESPA_VERSION)
    package = _preprocessed(report.folder, work, log)
    # Vespa registers files by their place in the package as it was uploaded.
    files = FileRegistry(work / "application", work / "blobs")
    validators = java_class(f"{PROVIDER}.ApplicationPackageXmlFilesValidator")
    validator = validators.create(package.getAppDir(), version)
    validator.checkApplication()
    validator.checkIncludedDirs(package)
    state = (
        java_class("com.yahoo.config.model.deploy.DeployState")
        .Builder()
        .applicationPackage(package)
        .fileRegistry(proxy("com.yahoo.config.application.api.FileRegistry", files))
        .deployLogger(proxy("com.yahoo.config.application.api.DeployLogger", log))
        .modelImporters(java_list(java_class(f"{IMPORTER}.{name}")() for name in IMPORTERS))
        .properties(_deploy_properties())
        .vespaVersion(version)
        .wantedNodeVespaVersion(version)
        .build()
    )
    registry = java_class("com.yahoo.config.model.NullConfigModelRegistry")()
    model = java_class("com.yahoo.vespa.model.VespaModel")(registry, state)
    parameters = java_class("com.yahoo.config.model.api.ValidationParameters")()
    validation = java_class("com.yahoo.vespa.model.application.validation.Validation")()
    validation.validate(model, parameters, state)
    report = replace(
        _logged(report, log, work), profiles=_profiles(model), written=written_profiles(state)
    )
    return BuiltApplication(report=report, model=model, files=files)


def _deploy_properties() -> Any:
    properties = java_class("com.yahoo.config.model.deploy.TestProperties")()
    return properties.setFirstTimeDeployment(True)


def _preprocessed(folder: Path, work: Path, log: DeployLog) -> Any:
    """Return the package after Vespa's preprocessing, in a working copy.

    Large files are linked into the result afterwards, so that models are not copied.
    """
    copy = work / "application"
    large = []
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_symlink() and not path.is_file():
            raise java_class("java.lang.IllegalArgumentException")(
                f"{place}: a link to a folder, or to nothing, which no deployment can pack"
            )
        if path.is_dir():
            (copy / place).mkdir(parents=True, exist_ok=True)
        elif path.stat().st_size >= LARGE_BYTES and place.parts[0] != BUNDLES:
            large.append(place)
        else:
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / place)
    copy.mkdir(parents=True, exist_ok=True)
    packages = java_class(f"{PROVIDER}.FilesApplicationPackage")
    package = packages.fromDir(java_class("java.io.File")(str(copy)), java_map())
    zone = java_class("com.yahoo.config.provision.Zone").defaultZone()
    logger = proxy("com.yahoo.config.application.api.DeployLogger", log)
    package = package.preprocess(zone, logger)
    for place in large:
        for base in (copy, Path(str(package.getAppDir()))):
            (base / place).symlink_to((folder / place).resolve())
    _warn_of_extensions(package, log)
    return package


def _warn_of_extensions(package: Any, log: DeployLog) -> None:
    """Log what Vespa says of files with an extension that it does not expect.

    Source: SessionRepository.validateFileExtensions, Vespa 8.700.24: a warning when self-hosted.
    """
    try:
        package.validateFileExtensions()
    except java_class("java.lang.IllegalArgumentException") as error:
        log.log("WARNING", str(error.getMessage()))


def _logged(report: ApplicationReport, log: DeployLog, work: Path) -> ApplicationReport:
    """Return the report with the deploy log, checks that could not be made set apart."""
    messages, missing = [], []
    for each in log.messages:
        text = _own_path(each.text, work, report.folder)
        words = [words for part, words in NOT_CHECKED.items() if part in text]
        if words:
            missing.append(words[0] or text)
        else:
            messages.append(replace(each, text=text))
    return replace(report, messages=tuple(messages), not_checked=tuple(missing))


def _own_path(text: str, work: Path, folder: Path) -> str:
    """Return a message that names the package's own path instead of the working copy's."""
    copy = f"{work}/application"
    return text.replace(f"{copy}/.preprocessed", str(folder)).replace(copy, str(folder))


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
