"""Which client is run, and what may be asked of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.arrivals import SECONDS, Deploy
from tests.cluster.stub_server import Reply, StubServer
from vespa_colbert.cluster import Deployment, find_vespa_cli
from vespa_colbert.errors import DeployError

pytestmark = pytest.mark.usefixtures("deploy_extra")


def test_the_command_of_vespacli_is_never_run(
    deploy: Deploy, package: Path, server: StubServer
) -> None:
    wrapper = Path(sys.executable).parent / "vespa"
    server.answer = lambda _sent: Reply(400, "{}")
    fails = subprocess.run(
        [wrapper, "deploy", "-t", server.url, package], check=False, timeout=SECONDS
    )

    ran = deploy(package, "-t", server.url, "--vespa-cli", wrapper)

    assert fails.returncode == 0  # why it is refused; if vespacli mends it, this may go
    assert ran.returncode == 1
    assert "exits 0 when the client fails" in ran.stderr


def test_another_client_is_run_when_it_is_named(
    deploy: Deploy, package: Path, tmp_path: Path
) -> None:
    client = tmp_path / "vespa"
    client.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\ntest "$1" = config\n')
    client.chmod(0o755)

    ran = deploy(package, "-t", "local", "-w", 7, "--vespa-cli", client)

    assert ran.returncode == 1
    assert "ended with status 1" in ran.stderr
    assert (tmp_path / "said").read_text().startswith("deploy --target local --wait 7 ")


@pytest.fixture
def vespacli_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the installed wheel, small: its client is four bytes and it lists no other."""
    import vespacli

    source = Path(vespacli.__file__).parent
    site = tmp_path / "site"
    binary = Path(vespacli.get_binary_path()).relative_to(source.parent)
    record = next(source.parent.glob("vespacli-*.dist-info")) / "RECORD"
    for path in (*source.glob("*.py"), record, record.with_name("METADATA")):
        copy = site / path.relative_to(source.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    (site / binary).parent.mkdir(parents=True)
    (site / binary).write_bytes(b"evil")
    (site / binary).chmod(0o755)
    monkeypatch.syspath_prepend(str(site))
    for name in [each for each in sys.modules if each.partition(".")[0] == "vespacli"]:
        monkeypatch.delitem(sys.modules, name)
    yield site / binary
    for name in [each for each in sys.modules if each.partition(".")[0] == "vespacli"]:
        sys.modules.pop(name)


def test_a_client_that_is_not_its_wheels_is_refused(vespacli_copy: Path) -> None:
    with pytest.raises(DeployError, match="expected sha256 .* install vespacli again"):
        find_vespa_cli()


def test_a_client_without_a_listed_sum_is_not_called_verified(
    vespacli_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = next(vespacli_copy.parents[4].glob("*.dist-info/RECORD"))
    record.write_text("")

    assert not find_vespa_cli().is_verified
    assert "was not checked" in caplog.text


def test_the_installed_client_is_verified() -> None:
    assert find_vespa_cli().is_verified


@pytest.mark.parametrize(
    "target", ["lokal", "ftp://host", "http://", "http://u:p@host", "http://h\n", "http://[", "h:1"]
)
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(DeployError, match="target: ") as caught:
        Deployment(target=target)

    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{"application_id": "-x"}, {"zone": "a b"}, {"wait_seconds": -1}, {"deadline_seconds": -1}],
)
def test_an_option_that_is_none_is_refused(given: dict[str, str | int]) -> None:
    with pytest.raises(DeployError, match="expected"):
        Deployment(**given)  # type: ignore[arg-type]
