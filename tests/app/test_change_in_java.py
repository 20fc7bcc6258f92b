"""Vespa's config model with the previous model decides what each step of an upgrade takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.foreign_package import write_foreign_package
from vespa_colbert.app import ApplicationSpec, render_app
from vespa_colbert.app.change import plan_upgrade, write_final, write_step
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.vespa_java import VespaJava

pytestmark = pytest.mark.java


def steps(old: Path, model: ModelFolder, folder: Path) -> tuple[Path, Path]:
    upgrade = plan_upgrade(old, model)
    write_step(upgrade, folder / "step")
    write_final(upgrade, folder / "step", folder / "final")
    return folder / "step", folder / "final"


def test_our_package_needs_reindexing_of_the_new_fields_alone(
    java: VespaJava, spec: ApplicationSpec, model_folder: ModelFolder, tmp_path: Path
) -> None:
    render_app(spec, tmp_path / "ours")
    other = replace(model_folder, embedder=replace(model_folder.embedder, dim=8))
    step, final = steps(tmp_path / "ours", other, tmp_path)

    first = java.compare_applications(tmp_path / "ours", step)
    last = java.compare_applications(step, final)

    assert (first.errors, first.blocked) == ((), ())
    assert [each.kind for each in first.changes] == ["reindex", "reindex"]
    for field, change in zip(("float_v2", "int8_v2"), first.changes, strict=True):
        assert f"colbert_{field}' added" in change.message
        assert change.override == ""
    # Vespa takes the removal of fields, profiles and an embedder without a word.
    assert (last.accepted, last.changes) == (True, ())


def test_somebody_elses_package_needs_the_same(
    java: VespaJava, model_folder: ModelFolder, tmp_path: Path
) -> None:
    old = write_foreign_package(tmp_path / "foreign")
    step, final = steps(old, model_folder, tmp_path)

    first = java.compare_applications(old, step)
    last = java.compare_applications(step, final)

    assert (first.errors, first.blocked) == ((), ())
    assert [each.kind for each in first.changes] == ["reindex"]
    assert "rows_v2' added" in first.changes[0].message
    assert last.accepted


def test_the_new_model_in_the_old_field_would_be_refused(
    java: VespaJava, spec: ApplicationSpec, tmp_path: Path
) -> None:
    render_app(spec, tmp_path / "ours")
    render_app(spec, tmp_path / "in_place")
    path = tmp_path / "in_place" / "schemas" / "passage.sd"
    path.write_text(path.read_text().replace("x[16]", "x[8]").replace("x[2]", "x[1]"))
    report = java.compare_applications(tmp_path / "ours", tmp_path / "in_place")
    assert report.overrides == ("field-type-change",)
    assert {each.kind for each in report.changes} == {"refeed"}
