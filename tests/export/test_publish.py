from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import huggingface_hub
import pytest
from lxml import etree

from vespa_colbert.errors import ExportError
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder
from vespa_colbert.export.publish import model_card, plan_upload, push_model
from vespa_colbert.files import FileDigest, digest_file

SPEC = EmbedderSpec(
    dim=8, start_id=101, end_id=102, mask_id=103, pad_id=0, query_marker_id=1,
    document_marker_id=2, max_query_tokens=32, max_document_tokens=180, max_tokens=512,
    expansion_emitted=True,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    files: dict[str, FileDigest] = {}
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes(name.encode())
        files[name] = digest_file(tmp_path / name)
    made = ModelFolder(
        path=tmp_path,
        embedder=SPEC,
        packaging="native",
        checkpoint={"name": "tiny", "layout": "pylate"},
        versions={},
        graph={},
        verification={"cases": [{"worst": 2e-7}, {"worst": 3e-7}]},
        files=files,
    )
    (tmp_path / "embedder.json").write_text(made.manifest())
    return made


def test_the_plan_names_every_file_and_asks_no_network(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", None)

    upload = plan_upload(folder, "org/model")

    sizes = {
        name: (folder.path / name).stat().st_size for name in upload.files if name != "README.md"
    }
    assert {name: upload.files[name] for name in sizes} == sizes
    assert set(upload.files) == {"README.md", "embedder.json", "model.onnx", "tokenizer.json"}


def test_the_card_has_the_figures_and_a_recipe_that_prints_a_package(folder: ModelFolder) -> None:
    from vespa_colbert.app import render_app
    from vespa_colbert.recipe import read_recipe, recipe_application

    card = model_card(folder, "org/model")

    assert "3.0e-07 on 2 batch" in card
    recipe = folder.path / "recipe.toml"
    recipe.write_text(card.split("```toml\n")[1].split("```")[0])
    render_app(recipe_application(read_recipe(recipe)), folder.path / "app")
    services = etree.parse(folder.path / "app" / "services.xml")
    assert services.findtext(".//document-token-id") == "2"
    model = services.find(".//transformer-model")
    assert model is not None
    assert model.get("url") == "https://huggingface.co/org/model/resolve/main/model.onnx"


def test_everything_goes_up_in_one_commit(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, Any] = {}

    class Hub:
        def create_repo(self, name: str, **named: Any) -> None:
            sent["made"] = (name, named)

        def create_commit(self, name: str, operations: list[Any], **_named: Any) -> Any:
            sent["files"] = sorted(each.path_in_repo for each in operations)
            return SimpleNamespace(commit_url=f"there/{name}")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)

    assert push_model(folder, "org/model", private=True) == "there/org/model"
    assert sent["made"] == ("org/model", {"private": True, "exist_ok": True})
    assert sent["files"] == ["README.md", "embedder.json", "model.onnx", "tokenizer.json"]


def test_a_refusal_is_one_error_without_the_token(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hub:
        def create_repo(self, *_arguments: Any, **_named: Any) -> NoReturn:
            raise OSError("403 Forbidden\nAuthorization: Bearer hf_secret")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)

    with pytest.raises(ExportError, match="403 Forbidden") as error:
        push_model(folder, "org/model")

    assert "hf_secret" not in str(error.value)
