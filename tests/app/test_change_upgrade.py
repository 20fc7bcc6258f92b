"""A new model beside the old one: names, texts and files of both packages."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.app.foreign_package import write_foreign_package
from vespa_colbert.app import ApplicationSpec, read_application, read_package, render_app
from vespa_colbert.app.change import plan_upgrade, write_final, write_step
from vespa_colbert.app.change.edited import allowed
from vespa_colbert.errors import OutputError, SpecError
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.rank import parse_expression


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    return write_foreign_package(tmp_path / "foreign")


def test_names_are_free_and_alike(foreign: Path, model_folder: ModelFolder) -> None:
    upgrade = plan_upgrade(foreign, model_folder)
    (schema,) = upgrade.schemas
    assert (upgrade.old, upgrade.new.name) == ("colbert", "colbert_v2")
    assert dict(schema.fields) == {"rows": "rows_v2"}
    # The inputs of base have the old model's width, so that the new best needs one of its own.
    assert dict(schema.profiles) == {
        "base": "base_v2",
        "best": "best_v2",
        "better": "better_v2",
    }
    text = (foreign / "schemas" / "page.sd").read_text()
    (foreign / "schemas" / "page.sd").write_text(text.replace("plain", "plain_v2"))
    assert plan_upgrade(foreign, model_folder).new.name == "colbert_v3"


def test_the_new_parts_are_those_of_the_old_with_other_names_and_widths(
    foreign: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    # The model has 16 components where the old one has 128.
    write_step(plan_upgrade(foreign, model_folder), tmp_path / "step")
    old, new = (read_application(each).schema() for each in (foreign, tmp_path / "step"))
    made = new.field("rows_v2")
    assert made == replace(
        old.field("rows"),
        name="rows_v2",
        type="tensor<int8>(context{},token{},v[2])",
        indexing=("input contexts | embed colbert_v2 context | attribute | index",),
    )
    assert set(new.fields) == {*old.fields, made}
    assert new.rank_profiles[: len(old.rank_profiles)] == old.rank_profiles
    base, best, better = new.rank_profiles[len(old.rank_profiles) :]
    assert (best.name, best.inherits, better.inherits) == ("best_v2", ("base_v2",), ("best_v2",))
    assert best.first_phase == "score + closeness(field, rows_v2) + closeness(field, dense)"
    assert {name: str(kind) for name, kind in base.input_types.items()} == {
        "qt": "tensor<float>(qt{},v[16])",
        "qb": "tensor<int8>(qt{},v[2])",
    }
    # The input of the other model has a dimension of the same name and size, and stays.
    assert str(best.input_types["e"]) == "tensor<float>(v[128])"
    assert best.functions[0].expression == (
        "sum(reduce(sum(query(qt) * unpack_bits( attribute(rows_v2) ), v), max, token), qt)"
    )


def test_what_somebody_wrote_stays_and_tuning_is_taken_over(
    foreign: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    write_step(plan_upgrade(foreign, model_folder), tmp_path / "step")
    schema = (tmp_path / "step" / "schemas" / "page.sd").read_text()
    services = (tmp_path / "step" / "services.xml").read_text()
    before = (foreign / "schemas" / "page.sd").read_text().rstrip().removesuffix("}").rstrip()
    assert schema.startswith(before)
    assert schema.count("max-links-per-node: 24   # measured") == 2
    assert "<!-- ours -->" in services
    assert "<!-- kept -->" in services
    assert services.count("<onnx-intraop-threads>2</onnx-intraop-threads>") == 2
    assert (tmp_path / "step" / "files" / "model_v2.onnx").read_bytes() == b"the graph"


def test_inputs_of_the_copied_profile_have_the_new_widths(
    spec: ApplicationSpec, model_folder: ModelFolder, tmp_path: Path
) -> None:
    render_app(spec, tmp_path / "ours", parse=parse_expression)
    other = replace(model_folder, embedder=replace(model_folder.embedder, dim=8))
    upgrade = plan_upgrade(tmp_path / "ours", other)
    write_step(upgrade, tmp_path / "step")
    schema = read_application(tmp_path / "step").schema()
    for name in ("max_sim_float", "max_sim_int8"):
        assert str(schema.profile(name).input_types["qt"]) == "tensor<float>(qt{},x[16])"
        assert str(schema.profile(f"{name}_v2").input_types["qt"]) == "tensor<float>(qt{},x[8])"
    assert schema.field("colbert_int8_v2").type == "tensor<int8>(dt{},x[1])"


def test_queries_of_our_packages_come_along(
    spec: ApplicationSpec, model_folder: ModelFolder, tmp_path: Path
) -> None:
    old = render_app(spec, tmp_path / "ours", parse=parse_expression)
    upgrade = plan_upgrade(tmp_path / "ours", model_folder)
    write_step(upgrade, tmp_path / "step")
    write_final(upgrade, tmp_path / "step", tmp_path / "final")
    step, final = (read_package(tmp_path / each) for each in ("step", "final"))
    profiles = {each.profile for each in old.queries}
    renamed = {f"{each}_v2" for each in profiles - {"bm25"}}
    assert {each.profile for each in step.queries} == profiles | renamed
    assert {each.profile for each in final.queries} == {"bm25"} | renamed
    inputs = dict(next(each for each in final.queries if each.profile == "max_sim_int8_v2").inputs)
    assert inputs["qt"] == "embed(colbert_v2, @text)"
    queries = tmp_path / "final" / "search" / "query-profiles"
    assert {each.stem for each in queries.glob("*.xml")} == {"bm25"} | renamed


def test_the_last_step_holds_nothing_of_the_old_model(
    foreign: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    upgrade = plan_upgrade(foreign, model_folder)
    write_step(upgrade, tmp_path / "step")
    write_final(upgrade, tmp_path / "step", tmp_path / "final")
    final = tmp_path / "final"
    schema = read_application(final).schema()
    assert {each.name for each in schema.derived_fields} == {"rows_v2", "dense"}
    assert [each.name for each in schema.rank_profiles] == [
        "base",
        "plain",
        "base_v2",
        "best_v2",
        "better_v2",
    ]
    services = (final / "services.xml").read_text()
    assert 'id="colbert"' not in services
    assert 'id="colbert_v2"' in services
    default = (final / "search" / "query-profiles" / "default.xml").read_text()
    assert "best_v2" in default
    assert "embed(colbert_v2, @text)" in default


def test_files_of_the_old_model_go_with_it(
    spec: ApplicationSpec, model_folder: ModelFolder, tmp_path: Path
) -> None:
    render_app(spec, tmp_path / "ours", parse=parse_expression)
    upgrade = plan_upgrade(tmp_path / "ours", model_folder)
    write_step(upgrade, tmp_path / "step")
    write_final(upgrade, tmp_path / "step", tmp_path / "final")
    names = {each.name for each in (tmp_path / "final" / "files").iterdir()}
    assert names == {"model_v2.onnx", "tokenizer_v2.json"}


def test_an_upgraded_package_can_be_upgraded_again(
    spec: ApplicationSpec, model_folder: ModelFolder, tmp_path: Path
) -> None:
    render_app(spec, tmp_path / "ours", parse=parse_expression)
    upgrade = plan_upgrade(tmp_path / "ours", model_folder)
    write_step(upgrade, tmp_path / "step")
    write_final(upgrade, tmp_path / "step", tmp_path / "final")
    again = plan_upgrade(tmp_path / "final", model_folder)
    assert again.new.name == "colbert_v3"
    assert again.schemas[0].fields["colbert_float_v2"] == "colbert_float_v3"


def test_a_field_that_a_summary_names_is_not_taken_out(
    foreign: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    path = foreign / "schemas" / "page.sd"
    text = path.read_text().rstrip().removesuffix("}")
    path.write_text(text + "    document-summary s { summary rows { } }\n}\n")
    upgrade = plan_upgrade(foreign, model_folder)
    write_step(upgrade, tmp_path / "step")
    with pytest.raises(SpecError, match="names field rows"):
        write_final(upgrade, tmp_path / "step", tmp_path / "final")
    assert not (tmp_path / "final").exists()


def edit(folder: Path, file: str, before: str, after: str) -> None:
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("schemas/page.sd", "embed colbert context", "embed", "names no embedder"),
        ("schemas/page.sd", "embed colbert context", "embed other context", "embed colbert"),
        ("services.xml", 'type="colbert-embedder"', 'class="x"', "expected one colbert-embedder"),
        ("services.xml", 'type="hugging-face-embedder"', 'type="colbert-embedder"', "name one"),
        ("services.xml", "</services>", "", "expected XML"),
    ],
)
def test_what_cannot_be_upgraded_is_refused_with_the_reason(
    foreign: Path, model_folder: ModelFolder, file: str, before: str, after: str, message: str
) -> None:
    edit(foreign, file, before, after)
    with pytest.raises(SpecError, match=message):
        plan_upgrade(foreign, model_folder)


def test_dims_that_do_not_fill_bytes_are_refused(foreign: Path, model_folder: ModelFolder) -> None:
    odd = replace(model_folder, embedder=replace(model_folder.embedder, dim=12))
    with pytest.raises(SpecError, match="divisible by 8"):
        plan_upgrade(foreign, odd)


def test_the_package_that_runs_is_never_written_to(
    foreign: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    upgrade = plan_upgrade(foreign, model_folder)
    for output in (foreign, foreign / "inside"):
        with pytest.raises(OutputError):
            write_step(upgrade, output)
    write_step(upgrade, tmp_path / "step")
    (tmp_path / "step" / "services.xml").write_text("mine")
    with pytest.raises(OutputError, match="left alone"):
        write_step(upgrade, tmp_path / "step")


def test_overrides_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    allow = '<allow until="2026-01-02">schema-removal</allow>'
    old = f"<validation-overrides>{allow}</validation-overrides>"
    (tmp_path / "validation-overrides.xml").write_text(old)
    text = allowed(tmp_path, ("field-type-change",), date(2026, 3, 4)).decode()
    assert allow in text
    assert '<allow until="2026-03-04">field-type-change</allow>' in text


def test_a_default_that_inherits_vespas_own_inherits_no_profile_of_the_package(
    foreign: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    edit(foreign, "schemas/page.sd", "rank-profile best inherits base", "rank-profile best")
    edit(foreign, "schemas/page.sd", "rank-profile best ", "rank-profile default inherits default ")
    edit(foreign, "schemas/page.sd", "better inherits best", "better inherits default")
    edit(foreign, "schemas/page.sd", "expression: score +", "expression:")
    edit(foreign, "schemas/page.sd", "expression: score\n", "expression: 1\n")
    write_step(plan_upgrade(foreign, model_folder), tmp_path / "step")
    profiles = {
        each.name: each for each in read_application(tmp_path / "step").schema().rank_profiles
    }
    assert profiles["default_v2"].inherits == ()
    assert profiles["better_v2"].inherits == ("default_v2",)
