"""In the worker: a package made ready for Vespa's config model, its files, its log, its checks."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java.jars import VESPA_VERSION
from vespa_colbert.vespa_java.jvm import java_class, java_list, java_map, proxy
from vespa_colbert.vespa_java.report import ApplicationReport, DeployMessage

__all__ = [
    "LARGE_BYTES",
    "DeployLog",
    "FileRegistry",
    "build_model",
    "deploy_builder",
    "logged",
    "own_path",
    "validate_model",
]

PROVIDER = "com.yahoo.config.model.application.provider"
IMPORTER = "ai.vespa.rankingexpression.importer"
IMPORTERS = (
    "vespa.VespaImporter",
    "onnx.OnnxImporter",
    "xgboost.XGBoostImporter",
    "lightgbm.LightGBMImporter",
)
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


def deploy_builder(
    folder: Path, files: FileRegistry, log: DeployLog, *, is_first: bool = True
) -> Any:
    """Return the builder of a package's DeployState, its XML files checked.

    Args:
        folder: The package.
        files: Of its working copy; Vespa registers files by their place in the package as it was
            uploaded.
        log: Where Vespa's messages go.
        is_first: Whether nothing is deployed yet.
    """
    version = java_class("com.yahoo.component.Version").fromString(VESPA_VERSION)
    package = _preprocessed(folder, files.package.parent, log)
    validators = java_class(f"{PROVIDER}.ApplicationPackageXmlFilesValidator")
    validator = validators.create(package.getAppDir(), version)
    validator.checkApplication()
    validator.checkIncludedDirs(package)
    properties = java_class("com.yahoo.config.model.deploy.TestProperties")()
    return (
        java_class("com.yahoo.config.model.deploy.DeployState")
        .Builder()
        .applicationPackage(package)
        .fileRegistry(proxy("com.yahoo.config.application.api.FileRegistry", files))
        .deployLogger(proxy("com.yahoo.config.application.api.DeployLogger", log))
        .modelImporters(java_list(java_class(f"{IMPORTER}.{name}")() for name in IMPORTERS))
        .properties(properties.setFirstTimeDeployment(is_first))
        .vespaVersion(version)
        .wantedNodeVespaVersion(version)
    )


def build_model(state: Any) -> Any:
    """Return the VespaModel of a DeployState."""
    registry = java_class("com.yahoo.config.model.NullConfigModelRegistry")()
    return java_class("com.yahoo.vespa.model.VespaModel")(registry, state)


def validate_model(model: Any, state: Any) -> Any:
    """Return what must be done about the changes that a validated model makes, a java.util.List."""
    parameters = java_class("com.yahoo.config.model.api.ValidationParameters")()
    validation = java_class("com.yahoo.vespa.model.application.validation.Validation")()
    return validation.validate(model, parameters, state)


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


def logged(report: ApplicationReport, log: DeployLog, work: Path) -> ApplicationReport:
    """Return the report with the deploy log, checks that could not be made set apart."""
    messages, missing = [], []
    for each in log.messages:
        text = own_path(each.text, work, report.folder)
        words = [words for part, words in NOT_CHECKED.items() if part in text]
        if words:
            missing.append(words[0] or text)
        else:
            messages.append(replace(each, text=text))
    return replace(report, messages=tuple(messages), not_checked=tuple(missing))


def own_path(text: str, work: Path, folder: Path) -> str:
    """Return a message that names the package's own path instead of the working copy's."""
    copy = f"{work}/application"
    return text.replace(f"{copy}/.preprocessed", str(folder)).replace(copy, str(folder))
