"""Deployment through the real pyvespa; Docker and Vespa Cloud are stand-ins."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cluster.arrivals import files_of, unzipped
from tests.cluster.stub_server import Reply, StubServer
from vespa_colbert.cluster import Deployment, deploy_through_pyvespa, write_archive
from vespa_colbert.errors import DeployError, MissingExtraError

pytestmark = pytest.mark.usefixtures("deploy_extra")


@dataclass
class Container:
    """What pyvespa asks of a running container."""

    name: str
    id: str = "c0"
    restarts: int = 0

    def restart(self) -> None:
        self.restarts += 1

    def exec_run(self, _command: str) -> Any:
        return SimpleNamespace(output=b"HTTP/1.1 200 OK\r\n")


@pytest.fixture
def containers(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> list[Container]:
    """A stand-in for the client of Docker; Vespa's ports lead to the stub server."""
    from vespa import deployment as pyvespa

    made: list[Container] = []

    def get(name: str) -> Container:
        made.append(Container(name))
        return made[-1]

    client = SimpleNamespace(info=lambda: {"MemTotal": 2**33}, containers=SimpleNamespace(get=get))
    monkeypatch.setattr(pyvespa.docker, "from_env", lambda **_: client)
    ported = functools.partial(pyvespa.VespaDocker, port=server.port, cfgsrv_port=server.port)
    monkeypatch.setattr(pyvespa, "VespaDocker", ported)
    return made


def test_a_container_gets_our_zip(
    package: Path,
    server: StubServer,
    containers: list[Container],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (package / ".vespaignore").write_text("README.md\n")
    before = sorted(Path().iterdir())

    endpoint = deploy_through_pyvespa(package, Deployment(application_id="mine", wait_seconds=5))

    write_archive(package, tmp_path / "app.zip")
    (upload,) = server.uploads
    assert upload.path == "/application/v2/tenant/default/prepareandactivate"
    assert upload.body == (tmp_path / "app.zip").read_bytes()
    assert "README.md" not in unzipped(upload.body)
    assert endpoint == "http://localhost"
    assert [(each.name, each.restarts) for each in containers] == [("mine", 1)]
    assert sorted(Path().iterdir()) == before
    assert capsys.readouterr().out == ""


def test_pyvespa_itself_reads_the_package_as_it_stands(package: Path) -> None:
    from vespa.deployment import VespaDeployment

    data = VespaDeployment().read_app_package_from_disk(package)

    assert unzipped(data) == files_of(package)


def test_a_server_that_refuses_is_an_error_with_its_message(
    package: Path, server: StubServer, containers: list[Container]
) -> None:
    server.answer = lambda _sent: Reply(400, '{"message": "schema is bad"}')

    with pytest.raises(DeployError, match="pyvespa says RuntimeError.*schema is bad"):
        deploy_through_pyvespa(package, Deployment(target="local"))

    assert len(containers) == 1


def test_no_docker_is_an_error(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vespa import deployment as pyvespa

    def refuse(**_settings: object) -> None:
        raise pyvespa.docker.errors.DockerException("is the daemon running?")

    monkeypatch.setattr(pyvespa.docker, "from_env", refuse)

    with pytest.raises(DeployError, match="pyvespa says DockerException"):
        deploy_through_pyvespa(package, Deployment())


@dataclass
class Cloud:
    """A stand-in for pyvespa's VespaCloud that keeps what it is given."""

    given: dict[str, Any]
    deployed: dict[str, Any] | None = None
    packed: bytes = b""

    def read_app_package_from_disk(self, _root: Path) -> bytes:
        raise AssertionError("pyvespa's own zip is not asked for")

    def deploy_from_disk(self, **given: Any) -> Any:
        self.deployed = given
        self.packed = self.read_app_package_from_disk(given["application_root"])
        return SimpleNamespace(url="https://endpoint")


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> list[Cloud]:
    from vespa import deployment as pyvespa

    made: list[Cloud] = []

    def cloud(**given: Any) -> Cloud:
        made.append(Cloud(given))
        return made[-1]

    monkeypatch.setattr(pyvespa, "VespaCloud", cloud)
    return made


def test_vespa_cloud_gets_our_zip(package: Path, clouds: list[Cloud]) -> None:
    deployment = Deployment(
        target="cloud", application_id="tenant.app.me", zone="perf.aws-us-east-1c", wait_seconds=9
    )

    assert deploy_through_pyvespa(package, deployment) == "https://endpoint"

    (cloud,) = clouds
    assert unzipped(cloud.packed) == files_of(package)
    cloud.given.pop("output_file")
    assert cloud.given == {
        "tenant": "tenant",
        "application": "app",
        "application_root": str(package),
        "instance": "me",
    }
    assert cloud.deployed == {
        "instance": "me",
        "application_root": package,
        "environment": "perf",
        "region": "aws-us-east-1c",
        "max_wait": 9,
    }


def test_what_the_stand_in_takes_the_real_one_takes_too() -> None:
    from vespa.deployment import VespaCloud

    opened = inspect.signature(VespaCloud.__init__).parameters
    deployed = inspect.signature(VespaCloud.deploy_from_disk).parameters

    assert {"tenant", "application", "application_root", "instance", "output_file"} <= set(opened)
    assert {"instance", "application_root", "environment", "region", "max_wait"} <= set(deployed)


def test_vespa_cloud_needs_a_tenant(package: Path, clouds: list[Cloud]) -> None:
    with pytest.raises(DeployError, match="--application-id TENANT"):
        deploy_through_pyvespa(package, Deployment(target="cloud", application_id="app"))

    assert not clouds


@pytest.mark.parametrize(
    "deployment",
    [Deployment(target="http://host:1"), Deployment(target="local", step="prepare")],
    ids=["url", "prepare"],
)
def test_what_pyvespa_cannot_do_is_refused(package: Path, deployment: Deployment) -> None:
    with pytest.raises(DeployError, match="use --with vespa"):
        deploy_through_pyvespa(package, deployment)


def test_without_pyvespa_the_extra_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vespa", None)

    with pytest.raises(MissingExtraError, match=r"vespa-colbert\[deploy\]"):
        deploy_through_pyvespa(package, Deployment())


def test_the_real_class_for_vespa_cloud_uploads_our_zip(
    package: Path, server: StubServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the search for an endpoint, which no stub has; a key and a certificate are made."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from vespa import deployment as pyvespa

    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    real = pyvespa.VespaCloud

    def cloud(**given: Any) -> Any:
        made = real(key_content=key.decode(), **given)
        made.base_url = server.url
        return made

    monkeypatch.setattr(pyvespa, "VespaCloud", cloud)
    monkeypatch.setattr(pyvespa, "VESPA_HOME", home / ".vespa")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.chdir(home)
    run = {"message": "ok", "run": 7, "active": False, "status": "success", "log": {}}
    server.answer = lambda _sent: Reply(200, json.dumps({**run, "endpoints": []}))

    with pytest.raises(DeployError, match="No mtls endpoints found"):
        deploy_through_pyvespa(package, Deployment(target="cloud", application_id="tenant.app"))

    (upload,) = server.uploads
    write_archive(package, home / "app.zip")
    assert upload.body == (home / "app.zip").read_bytes()
    assert upload.path.endswith(
        "/tenant/tenant/application/app/instance/default/deploy/dev-aws-us-east-1c"
    )
