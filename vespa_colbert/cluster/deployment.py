"""What is deployed where, and by which command of the vespa CLI."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO, TypeAlias
from urllib.parse import urlsplit

from vespa_colbert.app import read_package
from vespa_colbert.app.render import MANIFEST_FILE
from vespa_colbert.cluster.archive import package_files, package_root, write_archive
from vespa_colbert.cluster.vespa_cli import VespaCli
from vespa_colbert.errors import DeployError, SpecError

__all__ = ["Deployment", "Step", "changes_by_hand", "deploy_package", "is_cloud"]

Step: TypeAlias = Literal["deploy", "prepare", "production"]
"""``prepare`` has the config server judge the package and changes nothing that runs."""

COMMANDS: dict[Step, tuple[str, ...]] = {
    "deploy": ("deploy",),
    "prepare": ("prepare",),
    "production": ("prod", "deploy"),
}
UPLOAD_SECONDS = 600
"""What an upload may take, where the user states no deadline."""

CLOUD_TARGETS = frozenset({"cloud", "hosted"})
TARGETS = frozenset({"", "local"}) | CLOUD_TARGETS
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

CLOUD_NEEDS = (
    "Vespa Cloud needs: --application-id TENANT.APPLICATION (or `vespa config set application`); "
    "access, by `vespa auth login` or VESPA_CLI_API_KEY_FILE; and a certificate, by "
    "`vespa auth cert`, in the package as security/clients.pem (`vespa auth cert add`)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where a package is deployed, and how long that may take.

    Attributes:
        target: ``local``, ``cloud`` or the URL of a config server; empty for what the user has set
            with ``vespa config set target``.
        step: What is done.
        wait_seconds: For services to become ready, before and after; 0 not to wait.
        deadline_seconds: When to give up altogether; 0 for both waits and ten minutes more. The
            client's own wait does not end at a server that takes a request and never answers.
        application_id: ``tenant.application`` or ``tenant.application.instance``; empty for what
            the user has set.
        zone: As in ``dev.aws-us-east-1c``; empty for the client's own default.

    Raises:
        DeployError: If one is not valid.
    """

    target: str = ""
    step: Step = "deploy"
    wait_seconds: int = 0
    deadline_seconds: int = 0
    application_id: str = ""
    zone: str = ""

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            _check_url(self.target)
        if min(self.wait_seconds, self.deadline_seconds) < 0:
            raise DeployError(
                "wait and deadline: expected seconds of 0 or more, got "
                f"{self.wait_seconds} and {self.deadline_seconds}"
            )
        for what, name in (("application id", self.application_id), ("zone", self.zone)):
            if name and not NAME.fullmatch(name):
                raise DeployError(f"{what}: expected names with dots between them, got {name!r}")

    @property
    def patience_seconds(self) -> int:
        """When to give up altogether."""
        return self.deadline_seconds or 2 * self.wait_seconds + UPLOAD_SECONDS

    def arguments(self, upload: Path) -> list[str]:
        """Return the arguments of the vespa CLI that deploy a package.

        Args:
            upload: The package, a folder or a zip.
        """
        given = {
            "--target": self.target,
            "--application": self.application_id,
            "--zone": self.zone,
            "--wait": str(self.wait_seconds) if self.wait_seconds else "",
        }
        flags = [part for flag, value in given.items() if value for part in (flag, value)]
        return [*COMMANDS[self.step], *flags, str(upload)]


def _check_url(target: str) -> None:
    """Return nothing if a target is the URL of a server.

    Raises:
        DeployError: If it is not, or carries a password: the client would print it.
    """
    try:
        url = urlsplit(target)
        fits = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        raise DeployError("target: expected local, cloud or a URL, got a malformed one") from None
    if "@" in url.netloc:
        raise DeployError(
            "target: the URL carries a user or password, which would be printed; leave it out and "
            "set up mutual TLS, see `vespa auth cert --help`"
        )
    if not fits or not target.isprintable() or " " in target:
        raise DeployError(
            "target: expected local, cloud, or the URL of a config server such as "
            f"http://localhost:19071, got {target[:80]!r}"
        )


def is_cloud(target: str) -> bool:
    """Return whether a target is Vespa Cloud."""
    return target in CLOUD_TARGETS


def changes_by_hand(folder: Path) -> str:
    """Return how a package of ours differs from what was generated; empty for others' too."""
    if not (folder / MANIFEST_FILE).is_file():
        return ""
    try:
        read_package(folder)
    except SpecError as error:
        return str(error)
    return ""


def deploy_package(
    folder: Path,
    deployment: Deployment,
    client: VespaCli,
    *,
    output: TextIO | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> None:
    """Have the vespa CLI deploy a package.

    A config server gets our zip: the same bytes for the same package, read once. For Vespa Cloud
    the client is given the folder: it puts its certificate and the package's tests beside.

    Args:
        folder: The package.
        deployment: Where and how.
        client: The vespa CLI.
        output: Where the client's stdout goes instead of ours.
        progress: Called with bytes packed and bytes in all.

    Raises:
        DeployError: If the package cannot be uploaded, or the client fails; it has said why.
        OutputError: If there is no room for the zip.
    """
    root = package_root(folder)
    cloud = is_cloud(deployment.target or client.setting("target"))
    if deployment.step == "production" and not cloud:
        raise DeployError("production: expected the target cloud; add -t cloud")
    with tempfile.TemporaryDirectory(prefix="vespa-colbert-") as scratch:
        if cloud:
            package_files(root)
            upload = root
        else:
            upload = Path(scratch) / f"{root.resolve().name or 'application'}.zip"
            write_archive(root, upload, progress=progress)
        status = client.run(
            deployment.arguments(upload),
            deadline_seconds=deployment.patience_seconds,
            output=output,
        )
    if status:
        hint = f"\n  {CLOUD_NEEDS}" if cloud else ""
        how = f"signal {-status}" if status < 0 else f"status {status}"
        raise DeployError(
            f"{folder}: not deployed: the vespa CLI ended with {how}; it says why above{hint}"
        )
