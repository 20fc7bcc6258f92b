"""What `generate` says of a model that was trained to be cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bare_model_folders import FACTS, write_bare_folder
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("cuts", "dims", "told"),
    [
        ([16, 8], "", "trained to be cut too: [tokens] dims = [32, 16, 8] stores all"),
        ([16, 8], "dims = [32, 8]", ""),
        ([16, 8], "dims = [24]", "not trained to be cut to 24, but to 16, 8"),
        ([], "dims = [24]", ""),
    ],
)
def test_widths_that_a_model_states_are_told(
    run: Run, tmp_path: Path, cuts: list[int], dims: str, told: str
) -> None:
    stated = {"facts": {"cuts": cuts}} if cuts else {}
    write_bare_folder(tmp_path / "model", replace(FACTS, dim=32), stated)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[export]\noutput = "model"\n[tokens]\n{dims}\n')

    ran = run("generate", "-r", recipe, "-o", tmp_path / "app")

    assert ran.code == 0, ran.err
    assert told in ran.err
    assert ("cut" in ran.err) == bool(told)
