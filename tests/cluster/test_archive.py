from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from vespa_colbert.cluster import package_files, package_root, write_archive
from vespa_colbert.errors import DeployError, OutputError

BY_HAND = bytes.fromhex(
    # One local header: signature, 2.0, no flags, stored, time 0, 1 January 1980.
    "504b0304 1400 0000 0000 0000 2100"
)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_archive_holds_the_files_byte_for_byte_hidden_ones_too(
    package: Path, tmp_path: Path
) -> None:
    sizes = write_archive(package, tmp_path / "app.zip")

    wanted = {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file()
    }
    assert ".vespa-note" in wanted
    assert content(tmp_path / "app.zip") == wanted
    assert sizes == {name: len(data) for name, data in wanted.items()}


def test_the_same_package_is_the_same_bytes_whenever_and_wherever_it_stands(
    package: Path, tmp_path: Path
) -> None:
    write_archive(package, tmp_path / "one.zip")
    copy = tmp_path / "elsewhere" / "copy"
    names = sorted(p.relative_to(package) for p in package.rglob("*") if p.is_file())
    for name in reversed(names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / name, copy / name)
        (copy / name).chmod(0o755)
        os.utime(copy / name, (10**9, 10**9))

    write_archive(copy, tmp_path / "two.zip")

    assert digest(tmp_path / "one.zip") == digest(tmp_path / "two.zip")


def test_headers_say_nothing_of_time_or_machine(package: Path, tmp_path: Path) -> None:
    write_archive(package, tmp_path / "app.zip")

    data = (tmp_path / "app.zip").read_bytes()
    assert data.startswith(BY_HAND)
    with zipfile.ZipFile(tmp_path / "app.zip") as archive:
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert (entry.create_system, entry.external_attr >> 16) == (3, 0o100644)
            # A stored entry whose size comes after it cannot be read as a stream, as Vespa does.
            assert not entry.flag_bits & 0x08
            assert entry.extra == b""


def test_a_changed_byte_changes_the_archive(package: Path, tmp_path: Path) -> None:
    write_archive(package, tmp_path / "one.zip")
    (package / ".vespa-note").write_text("hiddeN")

    write_archive(package, tmp_path / "two.zip")

    assert digest(tmp_path / "one.zip") != digest(tmp_path / "two.zip")


def test_ignored_files_stay_out(package: Path) -> None:
    (package / ".vespaignore").write_text("files/\n*.md\n.DS_Store\n")
    (package / "schemas" / ".DS_Store").touch()

    assert list(package_files(package)) == [
        ".vespa-note",
        ".vespaignore",
        "schemas/größe.txt",
        "schemas/passage.sd",
        "services.xml",
    ]


def test_a_package_without_services_is_none(package: Path) -> None:
    (package / ".vespaignore").write_text("services.xml\n")

    with pytest.raises(DeployError, match=r"services\.xml is missing"):
        package_files(package)


def test_an_ignore_file_that_takes_the_package_itself_leaves_nothing(package: Path) -> None:
    (package / ".vespaignore").write_text("*\n")

    with pytest.raises(DeployError, match=r"services\.xml is missing"):
        package_files(package)


def test_a_link_within_the_package_counts_as_its_file(package: Path, tmp_path: Path) -> None:
    (package / "files" / "again.onnx").symlink_to("model.onnx")

    write_archive(package, tmp_path / "app.zip")

    found = content(tmp_path / "app.zip")
    assert found["files/again.onnx"] == found["files/model.onnx"]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("../../secret", "leaves the package"),
        ("/etc/hostname", "leaves the package"),
        ("nowhere", "leads nowhere"),
        ("loop", "leads nowhere"),
        ("../schemas", "a link to a folder"),
    ],
)
def test_any_other_link_is_refused(package: Path, to: str, message: str) -> None:
    (package.parent / "secret").write_text("not yours")
    (package / "files" / "loop").symlink_to(to)

    with pytest.raises(DeployError, match=message):
        package_files(package)


def test_a_link_that_is_ignored_is_no_fault(package: Path) -> None:
    (package / "files" / "out").symlink_to("/etc")
    (package / ".vespaignore").write_text("files/out\n")

    assert "files/out" not in package_files(package)


def test_a_pipe_is_refused_and_not_waited_for(package: Path) -> None:
    os.mkfifo(package / "files" / "pipe")

    with pytest.raises(DeployError, match="a pipe or a device"):
        package_files(package)


@pytest.mark.parametrize(
    "name", ["a\\b", "a\nb", "a\x7f", b"\xff".decode(errors="surrogateescape")]
)
def test_a_name_that_not_every_reader_takes_is_refused(package: Path, name: str) -> None:
    (package / name).touch()

    with pytest.raises(DeployError, match="a package cannot carry"):
        package_files(package)


def test_a_full_disk_leaves_no_half_archive(package: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    with pytest.raises(OutputError):
        write_archive(package, tmp_path / "out" / "app.zip")

    assert not list(tmp_path.glob("*.zip"))


def test_a_file_that_grows_while_it_is_read_is_an_error(package: Path, tmp_path: Path) -> None:
    model = package / "files" / "model.onnx"

    def grow(_done: int, _total: int) -> None:
        with model.open("ab") as stream:
            stream.write(b"more")

    with pytest.raises(DeployError, match="changed while it was read"):
        write_archive(package, tmp_path / "app.zip", progress=grow)

    assert not (tmp_path / "app.zip").exists()


def test_progress_ends_with_all_bytes(package: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    sizes = write_archive(package, tmp_path / "a.zip", progress=lambda *step: seen.append(step))

    assert seen[-1] == (sum(sizes.values()),) * 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["services.xml"], "."),
        (["src/main/application/services.xml"], "src/main/application"),
        (["services.xml", "src/main/application/services.xml"], "src/main/application"),
        (["pom.xml", "target/application/services.xml"], "target/application"),
    ],
)
def test_a_package_is_found_where_the_client_looks(
    tmp_path: Path, files: list[str], expected: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert package_root(tmp_path) == tmp_path / expected


@pytest.mark.parametrize(("files", "message"), [(["pom.xml"], "mvn package"), ([], "found none")])
def test_no_package_is_an_error(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).touch()

    with pytest.raises(DeployError, match=message):
        package_root(tmp_path)
