from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from vespa_colbert.demo.run import _recipe_text, run_demo
from vespa_colbert.errors import OutputError
from vespa_colbert.pipeline import Silent
from vespa_colbert.recipe import read_recipe


def no_java() -> NoReturn:
    raise AssertionError("the demo went on")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text("mine")

    with pytest.raises(OutputError, match="other files"):
        run_demo(tmp_path, Silent(), no_java)

    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]
    assert (tmp_path / "corpus.jsonl").read_text() == "mine"


def test_the_demo_is_driven_by_a_recipe_that_names_its_inputs(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(_recipe_text())

    recipe = read_recipe(path)

    assert recipe.checkpoint.path == tmp_path / "checkpoint"
    assert recipe.corpus.path == tmp_path / "corpus.jsonl"
    assert recipe.evaluate.queries == tmp_path / "queries.jsonl"
    assert recipe.app.output == tmp_path / "app"
    assert (recipe.verify.documents, recipe.verify.queries, recipe.verify.pairs) == (50, 10, 100)
