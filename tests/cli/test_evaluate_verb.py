from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, write_corpus
from tests.cli.test_feed import write_model_folder

QUERIES = {"q0": "rose", "q1": "thorn", "q2": "moss"}
QRELS = "q0\td0\t1\nq1\td1\t1\nq2\td3\t1\n"


@pytest.fixture(scope="module", name="place")
def place_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model folder, a recipe and a judged collection."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_model_folder(folder / "model")
    collection = folder / "collection"
    (collection / "qrels").mkdir(parents=True)
    write_corpus(collection / "corpus.jsonl")
    lines = (json.dumps({"_id": name, "text": text}) for name, text in QUERIES.items())
    (collection / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (collection / "qrels" / "test.tsv").write_text(QRELS, encoding="utf-8")
    (folder / "recipe.toml").write_text(
        """
        [export]
        output = "model"
        [app]
        output = "app"
        [corpus]
        path = "collection/corpus.jsonl"
        [evaluate]
        queries = "collection/queries.jsonl"
        qrels = "collection/qrels/test.tsv"
        measures = ["nDCG@10", "R@1"]
        """
    )
    return folder


def test_every_variant_of_a_recipe_is_measured(run: Run, place: Path, tmp_path: Path) -> None:
    ran = run(
        "evaluate", place / "collection", "-r", place / "recipe.toml", "-o", tmp_path / "out",
        "--dims", "16,8",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    names = [line.split()[0] for line in lines[2:9]]
    kinds = ("float", "bfloat16", "int8")
    assert names == ["bm25", *(f"max_sim_{each}{dims}" for each in kinds for dims in ("", "_8"))]
    assert "5 documents, 3 judged queries" in lines[0]
    assert "100000 permutations" in ran.out
    assert "embedding: 5/5" in ran.err
    assert "s left" in ran.err
    said = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in said["systems"]] == names
    assert said["baseline"] == "max_sim_float"
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "<svg" in page


def test_json_and_a_second_run_that_embeds_nothing(run: Run, place: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", "-r", place / "recipe.toml", "-o", tmp_path / "out", "--json")
    first = run(*arguments, "--cell-types", "int8")
    second = run(*arguments, "--cell-types", "int8,float", "-p", "max_sim_int8", "-p", "bm25")

    assert (first.code, second.code) == (0, 0), second.err
    assert "embedding" in first.err
    assert "still valid, reused" in second.err
    before: Any = first.json
    after: Any = second.json
    measured = {each["name"]: each["measures"] for each in after["systems"]}
    assert measured == {each["name"]: each["measures"] for each in before["systems"]}
    assert set(measured) == {"bm25", "max_sim_int8"}


def test_a_package_and_another_and_a_run_stand_side_by_side(
    run: Run, place: Path, tmp_path: Path
) -> None:
    recipe = place / "recipe.toml"
    for name in ("one", "two"):
        assert run("generate", "-r", recipe, "-o", tmp_path / name).code == 0
    (tmp_path / "best.run").write_text(
        "q0 Q0 d0 1 1 x\nq1 Q0 d1 1 1 x\nq2 Q0 d3 1 1 x\n", encoding="utf-8"
    )

    ran = run(
        "evaluate", "-r", recipe, "-a", tmp_path / "one", "--against", tmp_path / "two",
        "--run", tmp_path / "best.run", "--baseline", "best", "-p", "max_sim_int8",
        "--measure", "RR@10", "--losers", 1, "-o", tmp_path / "out", "--json",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    said: Any = ran.json
    names = [f"{tmp_path / name}:max_sim_int8" for name in ("one", "two")]
    assert [each["name"] for each in said["systems"]] == ["best", *names]
    assert said["systems"][0]["measures"] == {"RR@10": 1.0}
    assert all(len(each["losers"]) <= 1 for each in said["systems"])


def test_pooled_vectors_are_variants_too(run: Run, place: Path, tmp_path: Path) -> None:
    ran = run(
        "evaluate", "-r", place / "recipe.toml", "-o", tmp_path / "out", "--json",
        "--cell-types", "float", "-p", "max_sim_*", "--pool-factor", "1,2.5",
        "--protected-tokens", 0,
    )  # fmt: skip

    assert ran.code == 0, ran.err
    said: Any = ran.json
    every, pooled = said["systems"]
    assert (every["name"], pooled["name"]) == ("max_sim_float", "pool 2.5:max_sim_float")
    assert pooled["fields"][0]["vectors"] < every["fields"][0]["vectors"] / 2
    assert (every["facts"]["pooled"], pooled["facts"]["pooled"]) == (False, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--pool-factor", "half"), 2, "half"),
        (("--pool-factor", "0.5"), 1, "pool factor"),
        (("-a", "app", "--dims", "8"), 2, "-a"),
        (("--against-model", "model"), 2, "--against"),
        (("--cell-types", "double"), 2, "double"),
        (("--dims", "many"), 2, "many"),
        (("--dims", "9"), 1, "9"),
        (("--measure", "niceness"), 1, "niceness"),
        (("--split", "dev", "collection"), 1, "dev"),
        (("--run", "absent.run"), 1, "absent.run"),
        (("-p", "nothing"), 1, "nothing"),
        (("--baseline", "nothing", "-p", "bm25"), 1, "nothing"),
        (("-m", "absent"), 1, "absent"),
    ],
)
def test_what_is_wrong_is_said(
    run: Run, place: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    with contextlib.chdir(place):
        ran = run("evaluate", "-r", "recipe.toml", "-o", tmp_path / "out", *arguments)

    assert ran.code == code, ran.err
    assert message in ran.err
    assert not ran.out
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_without_judgements_it_is_said_where_they_go(
    run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    ran = run("evaluate", "-m", place / "model")

    assert ran.code == 1
    assert "corpus.path" in ran.err
