"""The tool that measures ways of storing: what it keeps, and what its page makes of that."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.tiny_models import write_colbert
from tests.pipeline.judged_collections import judged_collection
from tools import write_storage_table
from tools.write_storage_table import Piece
from vespa_colbert.evaluate import differences_to

QUERIES = {"q1": "red", "q2": "green", "q3": "dark"}
TEXTS = ["red", "dark 🦊 dark dark"]
"""``dark`` is no word of the tiny vocabulary; a fox is no letter."""

CELL_BYTES = {"float": 4.0, "bfloat16": 2.0, "int8": 1 / 8}
FLOAT_VALUES, CODED_VALUES, OTHER_VALUES = [1.0, 0.5, 1.0], [1.0, 1.0, 1.0], [0.5, 0.0, 1.0]


@pytest.fixture(name="given")
def given_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    model = write_colbert(tmp_path / "model")
    monkeypatch.setattr(write_storage_table, "read_model_folder", lambda _path: model)
    folder = tmp_path / "data" / "tiny"
    folder.mkdir(parents=True)
    judged_collection(folder, TEXTS, QUERIES, "q1\td0\t1\n")
    return argparse.Namespace(
        page=tmp_path / "page.md",
        data=tmp_path / "data",
        model=model.path,
        work=tmp_path / "work",
        collection=["tiny"],
        most_queries=3,
        centroids=4,
        scan_queries=2,
        scan_only=False,
        page_only=False,
        note="Its head is tiny.",
    )


def system(dims: int, factor: str, cell_type: str, bits: int, values: list[float]) -> Any:
    width = dims * bits // 8 if bits else dims // 8 if cell_type == "int8" else dims
    inner = "c{},dt{}" if bits else "dt{}"
    disk = width + 4 if bits else dims * CELL_BYTES[cell_type]
    return {
        "fields": [
            {
                "type": f"tensor<{cell_type}>({inner},x[{width}])",
                "vectors": 10.0,
                "disk_bytes": 10.0 * disk,
                "bytes": 20.0 * disk,
            }
        ],
        "facts": {
            "model": "5" * 64,
            "pooling": "" if factor == "1" else f"ward, factor {factor}",
            "codec": {"bits": bits, "dim": dims, "centroids": 4} if bits else None,
            "seconds-a-query": 0.5 if bits else 0.25,
        },
        "measures": {"nDCG@10": sum(values) / len(values)},
        "by-query": {"nDCG@10": dict(zip(QUERIES, values, strict=False))},
    }


def evaluation(piece: Piece) -> dict[str, Any]:
    dims, count = int(piece.dims), piece.queries
    is_whole = piece.dims == "128" and piece.factor == "1"
    values = FLOAT_VALUES if is_whole else OTHER_VALUES
    systems = [system(dims, piece.factor, each, 0, values[:count]) for each in CELL_BYTES]
    coded = CODED_VALUES if is_whole else OTHER_VALUES
    systems += [system(dims, piece.factor, "int8", bits, coded[:count]) for bits in (1, 2, 4)]
    return {
        "collection": {"documents": 2, "judged-queries": count, "queries-left-out": 0},
        "systems": systems,
    }


@pytest.fixture(name="calls")
def calls_fixture(monkeypatch: pytest.MonkeyPatch, given: argparse.Namespace) -> list[Piece]:
    calls: list[Piece] = []

    def evaluated(_given: argparse.Namespace, piece: Piece) -> int:
        calls.append(piece)
        folder = given.work / piece.name
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(evaluation(piece))
        (folder / "evaluation.json").write_text(text, encoding="utf-8")
        return 0

    monkeypatch.setattr(write_storage_table, "evaluated", evaluated)
    monkeypatch.setattr(write_storage_table, "arguments", lambda: given)
    return calls


def test_what_is_measured_is_not_measured_again(
    given: argparse.Namespace, calls: list[Piece]
) -> None:
    assert write_storage_table.main() == 0
    assert [(each.factor, each.dims) for each in calls] == [
        ("1", "128"),
        ("1", "64"),
        ("2", "128"),
        ("2", "64"),
    ]
    page = given.page.read_text(encoding="utf-8")
    assert write_storage_table.main() == 0
    assert len(calls) == 4
    assert given.page.read_text(encoding="utf-8") == page

    given.centroids = 8
    assert write_storage_table.main() == 0
    assert len(calls) == 8


def test_a_run_that_was_ended_goes_on_where_it_was(
    given: argparse.Namespace, calls: list[Piece], monkeypatch: pytest.MonkeyPatch
) -> None:
    works = write_storage_table.evaluated
    monkeypatch.setattr(
        write_storage_table,
        "evaluated",
        lambda known, piece: 3 if len(calls) == 2 else works(known, piece),
    )
    assert write_storage_table.main() == 3
    assert not given.page.exists()

    monkeypatch.setattr(write_storage_table, "evaluated", works)
    assert write_storage_table.main() == 0
    assert len(calls) == 4


def test_times_are_those_of_the_last_scan_where_it_is_whole(
    given: argparse.Namespace, calls: list[Piece]
) -> None:
    write_storage_table.main()
    assert write_storage_table.kept(given.work, "tiny")["timed-queries"] == 3

    given.scan_only = True
    assert write_storage_table.main() == 0
    assert [each.queries for each in calls[4:]] == [2] * 4
    found = write_storage_table.kept(given.work, "tiny")
    assert found["timed-queries"] == 2
    assert found["collection"]["judged-queries"] == 3

    write_storage_table.pieces("tiny", 2, is_scan=True)[0].path(given.work).unlink()
    assert write_storage_table.kept(given.work, "tiny")["timed-queries"] == 3


def test_the_page_says_what_figures_worked_out_by_hand_say(
    given: argparse.Namespace, calls: list[Piece]
) -> None:
    write_storage_table.main()

    page = given.page.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(calls) * 6
    whole, *_others = rows
    # 128 floats; ten of them a document, and twice as much in Vespa.
    assert "| float | 128 | none | 512.0 | 1024.0 | 5,120 | 10,240 | 0.8333 | baseline" in whole
    assert whole.endswith("| 250 | 1.00 |")
    (coded,) = (row for row in rows if "residual, 2 bits | 128 | none" in row)
    # Of three queries one is better by 1/2: by chance in every one of both signs.
    assert "| 36.0 | 72.0 | 360 | 720 | 1.0000 | +0.1667 |" in coded
    assert coded.endswith("| 1.0000 | 500 | 2.00 |")
    assert "14.2 times less than float and 7.1 times less than bfloat16 on disk" in page
    assert "the 6 to 10 of ColBERTv2's paper are reached" in page
    assert "differs by +0.1667, within a loss of 0.005" in page
    assert "Its head is tiny." in page
    # Three of the four words of letters are not known.
    assert "75 % of the letters (Han characters among them)" in page


def test_the_page_says_what_is_not_measured(given: argparse.Namespace, calls: list[Piece]) -> None:
    write_storage_table.main()
    assert "Not measured" not in given.page.read_text(encoding="utf-8")

    calls[-1].path(given.work).unlink()
    given.page_only = True
    assert write_storage_table.main() == 0
    assert "Not measured: 64 dims, pooling by 2." in given.page.read_text(encoding="utf-8")


def test_a_loss_is_said(given: argparse.Namespace, calls: list[Piece]) -> None:
    write_storage_table.main()
    found = write_storage_table.kept(given.work, "tiny")
    (coded,) = (
        each
        for each in found["systems"]
        if write_storage_table.stored_as(each) == "residual, 2 bits"
        and write_storage_table.dims_of(each) == 128
        and not each["facts"]["pooling"]
    )
    coded["difference"] = differences_to(np.array([[1.0, 0.0], [1.0, 0.5]]), 0, found["sampling"])[
        1
    ]

    text = " ".join(write_storage_table.two_bits(found["systems"]))
    assert "differs by -0.7500, MORE THAN a loss of 0.005" in text
    assert "a larger loss is inside of the 95% interval, -1.0000 to -0.5000" in text
