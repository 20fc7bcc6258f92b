"""Changes of an index: what is there after each, and what readers see meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.index.stored_cases import START, change, found, part, states
from tests.killed_processes import as_nobody
from vespa_colbert.errors import CollectionError, IndexFolderError, OutputError
from vespa_colbert.index import (
    all_faults,
    is_index_folder,
    open_index,
    open_snapshot,
    read_index,
    write_index,
)
from vespa_colbert.index.array_file import ArrayFileWriter
from vespa_colbert.index.join import merge_snapshots


def write(path: Path, steps: int) -> None:
    stored: dict[str, str] = {}
    with write_index(path, start=START) as writer:
        for step in range(steps):
            stored = change(writer, step, stored)


def test_documents_are_added_replaced_deleted_and_brought_together(tmp_path: Path) -> None:
    stored: dict[str, str] = {}
    with write_index(tmp_path / "index", start=START) as writer:
        for step, after in enumerate(states(20)[1:]):
            stored = change(writer, step, stored)
            assert stored == after
            assert found(tmp_path / "index") == after
            assert len(writer) == len(after)
    assert all_faults(tmp_path / "index") == []
    assert is_index_folder(tmp_path / "index")


def test_documents_keep_their_order_and_a_replaced_one_comes_last(tmp_path: Path) -> None:
    with write_index(tmp_path / "index", start=START) as writer:
        writer.add([part({"b": "1", "a": "2", "c": "3"})])
        writer.add([part({"a": "new"})])
        before = [each.id for each in open_index(tmp_path / "index").documents]
        writer.compact()

    assert before == ["b", "c", "a"]
    assert [each.id for each in open_index(tmp_path / "index").documents] == before


def test_a_reader_keeps_what_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "index"
    write(path, 5)
    index, reader = open_index(path), read_index(path)
    ids = [each.id for each in index.documents]
    rows = {name: each.values.copy() for name, each in index.tensors.items()}
    with write_index(path) as writer:
        writer.delete(ids[:3])
        writer.add([part({"new": "text"})])
        writer.compact()

    assert [each.id for each in index.documents] == ids
    assert [each.id for each in reader.documents()] == ids
    for name, each in index.tensors.items():
        assert np.array_equal(each.values, rows[name])
        assert reader.tensor(name, 0) == each.document(0)
    assert {each.id for each in open_index(path).documents} == {*ids[3:], "new"}


def test_an_unknown_document_is_not_deleted_and_nothing_else_is(tmp_path: Path) -> None:
    write(tmp_path / "index", 2)
    before = found(tmp_path / "index")
    with (
        write_index(tmp_path / "index") as writer,
        pytest.raises(CollectionError, match="1 that are not in it: 'nobody'; nothing was deleted"),
    ):
        writer.delete([*before, "nobody"])
    assert found(tmp_path / "index") == before


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    with (
        write_index(tmp_path / "index", start=START),
        pytest.raises(OutputError, match=rf"another process \({os.getpid()}\) is writing it"),
        write_index(tmp_path / "index"),
    ):
        pass


def test_what_stands_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    with (
        pytest.raises(OutputError, match="left alone"),
        write_index(tmp_path / "thesis", start=START),
    ):
        pass
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years"


def test_many_small_additions_leave_few_segments(tmp_path: Path) -> None:
    with write_index(tmp_path / "index", start=START) as writer:
        for place in range(23):
            writer.add([part({f"d{place}": f"text {place}"}, place)])
        assert len(writer.segments) == 2 + 3
    assert found(tmp_path / "index") == {f"d{place}": f"text {place}" for place in range(23)}


def test_an_older_format_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "manifest.json").write_text('{"format": 1}')

    with pytest.raises(IndexFolderError, match="expected format 2 or 3, got 1; embed again"):
        open_index(tmp_path / "index")


def test_indexes_are_merged_in_the_order_of_the_corpus(tmp_path: Path) -> None:
    for name, stored, first in (("b", {"c": "3", "d": "4"}, 2), ("a", {"a": "1", "b": "2"}, 0)):
        with write_index(tmp_path / name, start=START) as writer:
            writer.add([part(stored, first)])
    snapshots = [open_snapshot(tmp_path / "b"), open_snapshot(tmp_path / "a")]

    merge_snapshots(snapshots, tmp_path / "all", START.origin)

    assert list(found(tmp_path / "all")) == ["a", "b", "c", "d"]
    with pytest.raises(IndexFolderError, match=r"'c' in \S+/b and in \S+/b; name each index once"):
        merge_snapshots([*snapshots, snapshots[0]], tmp_path / "twice", START.origin)
    with write_index(tmp_path / "more", start=START) as writer:
        writer.add([part({"x": "5", "a name": "1"}, 0)])
        writer.delete(["x"])
    with write_index(tmp_path / "a") as writer:
        writer.add([part({"a name": "2"}, 4)])
    both = [open_snapshot(tmp_path / each) for each in ("a", "b", "more")]
    wanted = r"'a name' in \S+/a and in \S+/more; .* index delete \S+/a --id 'a name'$"
    with pytest.raises(IndexFolderError, match=wanted):
        merge_snapshots(both, tmp_path / "twice", START.origin)
    with pytest.raises(IndexFolderError, match="made with model 'm', expected 'other'"):
        merge_snapshots(snapshots, tmp_path / "other", {"model": "other"})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "all", "b", "more"]


@pytest.mark.parametrize("flips", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found(tmp_path: Path, flips: int) -> None:
    path = tmp_path / "index"
    write(path, 8)
    assert all_faults(path) == []
    draw = np.random.default_rng(0)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    # A file as likely as another: the small ones have what matters most.
    for file in (files[place] for place in draw.integers(len(files), size=flips)):
        whole = file.read_bytes()
        broken = bytearray(whole)
        bit = int(draw.integers(len(whole) * 8))
        broken[bit // 8] ^= 1 << bit % 8
        file.write_bytes(broken)
        try:
            assert all_faults(path), f"{file} bit {bit}"
        except IndexFolderError:
            assert file.name == "manifest.json"
        file.write_bytes(whole)
    assert all_faults(path) == []


class Failing:
    """Lets the n-th write, sync, rename or folder fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.at, self.count = at, 0
        points = (Path, "open"), (Path, "replace"), (Path, "mkdir"), (ArrayFileWriter, "write")
        for owner, name in ((os, "fsync"), *points):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            if call.__name__ != "open" or "w" in str((*arguments, named)[1]):
                self.count += 1
                if self.count == self.at:
                    raise OSError(28, "No space left on device")
            return call(*arguments, **named)

        return counting


