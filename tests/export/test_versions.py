"""Versions of a model: published whole, chosen by one rename, rolled back, never changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.killed_processes import ask
from vespa_colbert.errors import ExportError, OutputError, SpecError
from vespa_colbert.export.versions import (
    ALIAS_FILE,
    current_version,
    model_versions,
    open_model,
    publish_version,
    roll_back,
    use_version,
)


@pytest.fixture(name="source")
def source_fixture(tmp_path: Path) -> Path:
    return write_source(tmp_path / "trained", "one")


def write_source(folder: Path, text: str) -> Path:
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / ".git").mkdir(exist_ok=True)
    (folder / ".git" / "HEAD").write_text("ref", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(text.encode() * 1000)
    (folder / "1_Pooling" / "config.json").write_text("{}", encoding="utf-8")
    return folder


def versions_of(root: Path, name: str = "zh") -> list[tuple[str, bool]]:
    return [(each.version, each.is_current) for each in model_versions(root, name)]


def test_a_published_version_is_in_use_and_has_all_files(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    made = publish_version(source, root, "zh")

    assert (made.version, made.is_current, made.path) == ("1", True, root / "zh" / "1")
    names = {each.relative_to(made.path).as_posix() for each in made.path.rglob("*")}
    assert names == {"model.safetensors", "1_Pooling", "1_Pooling/config.json", "checksums.json"}
    assert open_model(root / "zh") == made.path
    assert open_model(made.path) == made.path
    assert current_version(root, "zh") == made


def test_versions_are_numbered_listed_and_rolled_back(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    for _ in range(10):
        publish_version(source, root, "zh")
    publish_version(source, root, "zh", version="2026-02-tuned", use=False)

    numbers = [(str(place), place == 10) for place in range(1, 11)]
    assert versions_of(root) == [*numbers, ("2026-02-tuned", False)]
    assert roll_back(root, "zh").version == "9"
    assert roll_back(root, "zh").version == "8"
    assert use_version(root, "zh", "2026-02-tuned").is_current
    assert roll_back(root, "zh").version == "8"
    assert current_version(root, "zh").version == "8"
    assert publish_version(source, root, "zh").version == "11"


def test_there_is_nothing_to_roll_back_to_at_first(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    with pytest.raises(SpecError, match="none"):
        roll_back(root, "zh")
    publish_version(source, root, "zh")
    with pytest.raises(SpecError, match="in use before"):
        roll_back(root, "zh")


def test_a_version_never_changes(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    made = publish_version(source, root, "zh", version="a")
    before = (made.path / "model.safetensors").read_bytes()
    write_source(source, "two")

    with pytest.raises(OutputError, match="never change"):
        publish_version(source, root, "zh", version="a")

    assert (made.path / "model.safetensors").read_bytes() == before


def test_a_damaged_version_is_neither_read_nor_taken_into_use(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    first = publish_version(source, root, "zh")
    publish_version(source, root, "zh")
    (first.path / "model.safetensors").write_bytes(b"half")

    with pytest.raises(ExportError, match="expected every file"):
        roll_back(root, "zh")
    with pytest.raises(ExportError, match="expected every file"):
        use_version(root, "zh", "1")
    assert current_version(root, "zh").version == "2"


@pytest.mark.parametrize("name", ["", "..", "a/b", "/a", ".hidden", "a\nb", ALIAS_FILE, "é" * 3])
def test_names_stay_inside_the_root(source: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / "models"
    with pytest.raises(SpecError, match="expected letters"):
        publish_version(source, root, name)
    if name:
        with pytest.raises(SpecError, match="expected letters"):
            publish_version(source, root, "zh", version=name)
    assert not any(root.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"current": 1, "before": []}', '{"current": "../x", "before": []}']
)
def test_what_names_no_version_is_refused(source: Path, tmp_path: Path, text: str) -> None:
    root = tmp_path / "models"
    publish_version(source, root, "zh")
    (root / "zh" / ALIAS_FILE).write_text(text, encoding="utf-8")

    with pytest.raises(SpecError, match=ALIAS_FILE):
        open_model(root / "zh")


def test_a_kill_leaves_the_old_version_in_use_or_the_whole_new_one(
    source: Path, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    publish_version(source, root, "zh")
    write_source(source, "two")
    request: dict[str, Any] = {"source": str(source), "root": str(root), "moments": 6, "steps": 24}

    found = ask("tests.export.killed_versions", request)["runs"]

    assert sum(each["killed"] for each in found) >= 24
    assert {each["state"] for each in found} == {"old", "new"}
    assert {each["again"] for each in found} == {"new"}
    alias = json.loads((root / "zh" / ALIAS_FILE).read_text(encoding="utf-8"))
    assert alias["current"] == current_version(root, "zh").version
