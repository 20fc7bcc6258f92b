"""Deployment through pyvespa: into a container of Docker on this machine, or to Vespa Cloud.

pyvespa is given the very bytes that a config server gets from ``deploy_package``. Left to itself it
zips the folder as it finds it, links and ignored files too, through a file in the working folder.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from vespa_colbert.cluster.archive import package_root, write_archive
from vespa_colbert.cluster.deployment import Deployment, is_cloud
from vespa_colbert.errors import DeployError, MissingExtraError

__all__ = ["archive_bytes", "deploy_through_pyvespa"]

DEFAULT_NAME = "vespa"


def archive_bytes(folder: Path) -> bytes:
    """Return the zip of a package, as pyvespa takes it.

    Raises:
        DeployError: If the package cannot be uploaded.
    """
    with tempfile.TemporaryDirectory(prefix="vespa-colbert-") as scratch:
        path = Path(scratch) / "application.zip"
        write_archive(folder, path)
        return path.read_bytes()


def deploy_through_pyvespa(folder: Path, deployment: Deployment) -> str:
    """Return the endpoint of an application that pyvespa has deployed.

    Args:
        folder: The package.
        deployment: Its target is ``local`` for a container, or ``cloud``; no other.

    Raises:
        DeployError: If pyvespa cannot do this, the package cannot be uploaded, or it fails.
        MissingExtraError: If pyvespa is not installed.
    """
    target = deployment.target or "local"
    if not (target == "local" or is_cloud(target)) or deployment.step != "deploy":
        raise DeployError(
            f"pyvespa deploys to a container of its own (-t local) or to the dev zone of Vespa "
            f"Cloud (-t cloud), got {deployment.step} to {target}; use --with vespa"
        )
    root = package_root(folder)
    packed = archive_bytes(root)
    try:
        from vespa import deployment as pyvespa
    except ImportError:
        raise MissingExtraError("deploy", "pyvespa") from None
    try:
        deploy = _to_cloud if is_cloud(target) else _to_container
        with contextlib.redirect_stdout(sys.stderr):  # pyvespa prints its progress
            return str(deploy(pyvespa, root, packed, deployment).url)
    except Exception as error:
        # pyvespa raises RuntimeError, ValueError, and what docker and its HTTP client raise.
        raise DeployError(
            f"{folder}: not deployed: pyvespa says {type(error).__name__}: {error}"
        ) from error


def _to_container(pyvespa: Any, root: Path, packed: bytes, deployment: Deployment) -> Any:
    """Return pyvespa's connection to a container that runs the package."""
    container = pyvespa.VespaDocker(output_file=sys.stderr)
    container.read_app_package_from_disk = lambda _root: packed
    name = deployment.application_id.split(".")[-1] or DEFAULT_NAME
    return container.deploy_from_disk(
        application_name=name, application_root=root, **_patience(deployment, "application")
    )


def _to_cloud(pyvespa: Any, root: Path, packed: bytes, deployment: Deployment) -> Any:
    """Return pyvespa's connection to the package in a dev zone.

    Raises:
        ValueError: If it is not said which application it is.
    """
    tenant, dot, rest = deployment.application_id.partition(".")
    if not (tenant and dot and rest):
        raise ValueError("expected --application-id TENANT.APPLICATION")
    application, _, instance = rest.partition(".")
    cloud = pyvespa.VespaCloud(
        tenant=tenant,
        application=application,
        application_root=str(root),
        instance=instance or "default",
        output_file=sys.stderr,
    )
    cloud.read_app_package_from_disk = lambda _root: packed
    environment, _, region = deployment.zone.partition(".")
    return cloud.deploy_from_disk(
        instance=instance or "default",
        application_root=root,
        environment=environment or "dev",
        region=region or None,
        max_wait=deployment.wait_seconds or deployment.patience_seconds,
    )


def _patience(deployment: Deployment, what: str) -> dict[str, int]:
    """Return how long pyvespa waits, where the user says it."""
    return {f"max_wait_{what}": deployment.wait_seconds} if deployment.wait_seconds else {}