@pytest.mark.parametrize(
    ("step", "stride"),
    [(3, 7), *(pytest.param(step, 1, marks=pytest.mark.slow) for step in (1, 2, 3, 8))],
)
def test_a_failure_at_any_point_leaves_the_state_before_or_after(
    tmp_path: Path, step: int, stride: int
) -> None:
    every = states(step + 1)
    unharmed = 0
    for at in range(1, 41, stride):
        path = tmp_path / f"at{at}" / "index"
        write(path, step)
        with write_index(path) as writer, pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, at)
            try:
                change(writer, step, every[step])
                unharmed += failing.count < at
            except OutputError as error:
                assert str(path) in str(error)  # noqa: PT017 - what did not fail is fine, too
            patch.undo()
            state = found(path)
            assert state in (every[step], every[step + 1]), at
            # The same writer goes on with what the disk has.
            writer.add([part({"after": "the failure"}, 99)])
            assert found(path) == {**state, "after": "the failure"}
        assert all_faults(path) == []
    assert unharmed < len(range(1, 41, stride)), "no failure was injected"


def test_a_folder_that_may_only_be_read_is_read_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "shelf" / "index"
    write(path, 3)
    for each in (tmp_path, *tmp_path.parents):
        if each != Path("/tmp") and each.owner() == "root" and not each.stat().st_mode & 1:  # noqa: S108
            each.chmod(0o755)
    for each in (path.parent, *path.parent.rglob("*")):
        each.chmod(0o555 if each.is_dir() else 0o444)

    def add() -> None:
        with write_index(path) as writer:
            writer.delete(["d0"])

    assert as_nobody(lambda: None if found(path) == states(3)[-1] else 1 / 0) == ""
    assert as_nobody(add).startswith("OutputError: ")
    path.parent.chmod(0o755)
    assert found(path) == states(3)[-1]
