from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from tests.cli.conftest import Run
from vespa_colbert.cli.export_options import FLAGS
from vespa_colbert.export import ExportOptions, read_model_folder

QUICK = ("--opset", "17")
TOKEN = "hf_verysecret"


class Hub:
    """Takes everything and remembers it."""

    sent: list[Any] = []  # noqa: RUF012 - emptied by the fixture

    def create_repo(self, name: str, **named: Any) -> None:
        self.sent.append((name, named))

    def create_commit(self, name: str, operations: list[Any], **_named: Any) -> Any:
        self.sent.append(sorted(each.path_in_repo for each in operations))
        return SimpleNamespace(commit_url=f"there/{name}")


class RefusingHub(Hub):
    def create_commit(self, name: str, operations: list[Any], **_named: Any) -> Any:
        raise OSError(f"401 for {name} with {TOKEN}, {len(operations)} files")


@pytest.fixture(name="hub")
def hub_fixture(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    Hub.sent.clear()
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return Hub


@pytest.fixture(scope="module", name="output")
def output_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all exports of this module go, so that one of them serves the others."""
    return tmp_path_factory.mktemp("exports") / "model"


def test_every_option_of_an_export_has_a_flag() -> None:
    assert {each.name for each in fields(ExportOptions)} == set(FLAGS)


def test_a_dry_run_shows_files_sizes_and_card_and_sends_nothing(
    run: Run, tiny_checkpoint: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", None)

    ran = run("export", tiny_checkpoint, "-o", output, *QUICK, "--push-to-hub", "o/m", "--dry-run")

    assert ran.code == 0, ran.err
    assert "o/m: would be sent" in ran.out
    size = (output / "model.onnx").stat().st_size
    assert f"model.onnx      {size} bytes" in ran.out
    assert "license: unknown" in ran.out
    assert 'embedder = "embedder.json"' in ran.out


def test_a_push_says_where_the_commit_is(
    run: Run, tiny_checkpoint: Path, output: Path, hub: type[Hub]
) -> None:
    ran = run("export", tiny_checkpoint, "-o", output, *QUICK, "--push-to-hub", "o/m", "--private")

    assert ran.code == 0, ran.err
    assert "there/o/m" in ran.out
    assert hub.sent[0] == ("o/m", {"private": True, "exist_ok": True})
    assert hub.sent[1] == ["README.md", "embedder.json", "model.onnx", "tokenizer.json"]
    assert TOKEN not in ran.out + ran.err


def test_a_push_is_told_to_machines_too(
    run: Run, tiny_checkpoint: Path, output: Path, hub: type[Hub]
) -> None:
    ran = run("export", tiny_checkpoint, "-o", output, *QUICK, "--push-to-hub", "o/m", "--json")

    told: Any = ran.json
    assert told["upload"]["commit"] == "there/o/m"
    assert told["upload"]["files"]["model.onnx"] == (output / "model.onnx").stat().st_size
    assert len(hub.sent) == 2


def test_a_failed_push_leaves_the_model_folder_and_says_where(
    run: Run,
    tiny_checkpoint: Path,
    output: Path,
    hub: type[Hub],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", RefusingHub)

    ran = run("export", tiny_checkpoint, "-o", output, *QUICK, "--push-to-hub", "o/m")

    assert ran.code == 1
    assert "the Hub does not take the model (401 for o/m with …, 4 files)" in ran.err
    assert f"the model folder {output} is whole" in ran.err
    assert TOKEN not in ran.out + ran.err
    assert "Traceback" not in ran.err
    assert str(output) in ran.out
    assert read_model_folder(output).is_verified


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dry-run"], "go with --push-to-hub"),
        (["--private"], "go with --push-to-hub"),
        (["--push-to-hub", "no-organisation"], "expected organisation/model"),
        (["--vespa-version", "7.1.1"], "expected 8.338.38 or newer"),
        (["--opset", "21"], "expected 17 to 20, which Vespa 8.338.38 loads"),
    ],
)
def test_what_cannot_be_is_refused_before_the_conversion(
    run: Run, tiny_checkpoint: Path, tmp_path: Path, flags: list[str], said: str
) -> None:
    ran = run("export", tiny_checkpoint, "-o", tmp_path / "model", *flags)

    assert ran.code == 1
    assert said in ran.err
    assert list(tmp_path.iterdir()) == []


def test_the_figures_of_a_dtype_are_printed(
    run: Run, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    ran = run("export", tiny_checkpoint, "-o", tmp_path / "model", *QUICK, "--dtype", "fp16")

    assert ran.code == 0, ran.err
    assert "fp16 beside fp32, on 12 queries and 24 documents" in ran.out
    for figure in ("largest difference", "mean cosine", "flipped signs", "best document", "order"):
        assert f"{figure} " in ran.out
    assert "wanted at least 0.9999" in ran.out


def test_what_was_not_checked_is_not_shown_as_checked(
    run: Run, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model, app = tmp_path / "model", tmp_path / "app"

    ran = run("export", tiny_checkpoint, "-o", model, *QUICK, "--no-verify")
    generated = run("generate", "-m", model, "-o", app)

    assert ran.code == 0, ran.err
    assert "not checked against torch" in ran.out
    assert "difference to torch" not in ran.out
    assert json.loads((model / "embedder.json").read_text())["verification"]["verified"] is False
    assert generated.code == 0, generated.err
    assert "not checked against torch" in generated.err


def test_the_lowest_release_of_the_recipe_is_what_must_load_the_model(
    run: Run, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
        [checkpoint]
        path = "{tiny_checkpoint}"
        [export]
        opset = 21
        verify = false
        """
    )
    refused = run("export", "-r", recipe)
    made = run("export", "-r", recipe, "--vespa-version", "8.614.22", "--json")
    too_new = run("generate", "-r", recipe)
    recipe.write_text(recipe.read_text() + '[app]\nminimum-vespa-version = "8.614.22"\n')
    reused = run("export", "-r", recipe)
    fits = run("generate", "-r", recipe)

    assert refused.code == 1
    told: Any = made.json
    assert told["graph"]["target"]["onnxruntime"] == "1.23.2"
    assert too_new.code == 1
    assert "expected a graph that Vespa 8.338.38 loads" in too_new.err
    assert "raise app.minimum-vespa-version" in too_new.err
    assert (reused.code, fits.code) == (0, 0), fits.err
    assert "reused" in reused.out
