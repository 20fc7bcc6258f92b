from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from vespa_colbert.app import (
    ApplicationSpec,
    AppOptions,
    RemoteFile,
    application_spec,
    folder_embedder,
    read_package,
    render_app,
    template_root,
)
from vespa_colbert.errors import OutputError, SpecError
from vespa_colbert.export.model_folder import ModelFolder
from vespa_colbert.rank import parse_expression

FILES = {
    ".vespa-colbert.json",
    "README.md",
    "files/model.onnx",
    "files/tokenizer.json",
    "schemas/passage.sd",
    "services.xml",
    *(
        f"search/query-profiles/{name}.xml"
        for name in ("bm25", "max_sim_float", "max_sim_int8", "rerank_float", "rerank_int8")
    ),
}
HOSTILE = [
    "",
    "a b",
    "../../evil",
    "/abs",
    "a }\nschema x {",
    "a\nb",
    "{{ 7 * 7 }}",
    "<x>&amp;",
    'a" evil="1',
    "a'b",
    "a\0b",
    "a;b",
]


def tree(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_package_is_complete_and_listed(spec: ApplicationSpec, tmp_path: Path) -> None:
    package = render_app(spec, tmp_path / "app", parse=parse_expression)
    written = tree(tmp_path / "app")
    assert written.keys() == FILES
    assert package.files.keys() == FILES - {".vespa-colbert.json"}
    assert written["files/model.onnx"] == b"the graph"
    assert read_package(tmp_path / "app") == package
    assert package.schemas == (tmp_path / "app" / "schemas" / "passage.sd",)


def test_the_same_spec_prints_the_same_bytes(spec: ApplicationSpec, tmp_path: Path) -> None:
    render_app(spec, tmp_path / "one", parse=parse_expression)
    render_app(spec, tmp_path / "two", parse=parse_expression)
    one = tree(tmp_path / "one")
    assert one == tree(tmp_path / "two")
    texts = [text for name, text in one.items() if not name.startswith("files/")]
    assert all(b"\r" not in text and text.endswith(b"\n") for text in texts)


def test_services_state_every_fact_of_the_embedder(spec: ApplicationSpec, tmp_path: Path) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    services = etree.parse(tmp_path / "app" / "services.xml").getroot()
    component = services.find("container/component")
    assert dict(component.attrib) == {"id": "colbert", "type": "colbert-embedder"}
    files, others = component[:2], component[2:]
    assert [(each.tag, dict(each.attrib)) for each in files] == [
        ("transformer-model", {"path": "files/model.onnx"}),
        ("tokenizer-model", {"path": "files/tokenizer.json"}),
    ]
    assert [(each.tag, each.text) for each in others] == [
        ("max-tokens", "32"),
        ("max-query-tokens", "8"),
        ("max-document-tokens", "20"),
        ("transformer-start-sequence-token", "2"),
        ("transformer-end-sequence-token", "3"),
        ("transformer-mask-token", "4"),
        ("transformer-pad-token", "0"),
        ("query-token-id", "5"),
        ("document-token-id", "6"),
        ("transformer-input-ids", "input_ids"),
        ("transformer-attention-mask", "attention_mask"),
        ("transformer-output", "contextual"),
    ]
    assert services.get("minimum-required-vespa-version") == "8.338.38"
    assert services.find("content/documents/document").get("type") == "passage"


def test_expansion_rows_are_turned_off_only_where_they_must_be(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    embedder = spec.embedders[0]
    quiet = replace(embedder, facts=replace(embedder.facts, expansion_emitted=False))
    render_app(replace(spec, components=(quiet,)), tmp_path / "app", parse=parse_expression)
    services = etree.parse(tmp_path / "app" / "services.xml").getroot()
    assert services.findtext("container/component/attend-to-expansion-tokens") == "false"
    assert services.get("minimum-required-vespa-version") == "8.691.19"


def test_what_is_put_into_xml_stays_text(spec: ApplicationSpec, tmp_path: Path) -> None:
    url = "https://example.org/m.onnx?a=1&b=2"
    embedder = replace(
        spec.embedders[0], transformer=RemoteFile(url=url), output='a"><b/>&<![CDATA['
    )
    render_app(replace(spec, components=(embedder,)), tmp_path / "app", parse=parse_expression)
    component = etree.parse(tmp_path / "app" / "services.xml").find("container/component")
    assert component.find("transformer-model").get("url") == url
    assert component.findtext("transformer-output") == 'a"><b/>&<![CDATA['
    assert component.find(".//b") is None


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *(("name", name) for name in (*HOSTILE, "admin", "default")),
        *(("schema", name) for name in (*HOSTILE, "expression", "id", "a-b")),
    ],
)
def test_a_hostile_name_is_refused_and_nothing_is_written(
    model_folder: ModelFolder, tmp_path: Path, place: str, name: str
) -> None:
    before = tree(tmp_path)
    options = AppOptions(name=name) if place == "name" else AppOptions(schema=name)
    with pytest.raises(SpecError, match="is not valid"):
        application_spec(folder_embedder(model_folder), options)
    assert tree(tmp_path) == before


def test_nothing_is_written_beside_the_package(spec: ApplicationSpec, tmp_path: Path) -> None:
    before = tree(tmp_path)
    render_app(spec, tmp_path / "out" / "app", parse=parse_expression)
    after = {name: text for name, text in tree(tmp_path).items() if not name.startswith("out/app/")}
    assert after == before


