from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from vespa_colbert import files
from vespa_colbert.errors import OutputError
from vespa_colbert.files import (
    FileDigest,
    atomic_file,
    atomic_folder,
    changed_files,
    continued_file,
    digest_file,
)

OLD, NEW = {"a.txt": "old a", "sub/b.txt": "old b"}, {"a.txt": "new a", "sub/b.txt": "new b"}
SECONDS = 20
"""A child that takes longer is broken: it does nothing but write two small files."""


def write(folder: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill_file(path: Path, text: str, error: BaseException | None = None) -> None:
    with atomic_file(path) as part:
        part.write_text(text)
        if error is not None:
            raise error


def fill_folder(
    path: Path,
    contents: dict[str, str],
    error: BaseException | None = None,
    is_ours: Callable[[Path], bool] = lambda _folder: True,
) -> None:
    with atomic_folder(path, is_ours=is_ours) as part:
        write(part, contents)
        if error is not None:
            raise error


def use(path: Path, block: Callable[[Path], None]) -> None:
    with atomic_folder(path) as part:
        block(part)


def run_out_of_space(output: contextlib.AbstractContextManager[Path]) -> None:
    with output, Path("/dev/full").open("w") as full:
        full.write("x")


@pytest.fixture
def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("not a folder")
    return tmp_path / "file" / "out"


class TestAtomicFile:
    def test_the_file_has_its_name_only_after_the_block(self, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "out.txt"
        with atomic_file(path) as part:
            part.write_text("whole")
            assert not path.exists()
            assert part.parent == path.parent
        assert path.read_text() == "whole"
        assert names(path.parent) == ["out.txt"]

    def test_an_exception_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("old")
        with pytest.raises(RuntimeError, match="in the block"):
            fill_file(path, "half", RuntimeError("in the block"))
        assert contents(tmp_path) == {"out.txt": "old"}

    def test_an_exception_leaves_nothing_where_nothing_was(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError):
            fill_file(tmp_path / "out.txt", "half", RuntimeError())
        assert names(tmp_path) == []

    def test_a_reader_sees_the_old_file_until_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("old")
        with path.open() as reader:
            with atomic_file(path) as part:
                part.write_text("new")
                assert path.read_text() == "old"
            assert reader.read() == "old"
        assert path.read_text() == "new"

    def test_the_file_can_be_read_by_others(self, tmp_path: Path) -> None:
        with atomic_file(tmp_path / "out") as part:
            part.write_text("x")
        assert (tmp_path / "out").stat().st_mode & 0o777 == 0o644

    def test_a_path_below_a_file_is_refused(self, below_a_file: Path) -> None:
        fault = r"\(\S+/file is a file, expected a folder\); choose an output path"
        for path in (below_a_file, below_a_file / "deeper"):
            with pytest.raises(OutputError, match=fault):
                fill_file(path, "x")

    def test_a_path_where_nothing_can_be_made_is_refused(self) -> None:
        with pytest.raises(OutputError, match="/proc/nowhere/out"):
            fill_file(Path("/proc/nowhere/out"), "x")

    @pytest.mark.parametrize("opened", [atomic_file, continued_file])
    @pytest.mark.parametrize(
        ("make", "got"), [(os.mkdir, "a folder"), (os.mkfifo, "a device or pipe")]
    )
    def test_what_is_no_file_is_left_alone_and_seen_before_the_work(
        self,
        tmp_path: Path,
        opened: Callable[[Path], contextlib.AbstractContextManager[object]],
        make: Callable[[Path], None],
        got: str,
    ) -> None:
        make(tmp_path / "out")
        kind = stat.S_IFMT((tmp_path / "out").stat().st_mode)
        fault = f"expected a file or nothing, got {got}"
        with pytest.raises(OutputError, match=fault), opened(tmp_path / "out"):
            pytest.fail("it comes too late")
        assert stat.S_IFMT((tmp_path / "out").stat().st_mode) == kind
        assert names(tmp_path) == ["out"]

    def test_a_full_disk_is_explained_and_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="free some space"):
            run_out_of_space(atomic_file(tmp_path / "out"))
        assert names(tmp_path) == []

    def test_an_error_about_an_input_stays_what_it_is(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "out") as part:
            part.write_text((tmp_path / "missing input").read_text())


class TestAtomicFolder:
    def test_the_folder_has_its_name_only_after_the_block(self, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "out"
        with atomic_folder(path) as part:
            write(part, NEW)
            assert not path.exists()
        assert contents(path) == NEW
        assert names(path.parent) == ["out"]

    def test_the_old_folder_is_replaced_and_never_mixed(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        write(path, OLD | {"only old.txt": "x"})
        with atomic_folder(path) as part:
            write(part, NEW)
            assert contents(path) == OLD | {"only old.txt": "x"}
        assert contents(path) == NEW
        assert names(tmp_path) == ["out"]

    def test_the_old_folder_is_replaced_where_names_cannot_change_places(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_exchange", lambda *_paths: False)
        self.test_the_old_folder_is_replaced_and_never_mixed(tmp_path)

    def test_a_rename_that_fails_brings_the_old_folder_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, replace = tmp_path / "out", Path.replace
        write(path, OLD)

        def failing(this: Path, target: Path) -> Path:
            if this.suffix == ".part":
                raise OSError(errno.EIO, "Input/output error", str(this))
            return replace(this, target)

        monkeypatch.setattr(files, "_exchange", lambda *_paths: False)
        monkeypatch.setattr(Path, "replace", failing)
        with pytest.raises(OutputError, match="Input/output error"):
            fill_folder(path, NEW)
        assert contents(path) == OLD
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("exchanges", [True, False])
    def test_a_folder_that_vanished_leaves_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
    ) -> None:
        path = tmp_path / "out"
        write(path, OLD)
        if not exchanges:
            monkeypatch.setattr(files, "_exchange", lambda *_paths: False)
        with pytest.raises(OutputError), atomic_folder(path) as part:
            part.rmdir()
        assert contents(path) == OLD
        assert names(tmp_path) == ["out"]

    def test_an_exception_leaves_the_old_folder_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        write(path, OLD)
        with pytest.raises(KeyboardInterrupt):
            fill_folder(path, NEW, KeyboardInterrupt())
        assert contents(path) == OLD
        assert names(tmp_path) == ["out"]

    def test_an_exception_leaves_nothing_where_nothing_was(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError):
            fill_folder(tmp_path / "out", NEW, RuntimeError())
        assert names(tmp_path) == []

    def test_a_folder_that_is_not_ours_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        write(path, OLD)
        with pytest.raises(OutputError, match="not written by this command"):
            fill_folder(path, NEW, is_ours=lambda there: (there / "manifest").is_file())
        assert contents(path) == OLD
        assert names(tmp_path) == ["out"]

    def test_an_empty_folder_is_nobodys(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        fill_folder(tmp_path / "out", NEW, is_ours=lambda _there: False)
        assert contents(tmp_path / "out") == NEW

    def test_a_file_of_that_name_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("data")
        with pytest.raises(OutputError, match="expected a folder or nothing, got a file"):
            fill_folder(tmp_path / "out", NEW)
        assert contents(tmp_path) == {"out": "data"}

    def test_a_path_below_a_file_is_refused(self, below_a_file: Path) -> None:
        with pytest.raises(OutputError, match="choose an output path"):
            fill_folder(below_a_file, NEW)

    def test_a_path_where_nothing_can_be_made_is_refused(self) -> None:
        with pytest.raises(OutputError, match="/proc/nowhere/out"):
            fill_folder(Path("/proc/nowhere/out"), NEW)

    def test_a_full_disk_is_explained(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="free some space"):
            run_out_of_space(atomic_folder(tmp_path / "out"))
        assert names(tmp_path) == []

    def test_an_error_about_an_input_stays_what_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "input").write_text("a file")
        with pytest.raises(NotADirectoryError), atomic_folder(tmp_path / "out"):
            list((tmp_path / "input").iterdir())

    def test_a_full_disk_elsewhere_is_not_blamed_on_the_output(self, tmp_path: Path) -> None:
        elsewhere = OSError(errno.ENOSPC, "No space left on device", "/other/file")
        with pytest.raises(OSError, match="/other/file") as caught:
            fill_folder(tmp_path / "out", NEW, elsewhere)
        assert not isinstance(caught.value, OutputError)

    def test_the_part_of_a_file_of_the_same_name_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / ".out.abcd1234.part").write_text("somebody is writing a file")
        fill_folder(tmp_path / "out", NEW)
        assert names(tmp_path) == [".out.abcd1234.part", "out"]

    def test_a_link_to_a_folder_stays_a_link(self, tmp_path: Path) -> None:
        write(tmp_path / "real" / "v1", OLD)
        (tmp_path / "out").symlink_to(tmp_path / "real" / "v1")
        fill_folder(tmp_path / "out", NEW)
        assert (tmp_path / "out").is_symlink()
        assert contents(tmp_path / "real" / "v1") == NEW
        assert names(tmp_path) == ["out", "real"]

    def test_a_second_writer_is_refused_and_the_first_one_finishes(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        with atomic_folder(path) as part:
            write(part, NEW)
            with pytest.raises(OutputError, match=rf"another process \({os.getpid()}\) is writing"):
                fill_folder(path, OLD)
        assert contents(path) == NEW
        assert names(tmp_path) == ["out"]

    def test_a_writer_that_opened_a_lock_just_removed_takes_the_new_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lock file of an ended writer is unlinked between our open and our flock."""
        lock, tries, flock = tmp_path / ".out.lock", list[int](), fcntl.flock

        def late(stream: TextIO, operation: int) -> None:
            if not tries:
                lock.unlink()
            tries.append(operation)
            flock(stream, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        with atomic_folder(tmp_path / "out") as part:
            write(part, NEW)
            assert lock.exists()
        assert len(tries) == 2
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("other", ["out.int8", "out.old", "out.part", "out[1]", "xout"])
    def test_the_temporary_files_of_outputs_with_similar_names_are_left_alone(
        self, tmp_path: Path, other: str
    ) -> None:
        write(tmp_path / f".{other}.123.old", OLD)
        write(tmp_path / f".{other}.abcd1234.part", OLD)
        before = set(names(tmp_path))
        fill_folder(tmp_path / "out", NEW)
        assert contents(tmp_path / "out") == NEW
        assert set(names(tmp_path)) == before | {"out"}

    def test_a_name_of_pattern_characters_is_swept_like_any_other(self, tmp_path: Path) -> None:
        write(tmp_path / ".out[1].abcd1234.part", OLD)
        write(tmp_path / ".out1.99.old", OLD)
        fill_folder(tmp_path / "out[1]", NEW)
        assert names(tmp_path) == [".out1.99.old", "out[1]"]


STEPS = (
    "at the start",
    "one file",
    "both files",
    "at the end",
    "before the sync",
    "after the sync",
    "before the swap",
    "after the swap",
    "between the renames",
    "before the removal",
)
CHILD = """
    import os, signal, sys
    from pathlib import Path
    from vespa_colbert import files

    path, step = Path(sys.argv[1]), sys.argv[2]

    def die(at):
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(name, before, after):
        real = getattr(files, name)
        def replaced(*arguments, **named):
            die(before)
            result = real(*arguments, **named)
            die(after)
            return result
        setattr(files, name, replaced)

    dying("sync_folder", "before the sync", "after the sync")
    dying("_swap", "before the swap", "after the swap")
    if step in ("between the renames", "before the removal"):
        files._exchange = lambda part, path: False
        real_replace, renames = Path.replace, []
        def replace(self, target):
            real_replace(self, target)
            renames.append(target)
            die({1: "between the renames", 2: "before the removal"}[len(renames)])
        Path.replace = replace

    with files.atomic_folder(path) as part:
        die("at the start")
        (part / "a.txt").write_text("new a")
        die("one file")
        (part / "sub").mkdir()
        (part / "sub" / "b.txt").write_text("new b")
        die("both files")
        die("at the end")
"""


def run_child(source: str, *arguments: str) -> int:
    command = [sys.executable, "-c", textwrap.dedent(source), *arguments]
    return subprocess.run(command, timeout=SECONDS, check=False).returncode


class TestKilledWriter:
    @pytest.mark.parametrize("step", STEPS)
    def test_the_old_folder_is_whole_or_the_new_one_and_the_next_run_sweeps(
        self, tmp_path: Path, step: str
    ) -> None:
        path = tmp_path / "out"
        write(path, OLD)
        assert run_child(CHILD, str(path), step) == -signal.SIGKILL
        is_new = step in {"after the swap", "before the removal"}
        if step == "between the renames":  # only where the kernel cannot do both in one step
            assert not path.exists()
        else:
            assert contents(path) == (NEW if is_new else OLD)
        assert self.what_the_next_run_finds(path) == (NEW if is_new else OLD)
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("step", STEPS[:8])
    def test_where_nothing_was_there_is_nothing_or_the_new_folder(
        self, tmp_path: Path, step: str
    ) -> None:
        path = tmp_path / "out"
        assert run_child(CHILD, str(path), step) == -signal.SIGKILL
        wanted = NEW if step == "after the swap" else None
        assert (contents(path) if path.exists() else None) == wanted
        assert self.what_the_next_run_finds(path) == wanted
        assert names(tmp_path) == (["out"] if wanted else [])

    def what_the_next_run_finds(self, path: Path) -> dict[str, str] | None:
        seen = list[dict[str, str] | None]()

        def look(_part: Path) -> None:
            seen.append(contents(path) if path.exists() else None)
            raise RuntimeError("seen enough")

        with pytest.raises(RuntimeError, match="seen enough"):
            use(path, look)
        return seen[0]

    def test_its_lock_does_not_outlive_it(self, tmp_path: Path) -> None:
        run_child(CHILD, str(tmp_path / "out"), "one file")
        assert ".out.lock" in names(tmp_path)
        fill_folder(tmp_path / "out", NEW)
        assert names(tmp_path) == ["out"]


RIVAL = """
    import sys, time
    from pathlib import Path
    from vespa_colbert.errors import OutputError
    from vespa_colbert.files import atomic_folder

    path, me = Path(sys.argv[1]), sys.argv[2]
    won = lost = 0
    print("ready", flush=True)
    sys.stdin.readline()
    while won < 20 or (not lost and won < 2000):
        try:
            with atomic_folder(path) as part:
                for name in "abc":
                    (part / name).write_text(f"{me} {won}")
            won += 1
        except OutputError as error:
            assert "another process" in str(error), error
            lost += 1
            time.sleep(0.001)
    print(lost)
"""


class TestRivals:
    @pytest.fixture
    def rivals(self, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
        command = [sys.executable, "-c", textwrap.dedent(RIVAL), str(tmp_path / "out")]
        started = [
            subprocess.Popen(
                [*command, str(each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for each in range(3)
        ]
        yield started
        for each in started:
            each.kill()
            each.communicate()

    def test_writers_at_the_same_time_leave_one_whole_folder_and_no_stray_file(
        self, tmp_path: Path, rivals: list[subprocess.Popen[str]]
    ) -> None:
        for each in rivals:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in rivals:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        losses = [int(each.communicate(timeout=SECONDS)[0]) for each in rivals]
        assert [each.returncode for each in rivals] == [0, 0, 0]
        assert sum(losses) > 0, "they never met: this test shows nothing"
        assert len(set(contents(tmp_path / "out").values())) == 1
        assert names(tmp_path) == ["out"]


class TestDigests:
    def test_digest_is_sha256_and_size(self, tmp_path: Path) -> None:
        data = os.urandom((1 << 20) + 17)
        (tmp_path / "x").write_bytes(data)
        digest = digest_file(tmp_path / "x")
        assert digest == FileDigest(sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    def test_every_kind_of_damage_is_one_line_that_names_the_file(self, tmp_path: Path) -> None:
        for name in ("missing", "short", "flipped", "whole"):
            (tmp_path / name).write_bytes(b"0123456789")
        manifest = {name: digest_file(tmp_path / name) for name in names(tmp_path)}
        assert changed_files(tmp_path, manifest) == []
        (tmp_path / "missing").unlink()
        (tmp_path / "short").write_bytes(b"012345678")
        (tmp_path / "flipped").write_bytes(b"0123456788")
        flipped, missing, short = changed_files(tmp_path, manifest)
        assert missing == f"{tmp_path / 'missing'}: missing"
        assert f"{tmp_path / 'short'}: expected 10 bytes" in short
        assert "got 9 bytes" in short
        assert f"{tmp_path / 'flipped'}: expected 10 bytes" in flipped

    def test_a_folder_in_place_of_a_file_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir()
        assert changed_files(tmp_path, {"x": FileDigest(sha256="0", size=0)}) == [
            f"{tmp_path / 'x'}: missing"
        ]
