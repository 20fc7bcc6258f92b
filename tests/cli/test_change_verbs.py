"""``diff`` and ``upgrade`` with Vespa's verdict."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder
from vespa_colbert.files import digest_file

pytestmark = pytest.mark.java

PACKAGE = Path(__file__).parents[2] / "app_package"


@pytest.fixture(name="model")
def model_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (path / name).write_bytes(b"{}")
    facts = EmbedderSpec(
        dim=96,
        start_id=2,
        end_id=3,
        mask_id=4,
        pad_id=0,
        query_marker_id=5,
        document_marker_id=6,
        max_query_tokens=8,
        max_document_tokens=20,
        max_tokens=32,
        expansion_emitted=True,
    )
    folder = ModelFolder(
        path=path,
        embedder=facts,
        packaging="native",
        checkpoint={},
        versions={},
        graph={},
        verification={},
        files={name: digest_file(path / name) for name in ("model.onnx", "tokenizer.json")},
    )
    (path / "embedder.json").write_text(folder.manifest())
    return path


def test_diff_exits_1_and_says_what_a_refused_change_needs(run: Run, tmp_path: Path) -> None:
    new = shutil.copytree(PACKAGE, tmp_path / "new")
    path = new / "schemas" / "passage.sd"
    path.write_text(path.read_text().replace("tensor<float>(dt{},", "tensor<bfloat16>(dt{},"))
    shown = run("diff", PACKAGE, new)
    assert shown.code == 1
    for text in ("passage.colbert_float", "feed again", "field-type-change</allow>", "refuses it"):
        assert text in shown.out


@pytest.mark.slow
def test_diff_in_json_has_places_and_overrides(run: Run, tmp_path: Path) -> None:
    new = shutil.copytree(PACKAGE, tmp_path / "new")
    path = new / "schemas" / "passage.sd"
    path.write_text(path.read_text().replace("tensor<float>(dt{},", "tensor<bfloat16>(dt{},"))
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
    new = shutil.copytree(PACKAGE, tmp_path / "new")
    path = new / "schemas" / "passage.sd"
    path.write_text(path.read_text().replace("rerank-count: 100", "rerank-count: 200"))
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
