"""Bad training data through the command: one message with the line, nothing written."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran, Run
from tests.train.test_rows import BAD, CORPUS, QUERIES
from tests.train.tiny_training import TRIPLES

pytestmark = pytest.mark.usefixtures("one_thread")


def lines(*rows: Any) -> bytes:
    written = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    return b"".join(row + b"\n" for row in written)


def texts(said: dict[str, str]) -> bytes:
    return lines(*({"_id": name, "text": text} for name, text in said.items() if text.strip()))


def assert_one_message(ran: Ran, *fragments: str) -> None:
    assert ran.code == 1, ran
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    message = ran.err[ran.err.index("error: ") :]
    assert len(message) < 500
    assert message.count("\n") <= 1
    for fragment in fragments:
        assert fragment in message, message


def test_every_kind_of_bad_row_is_one_message_and_nothing_is_written(
    run: Run, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "queries.jsonl").write_bytes(texts(QUERIES))
    (tmp_path / "corpus.jsonl").write_bytes(texts(CORPUS))
    rows, output = tmp_path / "rows.jsonl", tmp_path / "trained"
    ids = ("--queries", tmp_path / "queries.jsonl", "--corpus", tmp_path / "corpus.jsonl")
    before = {*tmp_path.iterdir(), rows}
    assert len(BAD) >= 20
    for bad, (given, _said) in BAD.items():
        rows.write_bytes(lines(*given))
        ran = run("train", rows, "-c", tiny_checkpoint, "-o", output, "--device", "cpu", *ids)
        # Those that are bad by themselves stand alone, the others behind a good line.
        assert_one_message(ran, str(rows) if bad == "nothing" else f"{rows} line {len(given)}: ")
        assert {*tmp_path.iterdir()} == before, bad


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--corpus", "none.jsonl"), "none.jsonl: expected a file"),
        (("--queries", "latin.jsonl"), "latin.jsonl line 2: expected UTF-8, got byte 0xe4"),
        (("--corpus", "twice.jsonl"), "twice.jsonl line 2: \"_id\" 'd1' was used on line 1"),
        (("--held-out", "latin.jsonl"), "latin.jsonl line 1: "),
        (("--dev", "twice.jsonl"), "twice.jsonl line 1: expected keys out of"),
    ],
)
def test_bad_texts_beside_the_rows_are_named(
    run: Run, tiny_checkpoint: Path, tmp_path: Path, flags: tuple[str, str], said: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(lines(*TRIPLES[:3]))
    latin = '{"_id": "q2", "text": "\xe4"}'.encode("latin-1")
    (tmp_path / "latin.jsonl").write_bytes(lines({"_id": "q1", "text": "a"}, latin))
    same = {"_id": "d1", "text": "a"}
    (tmp_path / "twice.jsonl").write_bytes(lines(same, {**same, "text": "b"}))
    before = {*tmp_path.iterdir()}
    flag, name = flags
    ran = run("train", rows, "-c", tiny_checkpoint, "-o", tmp_path / "out", flag, tmp_path / name)
    assert_one_message(ran, said)
    assert {*tmp_path.iterdir()} == before


JUDGEMENT = b"q1\td1\t1\n"
COLLECTION = {"corpus.jsonl": texts(CORPUS), "queries.jsonl": texts(QUERIES), "train": JUDGEMENT}
MINED: dict[str, tuple[dict[str, bytes], str]] = {
    "a corpus of other bytes": (
        {"corpus.jsonl": lines({"_id": "d1", "text": "a"}, b'{"_id": "\xe4"}')},
        "corpus.jsonl line 2: expected UTF-8",
    ),
    "a corpus that is no JSON": (
        {"corpus.jsonl": lines({"_id": "d1", "text": "a"}, b"{oops")},
        "corpus.jsonl line 2: expected a JSON object",
    ),
    "a document twice": (
        {"corpus.jsonl": lines({"_id": "d1", "text": "a"}, {"_id": "d1", "text": "b"})},
        "corpus.jsonl line 2: ",
    ),
    "no document": ({"corpus.jsonl": b""}, "expected at least one document"),
    "a query twice": (
        {"queries.jsonl": lines({"_id": "q1", "text": "a"}, {"_id": "q1", "text": "b"})},
        "queries.jsonl line 2: ",
    ),
    "queries of other bytes": ({"queries.jsonl": b"\xff"}, "queries.jsonl line 1: expected UTF-8"),
    "a grade that is NaN": (
        {"train": JUDGEMENT + b"q1\td2\tnan\n"},
        "train.tsv line 2: expected a",
    ),
    "no tabs": ({"train": JUDGEMENT + b"q1 d2 1\n"}, "train.tsv line 2: "),
    "a judgement twice": ({"train": JUDGEMENT + b"q1\td1\t0\n"}, "train.tsv line 2: "),
    "judgements of other bytes": ({"train": JUDGEMENT + b"q\xff\td1\t1\n"}, "line 2: expected UTF"),
    "an unknown document": ({"train": b"q1\td77\t1\n"}, "not in"),
    "an unknown query": ({"train": b"q7\td1\t1\n"}, "not in"),
    "nothing that answers": ({"train": b"q1\td1\t0\n"}, "grade 1 or more"),
    "one giant line": ({"train": b"q1\td" + b"1" * (1 << 20) + b"\t1\n"}, "not in"),
}


def write_collection(folder: Path, **changed: bytes) -> Path:
    (folder / "qrels").mkdir(parents=True)
    for name, given in {**COLLECTION, **changed}.items():
        path = folder / ("qrels/train.tsv" if name == "train" else name)
        path.write_bytes(given)
    return folder


@pytest.mark.parametrize("way", MINED)
def test_nothing_is_mined_from_a_bad_collection(run: Run, tmp_path: Path, way: str) -> None:
    changed, said = MINED[way]
    folder = write_collection(tmp_path / "collection", **changed)
    ran = run("mine", folder, "-o", tmp_path / "rows.jsonl", "--first", 1)
    assert_one_message(ran, said)
    assert [path.name for path in tmp_path.iterdir()] == ["collection"]


def test_a_missing_collection_is_named(run: Run, tmp_path: Path) -> None:
    ran = run("mine", tmp_path / "none", "-o", tmp_path / "rows.jsonl")
    assert_one_message(ran, str(tmp_path / "none"))
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_mining_leaves_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vespa_colbert.train import mining

    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mining, "_candidates", interrupted)
    folder = write_collection(tmp_path / "collection")
    ran = run("mine", folder, "-o", tmp_path / "rows.jsonl", "--first", 1)
    assert ran.code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["collection"]


def test_ctrl_c_before_the_first_step_leaves_no_state(
    run: Run, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from vespa_colbert.train.encode import hidden_rows

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return hidden_rows(*arguments)

    monkeypatch.setattr("vespa_colbert.train.sources.hidden_rows", interrupted)
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(lines(*TRIPLES))
    ran = run("train", rows, "-c", tiny_checkpoint, "-o", tmp_path / "out", "--device", "cpu")
    assert (ran.code, "before a step was taken" in ran.err) == (130, True)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


class Full:
    """A stream to a disk that holds so many bytes."""

    def __init__(self, stream: Any, left: int) -> None:
        self.stream, self.left = stream, left

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stream.close()

    def write(self, data: bytes) -> int:
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.stream.write(data))

    def flush(self) -> None:
        self.stream.flush()


@pytest.mark.parametrize("left", [0, 700])
def test_a_full_disk_under_a_state_is_one_message_and_the_output_stays_away(
    run: Run, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """torch tells of a failed write by an error of its own, whatever the cause."""
    opened = Path.open

    def full(path: Path, *arguments: Any, **named: Any) -> Any:
        stream = opened(path, *arguments, **named)
        return Full(stream, left) if path.name == "state.pt" and "wb" in arguments else stream

    monkeypatch.setattr(Path, "open", full)
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(lines(*TRIPLES))
    ran = run("train", rows, "-c", tiny_checkpoint, "-o", tmp_path / "out", "--device", "cpu")
    assert_one_message(ran, "state: cannot be written", "No space left on device")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "out.training").iterdir()] == ["log.jsonl"]
