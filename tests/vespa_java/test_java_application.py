from __future__ import annotations

from pathlib import Path

import pytest

from tests.vespa_java.tiny_package import (
    SCHEMA,
    component_with,
    write_embedder_package,
    write_package,
)
from vespa_colbert.errors import VespaJavaError
from vespa_colbert.vespa_java import VESPA_VERSION, EmbedderFiles, VespaJava

pytestmark = pytest.mark.java


def files_below(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_good_package_is_accepted_and_left_alone(java: VespaJava, package: Path) -> None:
    before = files_below(package)
    report = java.validate_application(package)
    assert report.accepted
    assert report.errors == ()
    assert report.warnings == ()
    assert report.vespa_version == VESPA_VERSION == java.versions()["vespa"]
    assert files_below(package) == before


def test_what_needs_an_installed_vespa_is_said_to_be_unchecked(
    java: VespaJava, package: Path
) -> None:
    report = java.validate_application(package)
    assert any("vespa-verify-ranksetup" in each for each in report.not_checked)


def test_derived_profiles_have_vespas_properties(java: VespaJava, package: Path) -> None:
    profiles = java.validate_application(package).profiles["doc"]
    assert {"bm25", "max_sim", "packed_max_sim"} < profiles.keys()
    derived = profiles["max_sim"]
    assert ("vespa.rank.firstphase", "bm25(text)") in derived
    assert ("vespa.rank.secondphase", "rankingExpression(max_sim)") in derived
    assert ("vespa.type.query.qt", "tensor<float>(qt{},x[3])") in derived
    assert ("query(weight)", "0.5") in derived


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("attribute(rows), x), max", "attribute(nosuch), x), max", "nosuch"),
        ("tensor<int8>(dt{},x[2])", "tensor<int9>(dt{},x[2])", "int9"),
        ("document doc {", "document doc (", "line 3"),
        ("expression: bm25(text)", "expression: attribute(rows)", "bm25"),
        ("schema doc {", "schema other {", "other"),
    ],
)
def test_a_bad_schema_is_an_error_that_names_its_cause(
    java: VespaJava, tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in SCHEMA
    folder = write_package(tmp_path / "app", schema=SCHEMA.replace(old, new))
    report = java.validate_application(folder)
    assert not report.accepted
    assert any(named in error for error in report.errors)
    assert report.profiles == {}
    assert not any("\tat " in error for error in report.errors)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("</services>", "", "services.xml"),
        ("<search/>", "<serch/>", "serch"),
        ('type="doc"', 'type="missing"', "missing"),
        ("8.691.19", "9.0.0", "9.0.0"),
        ("<min-redundancy>1", "<min-redundancy>one", "one"),
    ],
)
def test_bad_services_are_an_error_that_names_its_cause(
    java: VespaJava, tmp_path: Path, old: str, new: str, named: str
) -> None:
    folder = write_package(tmp_path / "app")
    services = folder / "services.xml"
    text = services.read_text()
    assert old in text
    services.write_text(text.replace(old, new))
    report = java.validate_application(folder)
    assert any(named in error for error in report.errors)


def test_errors_name_the_package_and_not_a_working_copy(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app")
    (folder / "services.xml").write_text("<services")
    errors = " ".join(java.validate_application(folder).errors)
    assert str(folder) in errors
    assert ".preprocessed" not in errors


def test_a_package_without_services_is_an_error(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app")
    (folder / "services.xml").unlink()
    assert "services.xml does not exist" in java.validate_application(folder).errors[0]


def test_a_file_that_vespa_does_not_expect_is_a_warning(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app")
    (folder / "schemas" / "notes.txt").write_text("notes")
    report = java.validate_application(folder)
    assert report.accepted
    assert any("schemas/notes.txt" in warning for warning in report.warnings)


@pytest.mark.parametrize("attribute", ["path", "url"])
def test_models_may_be_given_by_path_or_by_url(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles, attribute: str
) -> None:
    folder = write_embedder_package(tmp_path / "app", embedder_files, attribute)
    assert java.validate_application(folder).errors == ()


def test_a_model_path_without_the_file_is_an_error(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app", components=component_with("path"))
    assert "models/model.onnx" in java.validate_application(folder).errors[0]


def test_a_model_path_out_of_the_package_is_an_error(java: VespaJava, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    component = component_with("path").replace("models/model.onnx", "../model.onnx")
    folder = write_package(tmp_path / "app", components=component)
    assert not java.validate_application(folder).accepted


def test_a_large_file_is_not_copied(java: VespaJava, tmp_path: Path) -> None:
    component = component_with("path").replace("models/", "files/")
    folder = write_package(tmp_path / "app", components=component)
    (folder / "files").mkdir()
    (folder / "files" / "tokenizer.json").write_text("{}")
    with (folder / "files" / "model.onnx").open("wb") as stream:
        stream.truncate(1 << 40)
    assert java.validate_application(folder).errors == ()


def test_a_link_to_a_folder_is_an_error(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app")
    (folder / "models").symlink_to(tmp_path)
    assert "models: a link" in java.validate_application(folder).errors[0]


def test_a_package_is_read_again_after_a_change(java: VespaJava, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "app")
    assert java.validate_application(folder).accepted
    (folder / "schemas" / "doc.sd").write_text(SCHEMA.replace("attribute(rows)", "attribute(gone)"))
    assert not java.validate_application(folder).accepted


def test_a_folder_that_does_not_exist_is_an_exception(java: VespaJava, tmp_path: Path) -> None:
    with pytest.raises(VespaJavaError, match="nowhere"):
        java.validate_application(tmp_path / "nowhere")


def test_user_names_with_spaces_and_letters_of_any_alphabet_do_no_harm(
    java: VespaJava, tmp_path: Path, embedder_files: EmbedderFiles
) -> None:
    folder = write_embedder_package(tmp_path / "Größe  λ" / "app 1", embedder_files, "path")
    assert java.validate_application(folder).errors == ()
