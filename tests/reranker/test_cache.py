"""Scores that are kept: by model and pair, through a kill, beside another process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vespa_colbert.errors import OutputError
from vespa_colbert.reranker import Reranker, ScoreCache, Sequencing, open_scorer
from vespa_colbert.reranker.cache import pair_key

ROOT = Path(__file__).parents[2]
PAIRS = [("what is a rose?", "A rose is a rose."), ("dog", "the lazy dog"), ("dog", "")]

WRITER = """
import sys
from pathlib import Path
from vespa_colbert.reranker.cache import ScoreCache, pair_key
path, model, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with ScoreCache(path) as cache:
    for place in range(first, first + count):
        batch = {pair_key(f"q{place}", f"d{each}"): place + each / 8 for each in range(8)}
        cache.put(model, batch)
        print(place, flush=True)
"""


class Counting:
    """A scorer that counts what it is asked."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def logits(self, batch: Sequence[Any]) -> NDArray[np.float64]:
        self.asked += len(batch)
        return np.asarray(self.inner.logits(batch), np.float64)


@pytest.fixture(name="scorer")
def scorer_fixture(folders: Mapping[str, Path]) -> Counting:
    return Counting(open_scorer(folders["bert"]))


def writer(path: Path, model: str, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), model, str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_pair_is_scored_once_and_again_for_another_rule(scorer: Counting, tmp_path: Path) -> None:
    with ScoreCache(tmp_path / "scores.db") as cache:
        reranker = Reranker(scorer, cache=cache)
        first = reranker.score([*PAIRS, PAIRS[0]])
        assert (scorer.asked, reranker.last.cached) == (3, 0)

        assert reranker.score(PAIRS).tolist() == first[:3].tolist()
        assert (scorer.asked, reranker.last.cached) == (3, 3)

        Reranker(scorer, cache=cache, score="sigmoid").score(PAIRS)
        assert scorer.asked == 3, "the logit is kept, whatever is made of it"
        Reranker(scorer, cache=cache, sequencing=Sequencing.of_package(40, 8)).score(PAIRS)
        assert scorer.asked == 6
        assert len(cache) == 6


def test_another_model_has_scores_of_its_own(folders: Mapping[str, Path], tmp_path: Path) -> None:
    with ScoreCache(tmp_path / "scores.db") as cache:
        found = [
            Reranker(open_scorer(folders[name]), cache=cache).score(PAIRS).tolist()
            for name in ("bert", "xlm-roberta")
        ]
        assert found[0] != found[1]
        assert len(cache) == 6


def test_a_pair_is_not_taken_for_one_that_is_split_elsewhere() -> None:
    assert len({pair_key("a", "bc"), pair_key("ab", "c"), pair_key("", "abc")}) == 3


def test_many_keys_are_asked_at_once(tmp_path: Path) -> None:
    known = {pair_key("q", str(place)): place / 3 for place in range(1201)}
    with ScoreCache(tmp_path / "scores.db") as cache:
        cache.put("m", known)
        assert cache.get("m", [*known, pair_key("q", "other")]) == known
        assert cache.get("other", list(known)) == {}


def test_what_was_written_before_a_kill_is_there(tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    process = writer(path, "m", 0, 100_000)
    assert process.stdout is not None
    last = [int(process.stdout.readline()) for _ in range(20)][-1]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    with ScoreCache(path) as cache:
        keys = [pair_key(f"q{place}", f"d{each}") for place in range(last + 1) for each in range(8)]
        assert len(cache.get("m", keys)) == len(keys)
        assert len(cache) % 8 == 0, "a batch is there whole or not at all"
        cache.put("m", {pair_key("after", "the kill"): 1.0})


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    processes = [writer(path, "m", first, 40) for first in (0, 20)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0

    with ScoreCache(path) as cache:
        assert len(cache) == 60 * 8
        wanted = {pair_key(f"q{place}", "d2"): place + 0.25 for place in range(60)}
        assert cache.get("m", list(wanted)) == wanted


@pytest.mark.parametrize("content", ["another database", "not one at all", "a newer format"])
def test_another_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.db"
    if content == "not one at all":
        path.write_bytes(b"dear diary " * 500)
    elif content == "another database":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE notes (text TEXT)")
        other.close()
    else:
        ScoreCache(path).close()
        with sqlite3.connect(path) as newer:
            newer.execute("PRAGMA user_version = 2")
        newer.close()
    before = path.read_bytes()

    with pytest.raises(OutputError, match=r"notes\.db"):
        ScoreCache(path)

    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="score cache"):
        ScoreCache(tmp_path / "file" / "scores.db")
