"""Bad input: exit 1, one clear message, no traceback, nothing under a final name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, Run, write_corpus
from tests.tiny_checkpoint import HIDDEN, edit_json, edit_tensors


def assert_refused(ran: Ran, *fragments: object) -> None:
    assert ran.code == 1, ran
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    for fragment in fragments:
        assert str(fragment) in ran.err


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "model"


def assert_nothing_left(output: Path) -> None:
    assert not output.exists()
    if output.parent.exists():
        assert list(output.parent.iterdir()) == []


def test_a_checkpoint_folder_that_does_not_exist(run: Run, tmp_path: Path, output: Path) -> None:
    assert_refused(run("export", tmp_path / "nowhere", "-o", output), tmp_path / "nowhere")
    assert_nothing_left(output)


def test_a_checkpoint_without_weights(run: Run, copy: Run, output: Path) -> None:
    folder = Path(str(copy()))
    (folder / "model.safetensors").unlink()
    assert_refused(run("export", folder, "-o", output), folder, "model.safetensors")
    assert_nothing_left(output)


def test_weights_of_another_architecture_are_named(run: Run, copy: Run, output: Path) -> None:
    import torch

    folder = Path(str(copy()))
    edit_tensors(folder / "model.safetensors", vision__patch__weight=torch.ones(3, 3))
    assert_refused(run("export", folder, "-o", output), "vision.patch.weight")
    assert_nothing_left(output)


def test_a_head_whose_width_contradicts_its_config(run: Run, copy: Run, output: Path) -> None:
    folder = Path(str(copy()))
    edit_json(folder / "1_Dense" / "config.json", out_features=12)
    assert_refused(run("export", folder, "-o", output), "12", "8", "1_Dense")
    assert_nothing_left(output)


def test_a_head_that_does_not_fit_the_encoder(run: Run, copy: Run, output: Path) -> None:
    import torch

    folder = Path(str(copy()))
    edit_json(folder / "1_Dense" / "config.json", in_features=HIDDEN + 2)
    edit_tensors(folder / "1_Dense" / "model.safetensors", linear__weight=torch.ones(8, HIDDEN + 2))
    assert_refused(run("export", folder, "-o", output), str(HIDDEN), str(HIDDEN + 2))
    assert_nothing_left(output)


def test_a_truncated_safetensors_file(run: Run, copy: Run, output: Path) -> None:
    folder = Path(str(copy()))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert_refused(run("export", folder, "-o", output), weights.name, "download")
    assert_nothing_left(output)


def test_all_faults_of_a_recipe_are_reported_together(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[app]\nname = "a"\nname = "b"\nrerank-cuont = 5\nembed-title = "yes"\n[serach]\nhits = 3\n'
    )

    refused = run("generate", "-r", recipe, "-o", tmp_path / "app")

    assert_refused(
        refused, recipe, "line 3", "rerank-cuont", "rerank-count", "embed-title", "serach"
    )
    assert refused.err.count("\n  - ") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


@pytest.mark.parametrize(
    ("line", "fragments"),
    [("{not json", ("line 6", "JSON")), ('{"_id": "x", "body": "b"}', ("line 6", '"text"'))],
)
def test_a_bad_corpus_line_is_named(
    run: Run, workspace: Path, tmp_path: Path, line: str, fragments: tuple[str, ...]
) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate"):
        run(verb, "-r", recipe)
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    corpus.write_text(corpus.read_text() + line + "\n")
    index, feed = tmp_path / "out" / "index", tmp_path / "out" / "feed.jsonl"

    refused = run("embed", corpus, "-r", recipe, "-o", index, "--feed", feed)

    assert_refused(refused, corpus, *fragments)
    assert not index.parent.exists()


@pytest.mark.parametrize("verb", ["export", "generate", "embed"])
def test_an_output_that_cannot_be_written(
    run: Run, workspace: Path, tmp_path: Path, verb: str
) -> None:
    recipe = workspace / "recipe.toml"
    for earlier in ("export", "generate", "embed"):
        run(earlier, "-r", recipe)
    blocked = tmp_path / "file"
    blocked.write_text("in the way")

    refused = run(verb, "-r", recipe, "-o", blocked / "out")

    assert_refused(refused, blocked / "out", "cannot be written")
    assert blocked.read_text() == "in the way"


def test_an_output_folder_with_other_files_is_left_alone(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years")

    refused = run("export", "-r", workspace / "recipe.toml", "-o", tmp_path)

    assert_refused(refused, tmp_path, "left alone")
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_an_unknown_profile_and_a_missing_index_are_named(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate", "embed"):
        run(verb, "-r", recipe)

    assert_refused(run("search", "x", "-r", recipe, "-p", "nosuch"), "nosuch", "max_sim_int8")
    assert_refused(run("search", "x", "-r", recipe, "-i", tmp_path / "none"), tmp_path / "none")


def test_an_index_made_with_another_model_is_refused(
    run: Run, workspace: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    import shutil

    recipe = workspace / "recipe.toml"
    for verb in ("export", "generate", "embed"):
        run(verb, "-r", recipe)
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, other)
    edit_json(other / "config_sentence_transformers.json", document_length=12)
    assert run("export", other, "-o", tmp_path / "model").code == 0

    assert_refused(
        run("search", "x", "-r", recipe, "-m", tmp_path / "model"), "embedder", "embed again"
    )


def test_a_missing_input_says_how_to_name_it(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[search]\nhits = 3\n")
    assert_refused(run("export", "-r", recipe), "checkpoint.path")


def test_faults_come_as_text_even_with_json(run: Run, tmp_path: Path) -> None:
    refused = run("inspect", tmp_path / "nowhere", "--json")
    assert_refused(refused, "nowhere")
    assert refused.out == ""
    assert json.dumps(refused.err)
