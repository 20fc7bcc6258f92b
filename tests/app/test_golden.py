from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vespa_colbert.app import (
    AppOptions,
    application_spec,
    read_application,
    read_package,
    render_app,
)
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import read_recipe, recipe_application
from vespa_colbert.tensor import CellType
from vespa_colbert.vespa_java import VespaJava

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "app_package"
RECIPE = ROOT / "examples" / "reference" / "recipe.toml"


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_committed_package_is_what_the_templates_print(tmp_path: Path) -> None:
    render_app(recipe_application(read_recipe(RECIPE)), tmp_path / "app", parse=parse_expression)
    assert files(GOLDEN) == files(tmp_path / "app"), "regenerate it with: make golden"


def test_the_committed_package_is_printed_again_by_its_script(tmp_path: Path) -> None:
    script = ROOT / "tests" / "regen_golden.py"
    subprocess.run([sys.executable, script, tmp_path / "app"], check=True, capture_output=True)
    assert files(GOLDEN) == files(tmp_path / "app")


def test_the_committed_package_is_intact_and_needs_no_file_of_ours() -> None:
    package = read_package(GOLDEN)
    queries = {name for name in package.files if name.startswith("search/query-profiles/")}
    own = {"README.md", "schemas/passage.sd", "services.xml"}
    assert package.files.keys() - queries == own
    profiles = [profile.name for profile in read_application(GOLDEN).schema().rank_profiles]
    assert profiles == ["bm25", "max_sim_float", "rerank_float", "max_sim_int8", "rerank_int8"]
    assert queries == {f"search/query-profiles/{name}.xml" for name in profiles}


@pytest.mark.java
def test_vespa_accepts_the_committed_package_without_a_warning(java: VespaJava) -> None:
    report = java.validate_application(GOLDEN)
    assert (report.errors, report.warnings) == ((), ())
    assert {"max_sim_float", "rerank_int8"} <= report.profiles["passage"].keys()


@pytest.mark.java
@pytest.mark.parametrize(
    "options",
    [
        AppOptions(schema="type", name="first-phase"),
        AppOptions(schema="_x", name="_"),
        AppOptions(schema="Z9" * 64, name="a" * 128),
        AppOptions(schema="value", name="content"),
        AppOptions(cell_types=(CellType.BFLOAT16,), embed_title=False),
        AppOptions(cell_types=(CellType.INT8, CellType.BFLOAT16, CellType.FLOAT), rerank_count=1),
    ],
    ids=["dash", "underscore", "long", "words", "bfloat16", "all"],
)
def test_vespa_accepts_what_we_accept(java: VespaJava, tmp_path: Path, options: AppOptions) -> None:
    embedder = recipe_application(read_recipe(RECIPE)).embedders[0]
    quiet = replace(embedder, facts=replace(embedder.facts, expansion_emitted=False))
    render_app(application_spec(quiet, options), tmp_path / "app", parse=parse_expression)
    report = java.validate_application(tmp_path / "app")
    assert (report.errors, report.warnings) == ((), ())
