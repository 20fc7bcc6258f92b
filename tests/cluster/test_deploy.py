"""``deploy`` through the real vespa CLI, against a server that plays Vespa's deploy API."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.arrivals import SECONDS, Deploy, files_of, unzipped
from tests.cluster.stub_server import Reply, StubServer
from vespa_colbert.cluster import find_vespa_cli, write_archive
from vespa_colbert.cluster.deployment import changes_by_hand

pytestmark = pytest.mark.usefixtures("deploy_extra")

ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-" + "k" * 20
PREPARE_AND_ACTIVATE = "/application/v2/tenant/default/prepareandactivate"
REFUSED = "Invalid application package: Error loading default.default: schema 'passage' is bad"


def test_what_arrives_is_the_package_byte_for_byte(
    deploy: Deploy, package: Path, server: StubServer, tmp_path: Path
) -> None:
    ran = deploy(package, "-t", server.url)

    (upload,) = server.uploads
    assert ran.returncode == 0, ran.stderr
    assert "with session ID 3" in ran.stdout
    assert (upload.method, upload.path) == ("POST", PREPARE_AND_ACTIVATE)
    assert unzipped(upload.body) == files_of(package)
    write_archive(package, tmp_path / "app.zip")
    assert upload.body == (tmp_path / "app.zip").read_bytes()


def test_the_reference_package_arrives_byte_for_byte(deploy: Deploy, server: StubServer) -> None:
    ran = deploy(ROOT / "app_package", "-t", server.url)

    assert ran.returncode == 0, ran.stderr
    assert unzipped(server.uploads[0].body) == files_of(ROOT / "app_package")


def test_prepare_activates_nothing(deploy: Deploy, package: Path, server: StubServer) -> None:
    ran = deploy(package, "-t", server.url, "--prepare")

    assert ran.returncode == 0, ran.stderr
    assert [(each.method, each.path.rpartition("/")[2]) for each in server.requests] == [
        ("POST", "session"),
        ("PUT", "prepared"),
    ]
    assert unzipped(server.uploads[0].body) == files_of(package)


def test_the_files_are_those_that_the_client_itself_would_upload(
    package: Path, server: StubServer
) -> None:
    (package / ".vespaignore").write_text(
        "# patterns\nfiles/e*\nschemas/[^p]*.txt\nnotes/\n*.md\n?ut\n"
    )
    for name in ("notes/a", "notes/b/c", "deep/notes/d", "x.md", "deep/x.md", ".DS_Store", "cut"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(name)
    (package / "files" / "again").symlink_to("model.onnx")
    client = str(find_vespa_cli().path)

    for upload in (package, write(package)):
        subprocess.run(
            [client, "deploy", "-t", server.url, str(upload)], check=True, timeout=SECONDS
        )

    by_client, ours = (unzipped(each.body) for each in server.uploads)
    assert ours == by_client
    assert "deep/x.md" in ours
    assert "files/empty" not in ours


def write(package: Path) -> Path:
    archive = package.parent / "ours.zip"
    write_archive(package, archive)
    return archive


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, {"error-code": "INVALID_APPLICATION_PACKAGE", "message": REFUSED}, "is bad"),
        (400, {"error-code": "BAD_REQUEST", "message": "no such thing"}, "no such thing"),
        (500, {"error-code": "INTERNAL_SERVER_ERROR", "message": "it broke"}, "it broke"),
        (403, {"error-code": "FORBIDDEN", "message": "not you"}, "not you"),
    ],
    ids=["refused", "bad request", "broken", "forbidden"],
)
def test_a_server_that_refuses_fails_the_command_with_its_message(
    deploy: Deploy, package: Path, server: StubServer, status: int, body: object, told: str
) -> None:
    server.answer = lambda _sent: Reply(status, json.dumps(body))

    ran = deploy(package, "-t", server.url)

    assert ran.returncode == 1
    assert told in ran.stderr
    assert f"(status {status})" in ran.stderr
    assert "error: " in ran.stderr
    assert "not deployed" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_nobody_at_the_address_fails_the_command(deploy: Deploy, package: Path) -> None:
    ran = deploy(package, "-t", "http://127.0.0.1:1")

    assert ran.returncode == 1
    assert "connection refused" in ran.stderr


def test_a_server_that_never_answers_is_given_up_at_the_deadline(
    deploy: Deploy, package: Path, server: StubServer
) -> None:
    server.hang()

    ran = deploy(package, "-t", server.url, "-w", 1, "--deadline", 2)

    # The client waits longer than it is told where a server takes a request and never answers.
    assert ran.returncode == 1
    assert "not done after 2 seconds and was stopped" in ran.stderr
    assert [each.path for each in server.requests] == ["/status.html"]


def test_a_server_that_is_not_up_is_waited_for_as_long_as_said(
    deploy: Deploy, package: Path, server: StubServer
) -> None:
    server.answer = lambda _sent: Reply(503, "{}")

    ran = deploy(package, "-t", server.url, "-w", 1)

    assert ran.returncode == 1
    assert "unhealthy deploy API after waiting up to 1s" in ran.stderr
    assert not server.uploads


def test_an_upload_that_is_never_answered_ends_at_the_deadline(
    deploy: Deploy, package: Path, server: StubServer
) -> None:
    server.hang()

    ran = deploy(package, "-t", server.url, "--deadline", 1)

    assert ran.returncode == 1
    assert "not done after 1 seconds" in ran.stderr
    assert len(server.uploads) == 1


def test_services_that_never_come_up_fail_the_command(
    deploy: Deploy, package: Path, server: StubServer
) -> None:
    ran = deploy(package, "-t", server.url, "-w", 1)

    assert ran.returncode == 1
    assert "not converged" in ran.stderr
    assert len(server.uploads) == 1


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_client_too(
    package: Path, server: StubServer, tmp_path: Path, name: signal.Signals
) -> None:
    server.hang()
    client = tmp_path / "vespa"
    client.write_text(f'#!/bin/sh\necho $$ > {tmp_path}/pid\nexec "{find_vespa_cli().path}" "$@"\n')
    client.chmod(0o755)
    # A shell with job control off starts its children with SIGINT ignored, so does a test runner.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from vespa_colbert.cli.main import main; main()"
    command = [sys.executable, "-c", program, "deploy", str(package), "-t", server.url]
    with subprocess.Popen(
        [*command, "--vespa-cli", str(client)], stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        until(lambda: len(server.uploads) == 1)
        child.send_signal(name)
        _, said = child.communicate(timeout=SECONDS)

    assert child.returncode == 130
    assert b"Traceback" not in said
    until(lambda: not is_running(int((tmp_path / "pid").read_text())))


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_dry_run_sends_nothing_and_says_what_it_would_send(
    deploy: Deploy, package: Path, server: StubServer, tmp_path: Path
) -> None:
    ran = deploy(
        package,
        "-t",
        server.url,
        "-w",
        5,
        "--dry-run",
        "--json",
        "--archive",
        tmp_path / "kept.zip",
    )

    said = json.loads(ran.stdout)
    assert ran.returncode == 0, ran.stderr
    assert not server.requests
    assert said["files"] == {name: len(data) for name, data in files_of(package).items()}
    assert said["command"].endswith(f"deploy --target {server.url} --wait 5 {package}")
    assert unzipped((tmp_path / "kept.zip").read_bytes()) == files_of(package)


def test_json_is_alone_on_stdout(deploy: Deploy, package: Path, server: StubServer) -> None:
    ran = deploy(package, "-t", server.url, "--json")

    assert json.loads(ran.stdout)["step"] == "deploy"
    assert "with session ID 3" in ran.stderr


def test_vespa_cloud_says_what_it_needs(deploy: Deploy, package: Path) -> None:
    without_name = deploy(package, "-t", "cloud")
    without_key = deploy(package, "-t", "cloud", "--application-id", "tenant.app")

    assert (without_name.returncode, without_key.returncode) == (1, 1)
    assert "no application specified" in without_name.stderr
    for said in (without_name.stderr, without_key.stderr):
        assert "vespa auth login" in said
        assert "VESPA_CLI_API_KEY_FILE" in said
        assert "security/clients.pem" in said


def test_the_target_that_the_user_set_for_the_client_holds(
    deploy: Deploy, package: Path, server: StubServer
) -> None:
    client = str(find_vespa_cli().path)
    subprocess.run([client, "config", "set", "target", server.url], check=True, timeout=SECONDS)

    ran = deploy(package)

    assert ran.returncode == 0, ran.stderr
    assert unzipped(server.uploads[0].body) == files_of(package)


def test_production_is_for_the_cloud(deploy: Deploy, package: Path, server: StubServer) -> None:
    ran = deploy(package, "-t", server.url, "--production")

    assert ran.returncode == 1
    assert "add -t cloud" in ran.stderr
    assert not server.requests


@pytest.mark.parametrize(
    "verbose", [(), pytest.param(("--json",), marks=pytest.mark.slow)], ids=["plain", "json"]
)
def test_keys_are_never_printed(
    package: Path,
    server: StubServer,
    monkeypatch: pytest.MonkeyPatch,
    verbose: tuple[str, ...],
) -> None:
    monkeypatch.setenv("VESPA_CLI_API_KEY", SECRET)
    monkeypatch.setenv("VESPA_CLI_DATA_PLANE_TOKEN", SECRET)
    server.answer = lambda _sent: Reply(500, "{}")
    for target in (server.url, "cloud", f"http://me:{SECRET}@127.0.0.1:{server.port}"):
        command = [sys.executable, "-m", "vespa_colbert", "-v", "deploy", str(package)]
        ran = subprocess.run(
            [*command, "-t", target, "--application-id", "tenant.app", *verbose],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 1
        assert SECRET not in ran.stdout + ran.stderr


def test_a_package_of_ours_that_was_edited_is_a_warning(
    deploy: Deploy, server: StubServer, tmp_path: Path
) -> None:
    folder = tmp_path / "edited"
    shutil.copytree(ROOT / "app_package", folder)
    assert changes_by_hand(folder) == ""
    with (folder / "services.xml").open("a") as stream:
        stream.write("<!-- mine -->\n")

    ran = deploy(folder, "-t", server.url)

    assert ran.returncode == 0, ran.stderr
    assert "warning: " in ran.stderr
    assert "services.xml: expected" in ran.stderr
    assert unzipped(server.uploads[0].body)["services.xml"].endswith(b"<!-- mine -->\n")


def test_anybodys_package_is_no_warning(package: Path) -> None:
    assert changes_by_hand(package) == ""
