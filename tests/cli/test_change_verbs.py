"""``diff`` and ``upgrade`` with Vespa's verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bare_model_folders import FACTS, write_bare_folder
from tests.cli.conftest import PACKAGE, Run, changed_package

pytestmark = pytest.mark.java

NARROWER = ("tensor<float>(dt{},", "tensor<bfloat16>(dt{},")


@pytest.fixture(name="model")
def model_fixture(tmp_path: Path) -> Path:
    return write_bare_folder(tmp_path / "model", replace(FACTS, dim=96)).path


def test_diff_exits_1_and_says_what_a_refused_change_needs(run: Run, tmp_path: Path) -> None:
    new = changed_package(tmp_path / "new", *NARROWER)
    shown = run("diff", PACKAGE, new)
    assert shown.code == 1
    for text in ("passage.colbert_float", "feed again", "field-type-change</allow>", "refuses it"):
        assert text in shown.out


@pytest.mark.slow
def test_diff_in_json_has_places_and_overrides(run: Run, tmp_path: Path) -> None:
    new = changed_package(tmp_path / "new", *NARROWER)
    said = run("diff", PACKAGE, new, "--json")
    assert said.code == 1
    verdict: Any = said.json
    assert verdict["vespa"]["accepted"] is False
    assert [each["id"] for each in verdict["vespa"]["overrides"]] == ["field-type-change"]
    assert {"colbert_float"} == {
        each["place"].split(".")[1] for each in verdict["differences"] if each["kind"] == "field"
    }


@pytest.mark.slow
def test_diff_exits_0_where_vespa_deploys_the_change(run: Run, tmp_path: Path) -> None:
    new = changed_package(tmp_path / "new", "rerank-count: 100", "rerank-count: 200")
    ran = run("diff", PACKAGE, new)
    assert ran.code == 0
    assert "+ 200" in ran.out
    assert "deploys it" in ran.out


def test_upgrade_writes_both_packages_and_prints_the_plan(
    run: Run, model: Path, tmp_path: Path
) -> None:
    step, final = tmp_path / "step", tmp_path / "final"
    ran = run("upgrade", PACKAGE, "-m", model, "-o", step, "--final", final)
    assert ran.code == 0
    for text in (
        "colbert_int8_v2' added; this may be populated by reindexing",
        "embed(colbert, …) → embed(colbert_v2, …)",
        "ranking=rerank_int8 → ranking=rerank_int8_v2",
        f"deploy {final}",
    ):
        assert text in ran.out
    assert (step / "files" / "model_v2.onnx").is_file()


@pytest.mark.slow
def test_upgrade_in_json_has_names_and_verdicts(run: Run, model: Path, tmp_path: Path) -> None:
    step, final = tmp_path / "step", tmp_path / "final"
    said: Any = run("upgrade", PACKAGE, "-m", model, "-o", step, "--final", final, "--json").json
    assert said["embedder"] == {"old": "colbert", "new": "colbert_v2"}
    assert [each["accepted"] for each in said["steps"]] == [True, True]
    assert {each["action"] for each in said["steps"][0]["changes"]} == {"reindex"}
