"""kill -9, a full disk, several writers: an old or a new package stands there whole, or none."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.killed_processes import ask
from vespa_colbert.app import read_package
from vespa_colbert.cli.generate import command
from vespa_colbert.errors import OutputError
from vespa_colbert.export.model_folder import EmbedderSpec

SERVER = "tests.app.killed_generates"
OTHER = re.compile(r"(.*): another process \((\d+)\) is writing it; wait for it to end")


def write_recipe(folder: Path, name: str, cell_types: str = '"float", "int8"') -> Path:
    recipe = folder / f"{name}.toml"
    recipe.write_text(
        f"""
        [app]
        name = "{name}"
        cell-types = [{cell_types}]
        [model]
        transformer-url = "https://a.example/model.onnx"
        tokenizer-url = "https://a.example/tokenizer.json"
        embedder = "facts.json"
        """
    )
    return recipe


@pytest.fixture(name="recipe")
def recipe_fixture(tmp_path: Path, facts: EmbedderSpec) -> Path:
    """A recipe beside which another one lies, whose package has fewer files."""
    (tmp_path / "facts.json").write_text(json.dumps({"embedder": asdict(facts)}))
    write_recipe(tmp_path, "older", '"bfloat16"')
    return write_recipe(tmp_path, "newer")


def put_older(recipe: Path, output: Path) -> dict[str, bytes]:
    command(recipe=recipe.with_name("older.toml"), output=output)
    return files(output)


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def run_killed(recipe: Path, output: Path, **asked: Any) -> dict[str, Any]:
    return ask(SERVER, {"recipe": str(recipe), "output": str(output), **asked})


def assert_all_whole(runs: list[dict[str, Any]], output: Path, before: str) -> int:
    """Return how many were really killed; nothing is left of any after the run that follows."""
    strays = f".{output.name}."
    for run in runs:
        assert run["state"] in {before, "new"}, run
        assert run["again"] == "new", run
        assert run["left_again"] == [], run
        assert all(name.startswith(strays) for name in run["left"]), run
        assert sum(name.endswith("/") for name in run["left"]) <= 1, run
        if run["killed"]:
            continue
        assert (run["state"], run["left"]) == ("new", []), run
    return sum(run["killed"] for run in runs)


@pytest.mark.parametrize("before", ["old", "none"])
@pytest.mark.parametrize(
    ("moments", "steps", "least"),
    [(1, 4, 4), pytest.param(20, 60, 60, marks=pytest.mark.slow)],
)
def test_a_killed_generate_leaves_the_old_package_or_the_whole_new_one(
    recipe: Path, tmp_path: Path, before: str, moments: int, steps: int, least: int
) -> None:
    output = tmp_path / "out" / "app"
    output.parent.mkdir()
    if before == "old":
        put_older(recipe, output)
    found = run_killed(recipe, output, moments=moments, steps=steps)

    assert len(found["runs"]) == moments + steps
    # A kill by the clock may come too late where a run is faster than the one that was timed.
    assert assert_all_whole(found["runs"], output, before) >= least
    assert {run["state"] for run in found["runs"]} >= {before, "new"}


@pytest.mark.parametrize("before", ["old", "none"])
def test_a_full_disk_leaves_what_was_there_and_says_so(
    recipe: Path, tmp_path: Path, before: str
) -> None:
    output = tmp_path / "out" / "app"
    output.parent.mkdir()
    if before == "old":
        put_older(recipe, output)
    for run in run_killed(recipe, output, sizes=[0, 1, 300, 1024])["full"]:
        assert run["error"] == "OutputError", run
        assert str(output) in run["message"]
        assert "free some space" in run["message"]
        assert (run["state"], run["left"]) == (before, []), run


@pytest.mark.parametrize(
    ("writers", "rounds"),
    [
        (4, 2),
        *(pytest.param(count, 10, marks=pytest.mark.slow) for count in range(2, 9)),
    ],
)
def test_of_writers_at_once_each_writes_all_or_says_who_else_does(
    recipe: Path, tmp_path: Path, writers: int, rounds: int
) -> None:
    output = tmp_path / "out" / "app"
    recipes = [str(write_recipe(tmp_path, f"writer{place}")) for place in range(writers)]
    asked = {"output": str(output), "recipes": recipes, "rounds": rounds}
    found = ask("tests.app.rival_generates", asked)["rounds"]

    lost = 0
    assert len(found) >= rounds
    for each in found:
        assert each["codes"] == [0] * writers
        won = [told["name"] for told in each["writers"] if not told["message"]]
        assert each["name"] in won
        assert each["state"] == "new"
        assert each["left"] == [output.name]
        for message in (told["message"] for told in each["writers"] if told["message"]):
            named = OTHER.fullmatch(message)
            assert named is not None, message
            assert named[1] == str(output)
            assert int(named[2]) in each["children"]
            lost += 1
        assert len(each["writers"]) == writers
    assert lost > 0, "no two of them wrote at once"


def test_a_place_that_cannot_be_written_is_named_and_left_as_it_is(
    recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes").write_text("work")
    (tmp_path / "loop").symlink_to("loop")
    before = files(tmp_path)
    places = {
        "file": "expected a folder or nothing, got a file",
        "file/app": "choose an output path",
        "theirs": "not written by this command",
        "loop": "choose an output path",
        f"{'a' * 300}/app": "File name too long",
        f"{'a' * 250}": "File name too long",
        f"{'deep/' * 1000}app": "File name too long",
        "../" * 50 + "proc/nowhere/app": "/proc/nowhere/app: cannot be written",
        "\0": "choose an output path",
    }
    for place, why in places.items():
        with pytest.raises(OutputError, match=re.escape(why)) as caught:
            command(recipe=recipe, output=tmp_path / place)
        assert str(tmp_path / place)[:40] in str(caught.value) or place.startswith("../"), place
    assert files(tmp_path) == before


def test_a_link_to_a_package_stays_one_and_its_package_is_replaced(
    recipe: Path, tmp_path: Path
) -> None:
    put_older(recipe, tmp_path / "releases" / "one")
    (tmp_path / "app").symlink_to(Path("releases") / "one")
    command(recipe=recipe, output=tmp_path / "app")
    assert (tmp_path / "app").is_symlink()
    assert not (tmp_path / "releases" / "one").is_symlink()
    assert read_package(tmp_path / "releases" / "one").name == "newer"
    assert [each.name for each in (tmp_path / "releases").iterdir()] == ["one"]


def test_a_link_to_nothing_becomes_one_to_a_package(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "app").symlink_to(Path("releases") / "one")
    command(recipe=recipe, output=tmp_path / "app")
    assert (tmp_path / "app").is_symlink()
    assert read_package(tmp_path / "releases" / "one").name == "newer"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named_and_left_as_it_is(
    recipe: Path, tmp_path: Path
) -> None:
    put_older(recipe, tmp_path / "out" / "app")
    before = files(tmp_path)
    (tmp_path / "out").chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            command(recipe=recipe, output=tmp_path / "out" / "app")
    finally:
        (tmp_path / "out").chmod(0o700)
    assert files(tmp_path) == before
