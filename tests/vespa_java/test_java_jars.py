from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vespa_colbert.errors import OutputError, VespaJavaError
from vespa_colbert.vespa_java import VESPA_VERSION, fetch_jars, jars
from vespa_colbert.vespa_java.jars import Jar, cache_folder, read_lock

CONTENT = {
    "/org/example/one/1.0/one-1.0.jar": b"first jar",
    "/org/example/two/2.0/two-2.0-linux.jar": b"second jar" * 1000,
}


class Repository(ThreadingHTTPServer):
    """A Maven repository that can be told to fail."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RepositoryHandler)
        self.content = dict(CONTENT)
        self.failures: list[int] = []
        self.asked: list[str] = []


class RepositoryHandler(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.failures:
            self.send_error(self.server.failures.pop(0))
        elif self.path not in self.server.content:
            self.send_error(404)
        else:
            data = self.server.content[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def jar(coordinate: str, path: str) -> Jar:
    data = CONTENT[path]
    return Jar(coordinate=coordinate, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    lock = tuple(
        jar(coordinate, path)
        for coordinate, path in zip(
            ("org.example:one:1.0", "org.example:two:2.0:linux"), CONTENT, strict=True
        )
    )
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(jars, "read_lock", lambda: lock)
        monkeypatch.setattr(jars, "FIRST_PAUSE", 0.001)
        monkeypatch.setenv("VESPA_COLBERT_MAVEN", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_what_is_missing_is_fetched_once(repository: Repository, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    paths = fetch_jars(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert told[-1] == (10009, 10009)
    assert sorted(repository.asked) == sorted(CONTENT)
    told.clear()
    assert fetch_jars(tmp_path, progress=lambda done, total: told.append((done, total))) == paths
    assert told == []
    assert len(repository.asked) == 2


def test_a_changed_jar_in_the_cache_is_fetched_again(
    repository: Repository, tmp_path: Path
) -> None:
    first, second = fetch_jars(tmp_path)
    first.write_bytes(b"FIRST jar")  # as long as the real one
    second.write_bytes(b"short")
    fetch_jars(tmp_path)
    assert [first.read_bytes(), second.read_bytes()] == list(CONTENT.values())


def test_a_jar_with_another_checksum_gets_no_name(repository: Repository, tmp_path: Path) -> None:
    path = next(iter(CONTENT))
    repository.content[path] = b"not jar 1"
    with pytest.raises(VespaJavaError, match=r"org\.example:one:1\.0: .*sha256") as caught:
        fetch_jars(tmp_path)
    assert f"127.0.0.1:{repository.server_port}{path}" in str(caught.value)
    assert not (tmp_path / "jars" / path[1:]).exists()
    assert not [left for left in tmp_path.rglob("*") if left.suffix == ".part"]


def test_a_passing_failure_is_tried_again(repository: Repository, tmp_path: Path) -> None:
    repository.failures = [503, 500]
    assert len(fetch_jars(tmp_path)) == 2


def test_a_jar_that_is_not_there_is_not_asked_for_again(
    repository: Repository, tmp_path: Path
) -> None:
    missing = next(iter(CONTENT))
    del repository.content[missing]
    with pytest.raises(VespaJavaError, match=r"org\.example:one:1\.0: .*404"):
        fetch_jars(tmp_path)
    assert repository.asked.count(missing) == 1


def test_a_dead_network_is_named_with_a_way_out(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VESPA_COLBERT_MAVEN", "http://127.0.0.1:1")
    with pytest.raises(VespaJavaError, match=r"org\.example:.*refused.*check the network"):
        fetch_jars(tmp_path)


def test_an_address_of_another_kind_is_refused(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VESPA_COLBERT_MAVEN", "file:///etc")
    with pytest.raises(VespaJavaError, match="VESPA_COLBERT_MAVEN: expected an http"):
        fetch_jars(tmp_path)


def test_a_cache_that_is_a_file_is_named(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "jars").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        fetch_jars(tmp_path)
    assert repository.asked == []


def test_the_cache_is_below_the_variable_xdg_or_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("VESPA_COLBERT_CACHE", raising=False)
    assert cache_folder() == Path("/home/somebody/.cache/vespa-colbert")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == Path("/cache/vespa-colbert")
    monkeypatch.setenv("VESPA_COLBERT_CACHE", "/chosen")
    assert cache_folder() == Path("/chosen")
    for name in ("HOME", "XDG_CACHE_HOME", "VESPA_COLBERT_CACHE"):
        monkeypatch.delenv(name)
    assert cache_folder().is_absolute()


def test_the_lock_is_of_the_pinned_release() -> None:
    lock = read_lock()
    parts = [each.coordinate.split(":") for each in lock]
    assert {part[2] for part in parts if part[0] == "com.yahoo.vespa"} == {VESPA_VERSION}
    assert len({part[0] + ":" + part[1] for part in parts}) == len(lock)
    assert all(len(each.sha256) == 64 and each.size > 0 for each in lock)
    artifacts = {part[1] for part in parts}
    assert {"config-model", "searchlib", "model-integration", "onnxruntime"} < artifacts


def test_importing_the_judge_loads_no_jvm() -> None:
    code = "import sys, vespa_colbert.vespa_java; sys.exit('jpype' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
