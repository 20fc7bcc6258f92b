"""``vespa feed``, the real client, takes the feed from a file and from a pipe."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.arrivals import SECONDS
from tests.cluster.stub_document_api import DocumentApi, document_api
from tests.index.feed_cases import KEYS, documents, schema, tensors, write_package
from vespa_colbert.cluster import find_vespa_cli
from vespa_colbert.index import Feed, FeedFields, document_id, stream_feed, write_feed

pytestmark = pytest.mark.usefixtures("deploy_extra")


@pytest.fixture
def api() -> Iterator[DocumentApi]:
    with document_api() as stub:
        yield stub


def feed() -> Feed:
    fields = FeedFields.of_schema(schema(), namespace="ns")
    return Feed(documents=documents(), fields=fields, tensors=tensors)


def vespa_feed(api: DocumentApi, source: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [str(find_vespa_cli().path), "feed", "-t", api.url, "--connections", "2", source]
    return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, **options)


def wanted() -> dict[str, Any]:
    """Return id → fields of every document that is to arrive."""
    stream = io.BytesIO()
    stream_feed(feed(), stream)
    operations = map(json.loads, stream.getvalue().splitlines())
    return {each["put"]: each["fields"] for each in operations}


def arrived(api: DocumentApi) -> dict[str, Any]:
    assert len(api.puts) == len({each.id for each in api.puts})
    return {each.id: json.loads(each.body)["fields"] for each in api.puts}


def test_every_document_of_a_file_arrives_under_its_own_id(
    api: DocumentApi, tmp_path: Path
) -> None:
    write_feed(feed(), tmp_path / "feed.jsonl")

    ran = vespa_feed(api, str(tmp_path / "feed.jsonl"))

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["feeder.ok.count"] == len(KEYS)
    assert set(arrived(api)) == {
        document_id(key, namespace="ns", document_type="passage") for key in KEYS
    }
    assert arrived(api) == wanted()


def test_groups_arrive_as_groups(api: DocumentApi, tmp_path: Path) -> None:
    made = feed()
    made.fields = FeedFields.of_schema(schema(), namespace="ns", group="title")
    write_feed(made, tmp_path / "feed.jsonl")

    ran = vespa_feed(api, str(tmp_path / "feed.jsonl"))

    assert ran.returncode == 0, ran.stderr
    assert "id:ns:passage:g=title 0:plain" in arrived(api)
    assert len(arrived(api)) == len(KEYS)


def corpus(folder: Path, count: int) -> Path:
    rows = ({"_id": f"d+{n}", "title": f"t{n}", "text": "a rose " * 20} for n in range(count))
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def piped(folder: Path, count: int) -> str:
    package, documents = write_package(folder / "app"), corpus(folder, count)
    ours = [sys.executable, "-m", "vespa_colbert", "feed", documents, "-a", package, "-o", "-"]
    return shlex.join([*map(str, ours), "--no-tensors", "--namespace", "ns"])


def test_our_command_pipes_into_the_client(api: DocumentApi, tmp_path: Path) -> None:
    client = shlex.join([str(find_vespa_cli().path), "feed", "-t", api.url, "-"])
    command = f"set -o pipefail; {piped(tmp_path, 300)} | {client}"

    ran = subprocess.run(
        ["/bin/bash", "-c", command], capture_output=True, timeout=SECONDS, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["feeder.ok.count"] == 300
    assert set(arrived(api)) == {f"id:ns:passage::d%2B{n}" for n in range(300)}
    assert b"300 put operations" in ran.stderr


def test_a_client_that_goes_away_ends_our_command_without_a_traceback(tmp_path: Path) -> None:
    command = f"set -o pipefail; {piped(tmp_path, 5000)} | head -n 1 > {tmp_path}/first"

    ran = subprocess.run(
        ["/bin/bash", "-c", command], capture_output=True, timeout=SECONDS, check=False
    )

    assert ran.returncode == 1
    assert b"Traceback" not in ran.stderr
    assert b"BrokenPipe" not in ran.stderr
    assert json.loads((tmp_path / "first").read_text())["put"] == "id:ns:passage::d%2B0"


def test_a_server_that_refuses_fails_the_client(api: DocumentApi, tmp_path: Path) -> None:
    api.status = "507"
    write_feed(feed(), tmp_path / "feed.jsonl")

    ran = vespa_feed(api, str(tmp_path / "feed.jsonl"))

    assert json.loads(ran.stdout)["feeder.ok.count"] == 0
    assert b"507" in ran.stdout + ran.stderr
