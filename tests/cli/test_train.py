from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, write_corpus
from tests.tiny_checkpoint import DIM
from tests.train.tiny_training import TRIPLES
from vespa_colbert.checkpoint import read_checkpoint, read_checksums

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(name="rows")
def rows_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TRIPLES))
    return path


def asked(rows: Path, checkpoint: Path, output: Path, *more: object) -> tuple[object, ...]:
    return ("train", rows, "-c", checkpoint, "-o", output, "--batch", 4, "--device", "cpu", *more)


def test_a_head_is_trained_and_written_with_log_beside_it(
    run: Run, tiny_checkpoint: Path, rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "trained"
    ran = run(*asked(rows, tiny_checkpoint, output, "--held-out", rows, "--json", "--epochs", 2))

    assert ran.code == 0, ran.err
    facts: Any = ran.json
    assert (facts["layout"], facts["dim"], facts["steps"], facts["rows"]) == ("pylate", DIM, 12, 23)
    assert facts["measure"] < 3
    read = read_checkpoint(output)
    assert read.dim == DIM
    assert (
        read.projection[0].weight != read_checkpoint(tiny_checkpoint).projection[0].weight
    ).any()
    written = read_checksums(output)
    assert written is not None
    assert written.origin["rows"] == "rows.jsonl"
    left = {path.name for path in (tmp_path / "trained.training").iterdir()} - {"curves.svg"}
    assert left == {"log.jsonl"}
    assert "steps: 12/12" in ran.err
    assert "s left" in ran.err


def test_ids_are_looked_up_and_a_recipe_says_the_same_as_flags(
    run: Run, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    def write(name: str, *lines: Any) -> None:
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    write("queries.jsonl", {"_id": "q1", "text": "a rose"}, {"_id": "q2", "text": "ivy"})
    write("corpus.jsonl", *({"_id": f"d{n}", "title": "t", "text": f"rose {n}"} for n in range(4)))
    write(
        "rows.jsonl",
        {"query_id": "q1", "pos_id": "d0", "neg_ids": ["d1"]},
        {"query_id": "q2", "pos_id": "d2", "neg_ids": ["d3"]},
    )
    (tmp_path / "recipe.toml").write_text(
        f"""
        [checkpoint]
        path = "{tiny_checkpoint}"
        [train]
        rows = "rows.jsonl"
        queries = "queries.jsonl"
        corpus = "corpus.jsonl"
        output = "by-recipe"
        loss = "hinge"
        head-start = "new"
        dims = 4
        seed = 7
        device = "cpu"
        """
    )
    by_recipe = run("train", "-r", tmp_path / "recipe.toml")
    flags = (
        *("--queries", tmp_path / "queries.jsonl", "--corpus", tmp_path / "corpus.jsonl"),
        *("--loss", "hinge", "--head-start", "new", "--dims", 4, "--seed", 7, "--batch", 32),
    )
    by_flags = run(*asked(tmp_path / "rows.jsonl", tiny_checkpoint, tmp_path / "by-flags", *flags))

    assert (by_recipe.code, by_flags.code) == (0, 0), by_recipe.err + by_flags.err
    weights = [
        (tmp_path / name / "1_Dense" / "model.safetensors").read_bytes()
        for name in ("by-recipe", "by-flags")
    ]
    assert weights[0] == weights[1]
    assert f"{tmp_path / 'by-recipe'}: written; layout pylate, 4 wide" in by_recipe.out


def test_ctrl_c_saves_the_state_and_resume_ends_in_the_same_weights(
    run: Run,
    tiny_checkpoint: Path,
    rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vespa_colbert.train.step import Stepper

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(*asked(rows, tiny_checkpoint, whole)).code == 0
    step, taken = Stepper.step, list[int]()

    def interrupted(*arguments: Any) -> Any:
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(Stepper, "step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    stopped = run(*asked(rows, tiny_checkpoint, parts))
    again = run(*asked(rows, tiny_checkpoint, parts))

    assert stopped.code == 130
    assert "after step 3 of 6" in stopped.err
    assert "resume to go on" in stopped.err
    assert not parts.exists()
    assert signal.getsignal(signal.SIGINT) is handler
    assert again.code == 1
    assert "resume it, or remove it" in again.err
    resumed = run(*asked(rows, tiny_checkpoint, parts, "--resume"))
    assert resumed.code == 0, resumed.err
    assert len(taken) == 6
    name = "1_Dense/model.safetensors"
    assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_a_run_is_judged_by_rankings_on_a_collection(
    run: Run, tiny_checkpoint: Path, rows: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    write_corpus(folder / "corpus.jsonl")
    shared = TRIPLES[0]["query"]
    queries = [{"_id": "q0", "text": "a rose"}, {"_id": "q1", "text": shared}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in queries))
    (folder / "qrels" / "dev.tsv").write_text("q0\td0\t1\nq1\td4\t1\n")
    output = tmp_path / "trained"
    judged = ("--dev", folder, "--dev-measure", "nDCG@10", "--dev-measure", "RR@10", "--cuts", "4")

    ran = run(*asked(rows, tiny_checkpoint, output, *judged, "--epochs", 2, "--json"))

    assert ran.code == 0, ran.err
    assert "1 of 2 judged queries are trained on" in ran.err
    facts: Any = ran.json
    log = tmp_path / "trained.training" / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    measured = [line for line in lines if "measure" in line]
    best = max(measured, key=lambda line: line["value"])
    assert [line["step"] for line in measured] == [0, 6, 12]
    assert (facts["measure_name"], facts["measure"]) == ("nDCG@10", best["value"])
    assert facts["measure_before"] == measured[0]["value"]
    assert facts["others"] == best["others"]
    assert best["others"].keys() == {"RR@10", "nDCG@10 at 4"}
    assert read_checkpoint(output).cuts == (4,)
    written = read_checksums(output)
    assert written is not None
    assert written.origin["measure"] == {"nDCG@10": best["value"]}
    curves = tmp_path / "trained.training" / "curves.svg"
    if curves.is_file():
        assert "nDCG@10 at 4" in curves.read_text()

    shown = run(*asked(rows, tiny_checkpoint, tmp_path / "again", "--dev", rows))
    assert "  nDCG@10 " in shown.out
    assert " before\n  RR@10 " in shown.out


def test_a_wider_checkpoint_teaches(
    run: Run, tiny_checkpoint: Path, rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "narrow"
    taught = ("--teacher", tiny_checkpoint, "--loss", "distillation", "--dims", 4)
    ran = run(*asked(rows, tiny_checkpoint, output, *taught))
    assert ran.code == 0, ran.err
    assert "layout pylate, 4 wide" in ran.out
    written = read_checksums(output)
    assert written is not None
    assert written.origin["teacher"] == tiny_checkpoint.name


@pytest.mark.parametrize(
    ("more", "fragment"),
    [
        (("--held-out", "ROWS", "--dev", "ROWS"), "name one of the two"),
        (("--dev", "ROWS", "--dev-measure", "nDGC@10"), "measure not found: nDGC"),
        (("--dev", "nowhere"), "nowhere: expected a file"),
        (("--cuts", "4,x"), "--cuts: expected widths such as 64,32, got '4,x'"),
        (("--cuts", "4", "--cut-weights", "1,2"), "expected one for each of 1 cuts, got 2"),
        (("--teacher", "nowhere", "--loss", "distillation"), "nowhere"),
        (("--epochs", 0), "--epochs: Input should be greater than or equal to 1, got 0"),
        (("--dims", DIM + 9), "at most the head's own 8, or a new head, got 17"),
        (("--loss", "distillation"), "teacher's scores, got rows without"),
        (("--layout", "pylate", "--temperature", -1), "--temperature"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_nothing_is_written(
    run: Run,
    tiny_checkpoint: Path,
    rows: Path,
    tmp_path: Path,
    more: tuple[object, ...],
    fragment: str,
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    given = (rows if each == "ROWS" else each for each in more)
    ran = run(*asked(rows, tiny_checkpoint, tmp_path / "trained", *given))
    assert ran.code == 1
    assert fragment in ran.err
    assert "Traceback" not in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_folder_that_is_not_ours_is_refused_before_the_work(
    run: Run, tiny_checkpoint: Path, rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "thesis"
    output.mkdir()
    (output / "chapter").write_text("years of work")
    for place, fragment in ((output, "left alone"), (tiny_checkpoint, "name another output")):
        ran = run(*asked(rows, tiny_checkpoint, place))
        assert ran.code == 1
        assert fragment in ran.err
        assert "tokens of" not in ran.err
    assert not (tmp_path / "thesis.training").exists()


def test_what_is_not_named_is_asked_for(run: Run, rows: Path, tiny_checkpoint: Path) -> None:
    assert "the checkpoint is not named" in run("train", rows).err
    assert "the file of training rows is not named" in run("train", "-c", tiny_checkpoint).err
