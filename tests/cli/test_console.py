"""Progress: a line now and then into a pipe, a bar with rate and remaining time on a terminal."""

from __future__ import annotations

import io
import itertools
import os
import re
import sys
import types

import pytest

from vespa_colbert.cli import console
from vespa_colbert.cli.console import Console


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds pass between two looks at the clock."""
    ticks = itertools.count(0.0, 10.0)
    monkeypatch.setattr(console, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.usefixtures("clock")
def test_a_pipe_gets_lines_with_rate_and_remaining_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console().track("embedding", 100) as progress:
        progress(0)
        progress(50)
        progress(100)

    assert capsys.readouterr().err.splitlines() == [
        "  embedding: 50/100, 5.0/s, 10 s left",
        "  embedding: 100/100, 5.0/s, 0 s left",
    ]


@pytest.mark.usefixtures("clock")
def test_what_an_earlier_run_left_is_no_part_of_the_rate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console().track("feed", 1000) as progress:
        progress(900)
        progress(950)

    assert capsys.readouterr().err.splitlines() == [
        "  feed: 900/1000",
        "  feed: 950/1000, 5.0/s, 10 s left",
    ]


@pytest.mark.usefixtures("clock")
def test_where_the_number_of_items_is_not_known_no_remaining_time_is_guessed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console().track("compress", 0) as progress:
        progress(50)
        progress(80)

    assert capsys.readouterr().err == "  compress: 50\n  compress: 80, 3.0/s\n"


def test_a_terminal_gets_a_bar_with_rate_and_remaining_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setitem(os.environ, "TERM", "xterm")
    monkeypatch.setitem(os.environ, "COLUMNS", "100")

    with Console().track("embedding", 100) as progress:
        for done in range(0, 101, 10):
            progress(done)

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "embedding" in shown
    assert re.search(r"100/100 +[0-9]+\.[0-9]/s +0:00:", shown), shown
