from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub
import pytest

from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.checkpoint.hub import locate_checkpoint
from vespa_colbert.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refuse(*_arguments: object, **_named: object) -> NoReturn:
    raise AssertionError("the network was asked")


def test_an_existing_path_never_touches_the_network(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_checkpoint, tmp_path / "org" / "model")

    source = locate_checkpoint("org/model")

    assert (source.folder, source.origin) == (Path("org/model"), "")
    assert read_checkpoint(source.folder).dim == 8


def test_a_hub_name_becomes_a_folder_of_one_commit(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The Hub's cache: a snapshot is a folder of links to blobs beside it.
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / COMMIT
    shutil.copytree(tiny_checkpoint, blobs)
    for path in blobs.rglob("*"):
        link = snapshot / path.relative_to(blobs)
        link.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            link.symlink_to(path)
    asked: dict[str, Any] = {}

    def fake(name: str, **named: Any) -> str:
        asked.update(named, name=name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)

    source = locate_checkpoint("org/model", revision="v1")

    assert (asked["name"], asked["revision"]) == ("org/model", "v1")
    assert source.origin == f"org/model at commit {COMMIT}"
    assert read_checkpoint(source.folder).files == read_checkpoint(tiny_checkpoint).files


def test_what_the_hub_refuses_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_arguments: object, **_named: object) -> NoReturn:
        raise OSError("404 Client Error\nmore lines")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", gone)

    with pytest.raises(CheckpointError, match=r"org/model: there is no such folder.*404 Client"):
        locate_checkpoint("org/model")


@pytest.mark.parametrize("name", ["missing", "a/b/c", "/abs/olute", "../x/y", "a b/c"])
def test_what_is_no_hub_name_is_a_local_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)

    assert locate_checkpoint(name).folder == Path(name)
    with pytest.raises(CheckpointError, match="--revision"):
        locate_checkpoint(name, revision="main")