def test_model_files_are_real_files_even_where_the_model_folder_has_links(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    model_folder.model_path.rename(store)
    model_folder.model_path.symlink_to(store)
    spec = application_spec(folder_embedder(model_folder), AppOptions())
    render_app(spec, tmp_path / "app", parse=parse_expression)
    path = tmp_path / "app" / "files" / "model.onnx"
    assert not path.is_symlink()
    assert path.read_bytes() == b"the graph"


def test_model_files_are_copied_where_they_cannot_be_linked(
    spec: ApplicationSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    render_app(spec, tmp_path / "app", parse=parse_expression)
    path = tmp_path / "app" / "files" / "model.onnx"
    assert path.read_bytes() == b"the graph"
    assert path.stat().st_nlink == 1


def test_an_unchanged_package_is_replaced(spec: ApplicationSpec, tmp_path: Path) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    package = render_app(replace(spec, name="other"), tmp_path / "app", parse=parse_expression)
    assert read_package(tmp_path / "app") == package
    assert package.name == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app", "model"]


def test_a_folder_of_somebody_else_is_left_alone(spec: ApplicationSpec, tmp_path: Path) -> None:
    output = tmp_path / "app"
    output.mkdir()
    (output / "services.xml").write_text("<services/>")
    with pytest.raises(OutputError, match="not written by this command"):
        render_app(spec, output, parse=parse_expression)
    assert tree(output) == {"services.xml": b"<services/>"}


@pytest.mark.parametrize("name", ["schemas/passage.sd", "schemas/more.sd", "notes.txt"])
def test_work_done_in_a_package_is_not_destroyed(
    spec: ApplicationSpec, tmp_path: Path, name: str
) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    (tmp_path / "app" / name).write_text("my work")
    with pytest.raises(OutputError, match="left alone") as caught:
        render_app(spec, tmp_path / "app", parse=parse_expression)
    assert name in str(caught.value)
    assert (tmp_path / "app" / name).read_text() == "my work"


def test_a_package_that_lost_a_file_is_made_again(spec: ApplicationSpec, tmp_path: Path) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    (tmp_path / "app" / "services.xml").unlink()
    render_app(spec, tmp_path / "app", parse=parse_expression)
    assert tree(tmp_path / "app").keys() == FILES


def test_an_output_that_cannot_be_written_is_an_error_and_nothing_is_left(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file")
    before = tree(tmp_path)
    for output in (tmp_path / "file" / "app", tmp_path / "file"):
        with pytest.raises(OutputError):
            render_app(spec, output, parse=parse_expression)
    assert tree(tmp_path) == before


def test_a_failure_half_way_leaves_the_old_package_whole(
    spec: ApplicationSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    before = tree(tmp_path)

    def full(*_paths: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="free some space"):
        render_app(replace(spec, name="other"), tmp_path / "app", parse=parse_expression)
    assert tree(tmp_path) == before


def test_a_changed_or_missing_file_is_noticed(spec: ApplicationSpec, tmp_path: Path) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    (tmp_path / "app" / "files" / "tokenizer.json").unlink()
    (tmp_path / "app" / "services.xml").write_text("other")
    with pytest.raises(SpecError) as caught:
        read_package(tmp_path / "app")
    assert len(caught.value.faults) == 2
    assert read_package(tmp_path / "app", check=False).name == "passages"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "application": "a", "files": {}}', '{"format": 1}']
)
def test_a_manifest_that_is_not_valid_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ".vespa-colbert.json").write_text(text)
    with pytest.raises(SpecError, match="not a valid manifest"):
        read_package(tmp_path)


def test_a_folder_without_a_manifest_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is none"):
        read_package(tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ application.nosuch }}", "UndefinedError"),
        ("{{ nosuch }}", "UndefinedError"),
        ("{% if %}", "TemplateSyntaxError"),
        ("{{ application.__class__.__mro__ }}", "SecurityError"),
        ("{{ ''.format.__globals__ }}", "SecurityError"),
        ("{% include '../../secret' %}", "TemplateNotFound"),
    ],
)
def test_a_template_of_the_user_can_reach_nothing_but_the_spec(
    spec: ApplicationSpec, tmp_path: Path, text: str, why: str
) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(template_root(), templates)
    (tmp_path / "secret").write_text("secret")
    (templates / "README.md.jinja").write_text(text)
    with pytest.raises(SpecError, match=why):
        render_app(spec, tmp_path / "app", templates=templates, parse=parse_expression)
    assert not (tmp_path / "app").exists()


def test_a_template_of_the_user_is_used(spec: ApplicationSpec, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(template_root(), templates)
    (templates / "README.md.jinja").write_text("{{ application.name }} is mine")
    render_app(spec, tmp_path / "app", templates=templates, parse=parse_expression)
    assert (tmp_path / "app" / "README.md").read_text() == "passages is mine"


def test_a_missing_template_is_an_error(spec: ApplicationSpec, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"schemas/schema\.sd\.jinja: TemplateNotFound"):
        render_app(spec, tmp_path / "app", templates=tmp_path, parse=parse_expression)


def test_the_manifest_says_what_every_file_is(spec: ApplicationSpec, tmp_path: Path) -> None:
    render_app(spec, tmp_path / "app", parse=parse_expression)
    document = json.loads((tmp_path / "app" / ".vespa-colbert.json").read_text())
    assert document["files"]["files/model.onnx"] == {
        # sha256sum of the nine bytes "the graph"
        "sha256": "16b9f2912007922fe48f5343d131850f01f2095edbc97bf38d36efc3178bafc2",
        "size": 9,
    }
