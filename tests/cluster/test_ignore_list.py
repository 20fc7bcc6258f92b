from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.cluster.ignore_list import read_ignore_list
from vespa_colbert.errors import DeployError


def ignores(tmp_path: Path, patterns: str, path: str) -> bool:
    file = tmp_path / ".vespaignore"
    file.write_text(patterns)
    return read_ignore_list(file).ignores(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("foo", "foo", True),
        ("foo", "foo1", False),
        ("foo", "a/foo", False),
        ("foo*", "foobar", True),
        ("*.tmp", "a.tmp", True),
        ("*.tmp", "a/b.tmp", False),
        ("*/b.tmp", "a/b.tmp", True),
        ("???.tmp", "foo.tmp", True),
        ("???.tmp", "a/b.tmp", False),
        ("foo/*/baz", "foo/bar/baz", True),
        ("foo/*/baz", "foo/bar/bax", False),
        ("bar/", "bar", False),
        ("bar/", "bar/x", True),
        ("bar/", "barx", False),
        ("[a-c]", "b", True),
        ("[^a-c]", "b", False),
        ("[^a-c]", "d", True),
        ("[c-a]", "b", False),
        (r"[\]]", "]", True),
        (r"\*", "*", True),
        (r"\*", "x", False),
        ("a.b", "axb", False),
        ("# x", "# x", False),
        ("  foo  ", "foo", True),
        ("*", ".", True),
        ("", "", False),
        ("", "a/.DS_Store", True),
        ("[ab][cd]", "bd", True),
        ("größe", "größe", True),
    ],
)
def test_a_pattern_is_matched_as_go_does(
    tmp_path: Path, pattern: str, path: str, expected: bool
) -> None:
    assert ignores(tmp_path, pattern, path) is expected


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "[]a]", "[a-]", "[-a]", "a\\", "[^]", "[a-"])
def test_a_malformed_pattern_is_an_error_with_its_line(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(DeployError, match="line 2: bad pattern"):
        ignores(tmp_path, f"ok\n{pattern}\n", "x")


def test_no_file_ignores_nothing(tmp_path: Path) -> None:
    assert not read_ignore_list(tmp_path / ".vespaignore").ignores("x")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".vespaignore").mkdir()

    with pytest.raises(DeployError, match="cannot be read"):
        read_ignore_list(tmp_path / ".vespaignore")


def test_two_stars_stop_at_a_slash_as_one_does(tmp_path: Path) -> None:
    assert ignores(tmp_path, "**/x", "a/x")
    assert not ignores(tmp_path, "**/x", "a/b/x")
