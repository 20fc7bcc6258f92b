from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import huggingface_hub
import pytest
from lxml import etree

from vespa_colbert.errors import ExportError
from vespa_colbert.export.model_folder import EmbedderSpec, ModelFolder, read_model_folder
from vespa_colbert.export.publish import check_repository, model_card, plan_upload, push_model
from vespa_colbert.files import FileDigest, digest_file

LOSS = {
    "dtype": "int8", "queries": 12, "documents": 24, "worst": 0.1, "cosine": 0.97,
    "sign_flips": 0.05, "top_agreement": 0.9, "rank_agreement": 0.9, "faults": ["mean cosine"],
}  # fmt: skip
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
        graph={"dtype": "fp32"},
        verification={"verified": True, "cases": [{"worst": 2e-7}, {"worst": 3e-7}]},
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
    from vespa_colbert.rank import parse_expression
    from vespa_colbert.recipe import read_recipe, recipe_application

    card = model_card(folder, "org/model")

    assert "3.0e-07 on 2 shapes" in card
    assert "license: unknown" in card
    recipe = folder.path / "recipe.toml"
    recipe.write_text(card.split("```toml\n")[1].split("```")[0])
    render_app(recipe_application(read_recipe(recipe)), folder.path / "app", parse=parse_expression)
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


def test_the_card_says_what_was_lost_and_what_was_not_checked(folder: ModelFolder) -> None:
    narrow = replace(
        folder,
        graph={
            "dtype": "int8",
            "opset": 18,
            "ir_version": 9,
            "fused": {"MultiHeadAttention": 6},
            "target": {"vespa": "8.338.38"},
        },
        reason="asked for",
        differences=({"point": "score", "library": "mean", "vespa": "sum", "faithful": False},),
        verification={"verified": False, "cases": [], "loss": LOSS},
    )

    card = model_card(narrow, "org/model")

    for fact in (
        "dtype: int8",
        "mean cosine 0.97, wanted at least 0.98",
        "**more is lost than this tool allows by itself**",
        "comparison, as float32: not checked against torch",
        "packaging: native (asked for)",
        "score: the training library: mean; Vespa: sum; **this changes scores**",
        "own: 6 MultiHeadAttention",
        "loads in Vespa 8.338.38 or newer (opset 18, IR version 9)",
    ):
        assert fact in card


@pytest.mark.parametrize("name", ["model", "org/", "../org/model", "org/model/more", ""])
def test_a_name_that_the_hub_cannot_have_is_refused_before_anything_else(name: str) -> None:
    with pytest.raises(ExportError, match="expected organisation/model"):
        check_repository(name)


@pytest.mark.parametrize(
    "said",
    [
        "403 Forbidden\nAuthorization: Bearer hf_secret",
        "403 Forbidden for hf_secret",
        "403 Forbidden, header Authorization: Bearer private-token",
        "403 Forbidden with private-token",
    ],
)
def test_a_refusal_is_one_error_without_the_token(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    class Hub:
        def create_repo(self, *_arguments: Any, **_named: Any) -> NoReturn:
            raise OSError(said)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "private-token")

    with pytest.raises(ExportError, match="403 Forbidden") as error:
        push_model(folder, "org/model")

    shown = "".join(traceback.format_exception(error.value))
    assert "secret" not in shown
    assert "private-token" not in shown
    assert f"the model folder {folder.path} is whole" in str(error.value)
    assert read_model_folder(folder.path).files == folder.files
