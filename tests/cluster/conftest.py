from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.arrivals import SECONDS, Deploy
from tests.cluster.stub_server import StubServer, stub_server
from tests.required import import_or_skip


@pytest.fixture
def deploy_extra() -> None:
    """Skips, or fails where they are required, without the real clients."""
    for module in ("vespacli", "vespa.deployment", "h2"):
        import_or_skip(module)


@pytest.fixture
def server() -> Iterator[StubServer]:
    with stub_server() as stub:
        yield stub


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a file of every kind that a package may have; the client reads none."""
    folder = tmp_path / "app"
    (folder / "files").mkdir(parents=True)
    (folder / "schemas").mkdir()
    (folder / "services.xml").write_text("<services version='1.0'/>")
    (folder / "README.md").write_text("read me")
    (folder / "schemas" / "passage.sd").write_text("schema passage { }")
    (folder / "files" / "model.onnx").write_bytes(bytes(range(256)) * 300)
    (folder / "files" / "empty").touch()
    (folder / ".vespa-note").write_text("hidden")
    (folder / "schemas" / "größe.txt").write_text("ä")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that no test sees or changes what the user set for the client."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("VESPA_CLI_HOME", str(folder / ".vespa"))
    for name in ("VESPA_CLI_API_KEY", "VESPA_CLI_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    """Runs the command as a shell would, in a process of its own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vespa_colbert", "deploy", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path, check=False
        )

    return run
