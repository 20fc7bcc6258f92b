"""Vespa's config model with the previous model decides what each step of an upgrade takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.foreign_package import write_foreign_package
from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    application_spec,
    folder_embedder,
    render_app,
)
from vespa_colbert.app.change import compare_packages, plan_upgrade, write_final, write_step
from vespa_colbert.app.options import LexicalWeights
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.pipeline import only_schema, sent_fields
from vespa_colbert.pipeline.query import package_queries
from vespa_colbert.rank import parse_expression
from vespa_colbert.tensor import CellType
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
    render_app(spec, tmp_path / "ours", parse=parse_expression)
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


def test_what_a_client_sends_beside_token_vectors_stays_as_it_is(
    java: VespaJava, model_folder: ModelFolder, tmp_path: Path
) -> None:
    options = AppOptions(lexical=LexicalWeights(), cell_types=(CellType.INT8,))
    spec = application_spec(folder_embedder(model_folder), options)
    old = render_app(spec, tmp_path / "ours", parse=parse_expression).path
    step, final = steps(old, model_folder, tmp_path)

    for before, after, changes in ((old, step, 1), (step, final, 0)):
        report = java.compare_applications(before, after)
        assert (report.accepted, len(report.changes)) == (True, changes)
        assert compare_packages(before, after).warnings == ()
        assert sent_fields(after) == {"lexical"}
        assert package_queries(after)["lexical"] == package_queries(old)["lexical"]
    fields = {each.name for each in only_schema(final).fields}
    assert {"lexical", "colbert_int8_v2"} < fields
    assert "colbert_int8" not in fields


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
    render_app(spec, tmp_path / "ours", parse=parse_expression)
    render_app(spec, tmp_path / "in_place", parse=parse_expression)
    path = tmp_path / "in_place" / "schemas" / "passage.sd"
    path.write_text(path.read_text().replace("x[16]", "x[8]").replace("x[2]", "x[1]"))
    report = java.compare_applications(tmp_path / "ours", tmp_path / "in_place")
    assert report.overrides == ("field-type-change",)
    assert {each.kind for each in report.changes} == {"refeed"}
