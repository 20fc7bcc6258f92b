from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lark
import pytest

from vespa_colbert.app import grammar as grammar_module
from vespa_colbert.app.grammar import open_grammar
from vespa_colbert.errors import OutputError
from vespa_colbert.files import atomic_file

ONES = 'start: "a" start | "b"\n'
TWOS = 'start: "a" "a" start | "b"\n'


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Return the texts of grammars whose tables were made, as they are made."""
    texts: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    build: Callable[..., None] = lark.Lark.__init__

    def counted(self: lark.Lark, grammar: str, **options: Any) -> None:
        texts.append(grammar)
        build(self, grammar, **options)

    monkeypatch.setattr(lark.Lark, "__init__", counted)
    return texts


@pytest.fixture
def grammar(tmp_path: Path) -> Path:
    path = tmp_path / "package" / "own.lark"
    path.parent.mkdir()
    path.write_text(ONES, encoding="utf-8")
    return path


def kept_beside(grammar: Path) -> Path:
    (found,) = (grammar.parent / "__pycache__").iterdir()
    return found


class Depth(lark.Transformer[lark.Token, int]):
    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def start(self, items: list[int]) -> int:
        return self._step + sum(items)


def depth(grammar: Path, text: str, step: int = 1) -> Any:
    return open_grammar(grammar, transformer=Depth(step)).parse(text)


def test_tables_are_made_once_and_parse_the_same(grammar: Path, made: list[str]) -> None:
    assert [depth(grammar, "aaab") for _process in range(3)] == [4, 4, 4]
    assert made == [ONES]
    with pytest.raises(lark.exceptions.UnexpectedInput):
        depth(grammar, "aa")


def test_tables_of_another_text_are_not_taken(grammar: Path, made: list[str]) -> None:
    assert depth(grammar, "aab") == 3
    grammar.write_text(TWOS, encoding="utf-8")
    assert depth(grammar, "aab") == 2
    assert made == [ONES, TWOS]


def test_tables_of_other_options_are_not_taken(grammar: Path, made: list[str]) -> None:
    open_grammar(grammar)
    kept = open_grammar(grammar, propagate_positions=True).parse("ab")
    assert made == [ONES, ONES]
    assert kept.meta.end_column == 3


def test_transformers_have_tables_of_their_own(grammar: Path, made: list[str]) -> None:
    assert [depth(grammar, "aab", step) for step in (1, 10, 1, 10)] == [3, 30, 3, 30]
    assert made == [ONES, ONES]


@pytest.mark.parametrize("release", ["lark", "python"])
def test_tables_of_another_release_are_not_taken(
    release: str, grammar: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_grammar(grammar)
    if release == "lark":
        monkeypatch.setattr(lark, "__version__", "99")
    else:
        monkeypatch.setattr(sys, "version", "99")
    open_grammar(grammar)
    assert made == [ONES, ONES]


def test_damaged_tables_are_made_anew_wherever_they_are_damaged(
    grammar: Path, made: list[str]
) -> None:
    depth(grammar, "b")
    kept = kept_beside(grammar)
    whole = kept.read_bytes()
    places = range(0, len(whole), max(1, len(whole) // 40))
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1
        kept.write_bytes(flipped)
        assert depth(grammar, "ab") == 2
    kept.write_bytes(whole[:-1])
    assert depth(grammar, "ab") == 2
    assert len(made) == 1 + len(places) + 1


def test_whole_tables_that_lark_cannot_load_are_made_anew(grammar: Path, made: list[str]) -> None:
    open_grammar(grammar)
    kept, tables = kept_beside(grammar), b"no pickle"
    digest = hashlib.sha256(tables).hexdigest().encode("ascii")
    kept.write_bytes(digest + b"\n" + tables)
    assert open_grammar(grammar).parse("ab").children
    assert made == [ONES, ONES]


def test_the_users_caches_hold_what_the_package_may_not(
    grammar: Path, made: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refusing(path: Path) -> Any:
        if path.is_relative_to(grammar.parent):
            raise OutputError("read-only")
        return atomic_file(path)

    monkeypatch.setattr(grammar_module, "atomic_file", refusing)
    assert [depth(grammar, "ab") for _process in range(2)] == [2, 2]
    assert made == [ONES]
    assert not (grammar.parent / "__pycache__").exists()
    assert len(list((tmp_path / "caches" / "vespa-colbert").iterdir())) == 1


def test_nothing_is_kept_where_nothing_can_be_written(
    grammar: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(_path: Path) -> Any:
        raise OutputError("read-only")

    monkeypatch.setattr(grammar_module, "atomic_file", refusing)
    assert [depth(grammar, "ab") for _process in range(2)] == [2, 2]
    assert made == [ONES, ONES]
