from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vespa_colbert.app import ApplicationSpec, eject_templates, read_package, render_app
from vespa_colbert.app.templates import template_root
from vespa_colbert.cli.main import app
from vespa_colbert.errors import OutputError, SpecError
from vespa_colbert.rank import parse_expression


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    eject_templates(tmp_path / "mine")
    return tmp_path / "mine"


def test_ejected_templates_print_what_the_own_ones_print(
    spec: ApplicationSpec, mine: Path, tmp_path: Path
) -> None:
    own = render_app(spec, tmp_path / "own", parse=parse_expression)
    copied = render_app(spec, tmp_path / "copied", templates=mine, parse=parse_expression)
    assert own.files == copied.files


def test_a_folder_that_holds_anything_is_left_alone(mine: Path) -> None:
    (mine / "services.xml.jinja").write_text("my work")
    with pytest.raises(OutputError, match="left alone"):
        eject_templates(mine)
    assert (mine / "services.xml.jinja").read_text() == "my work"


def test_further_templates_are_printed_and_other_files_copied(
    spec: ApplicationSpec, mine: Path, tmp_path: Path
) -> None:
    (mine / "search" / "query-profiles" / "default.xml.jinja").write_text(
        '<query-profile id="default"><field name="x">{{ application.name }}</field></query-profile>'
    )
    (mine / "security").mkdir()
    (mine / "security" / "clients.pem").write_bytes(b"\x00\xff")
    package = render_app(spec, tmp_path / "app", templates=mine, parse=parse_expression)
    assert ">passages<" in (package.path / "search/query-profiles/default.xml").read_text()
    assert (package.path / "security/clients.pem").read_bytes() == b"\x00\xff"
    assert {"search/query-profiles/default.xml", "security/clients.pem"} <= package.files.keys()
    assert read_package(package.path) == package
    assert render_app(spec, tmp_path / "app", templates=mine, parse=parse_expression) == package


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("services.xml.jinja", "{{ nothing }}", "'nothing' is undefined"),
        ("services.xml.jinja", "{{ application.__class__.__mro__ }}", "SecurityError"),
        ("services.xml.jinja", "{{ ''.__class__ }}", "SecurityError"),
        ("services.xml.jinja", "{% for x in range(999999999) %}{% endfor %}", "OverflowError"),
        ("services.xml.jinja", "{{ 'no end' ", "TemplateSyntaxError"),
        ("services.xml.jinja", "<a><b></a>", "prints no valid XML"),
        ("services.xml.jinja", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "expected no DOCTYPE"),
        ("services.xml.jinja", "{% include '../secret' %}", "TemplateNotFound"),
        ("files/model.onnx.jinja", "x", "written by the project itself"),
        (".vespa-colbert.json", "{}", "written by the project itself"),
    ],
)
def test_templates_that_cannot_be_used_are_refused_with_their_name(
    spec: ApplicationSpec, mine: Path, tmp_path: Path, name: str, text: str, why: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (mine / name).parent.mkdir(exist_ok=True)
    (mine / name).write_text(text)
    with pytest.raises(SpecError) as caught:
        render_app(spec, tmp_path / "app", templates=mine, parse=parse_expression)
    assert why in str(caught.value)
    assert name.removesuffix(".jinja") in str(caught.value)
    assert not (tmp_path / "app").exists()


def test_a_link_is_not_followed(spec: ApplicationSpec, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (mine / "secret").symlink_to(tmp_path / "secret")
    with pytest.raises(SpecError, match="got a link"):
        render_app(spec, tmp_path / "app", templates=mine, parse=parse_expression)


def test_a_folder_that_is_not_there_is_refused(spec: ApplicationSpec, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="templates --eject"):
        render_app(spec, tmp_path / "app", templates=tmp_path / "none", parse=parse_expression)


def test_the_verb_ejects_and_lists(tmp_path: Path) -> None:
    listed = CliRunner().invoke(app, ["templates"])
    assert str(template_root() / "services.xml.jinja") in listed.stdout
    made = CliRunner().invoke(app, ["templates", "--eject", str(tmp_path / "mine")])
    assert made.exit_code == 0
    assert (tmp_path / "mine" / "schemas" / "schema.sd.jinja").is_file()
    assert "generate --templates" in made.stdout
