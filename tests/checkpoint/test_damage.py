"""Each damage of the table, in each layout that can have it: refused, with its cause and place."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.checkpoint.conftest import Fresh
from tests.checkpoint.damage_table import BUILD_CASES, LAYER, READ_CASES, Case
from tests.checkpoint.damages import CONFIG, TOKENIZER, Damage, in_shards, tensor
from tests.checkpoint.layout_folders import (
    BGE_M3,
    LAYOUTS,
    MULTI,
    PYLATE,
    STANFORD,
    WEIGHTS,
    LayoutFiles,
)
from tests.cli.conftest import Ran, Run, run_fixture
from tests.tiny_checkpoint import edit_json
from vespa_colbert.checkpoint import Checkpoint, read_checkpoint
from vespa_colbert.errors import CheckpointError, MissingWeightError, VespaColbertError
from vespa_colbert.export import export_checkpoint
from vespa_colbert.model import build_encoder

__all__ = ["run_fixture"]

LEAST_DAMAGES = 60


def in_every_layout(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    pairs = [(case, files) for case in cases for files in case.layouts]
    return pytest.mark.parametrize(
        ("case", "files"), pairs, ids=[f"{files.layout}: {case.name}" for case, files in pairs]
    )


def assert_says(error: pytest.ExceptionInfo[CheckpointError], folder: Path, case: Case) -> None:
    message, names = str(error.value), error_names(folder)
    for words in (str(folder), *(each.format_map(names) for each in case.words)):
        assert words in message


def error_names(folder: Path) -> Mapping[str, object]:
    (files,) = (each for each in LAYOUTS if each.layout == folder.name)
    return files.names()


@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_the_whole_checkpoint_is_read(fresh: Fresh, files: LayoutFiles) -> None:
    checkpoint = read_checkpoint(fresh(files))
    assert checkpoint.layout == files.layout
    assert build_encoder(checkpoint).dim == checkpoint.dim


@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_the_table_is_as_long_as_promised(files: LayoutFiles) -> None:
    names = [case.name for case in (*READ_CASES, *BUILD_CASES) if files in case.layouts]
    assert len(set(names)) >= LEAST_DAMAGES


@in_every_layout(READ_CASES)
def test_a_damaged_checkpoint_is_refused_when_it_is_read(
    fresh: Fresh, case: Case, files: LayoutFiles
) -> None:
    folder = fresh(files)
    case.damage(folder, files)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    assert_says(caught, folder, case)


@in_every_layout(BUILD_CASES)
def test_weights_that_are_not_those_of_the_config_are_refused_when_the_module_is_built(
    fresh: Fresh, case: Case, files: LayoutFiles
) -> None:
    folder = fresh(files)
    case.damage(folder, files)
    checkpoint = read_checkpoint(folder)
    with pytest.raises(CheckpointError) as caught:
        build_encoder(checkpoint)
    assert_says(caught, folder, case)


def test_export_of_a_checkpoint_without_a_layer_leaves_nothing(
    fresh: Fresh, tmp_path: Path
) -> None:
    folder = fresh(STANFORD)
    tensor(LAYER, lambda _tensor: None)(folder, STANFORD)
    with pytest.raises(MissingWeightError, match=LAYER):
        export_checkpoint(read_checkpoint(folder), tmp_path / "out" / "model")
    assert not (tmp_path / "out" / "model").exists()


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
@pytest.mark.parametrize("name", [CONFIG, TOKENIZER])
def test_what_the_disk_does_not_give_is_named(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    folder, read = fresh(PYLATE), Path.read_bytes

    def fails(path: Path) -> bytes:
        if path == folder / name:
            raise OSError(code, os.strerror(code), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    assert str(folder / name) in str(caught.value)
    assert os.strerror(code) in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 5000, "model\0", "a/" * 3000])
def test_a_path_that_no_folder_can_have_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(Path(name))
    assert name[:40] in str(caught.value)


# The command line: a sample of ten.

SAMPLE = (
    (PYLATE, "config a pipe"),
    (PYLATE, "weights a git-lfs pointer"),
    (PYLATE, "NaN in the head"),
    (PYLATE, "half a character"),
    (STANFORD, "head missing"),
    (STANFORD, "metadata missing"),
    (STANFORD, "vocabulary larger than the embedding"),
    (MULTI, "tensor in another shard"),
    (MULTI, "module path with a zero byte"),
    (BGE_M3, "start token of another id"),
)


@pytest.mark.parametrize(("files", "name"), SAMPLE, ids=[name for _files, name in SAMPLE])
def test_the_command_ends_with_one_message_and_no_traceback(
    run: Run, fresh: Fresh, files: LayoutFiles, name: str
) -> None:
    case = next(each for each in READ_CASES if each.name == name and files in each.layouts)
    folder = fresh(files)
    case.damage(folder, files)
    ran: Ran = run("inspect", folder)
    assert ran.code == 1
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    for words in (str(folder), *(each.format_map(files.names()) for each in case.words)):
        assert words in ran.err.replace("\n", "")


# What looks odd and does no harm.


def facts(checkpoint: Checkpoint) -> tuple[object, ...]:
    """Return everything that a score depends on."""
    return (
        *(checkpoint.layout, checkpoint.query_marker, checkpoint.document_marker),
        *(checkpoint.start_id, checkpoint.end_id, checkpoint.mask_id, checkpoint.pad_id),
        *(checkpoint.max_query_tokens, checkpoint.max_document_tokens, checkpoint.skip_ids),
        *(checkpoint.query_expansion, checkpoint.expansion_attended, checkpoint.lower_case),
        *(checkpoint.mean_score, checkpoint.start_row_dropped, checkpoint.skip_queries),
        checkpoint.tokenizer.vocabulary,
        {name: array.tobytes() for name, array in checkpoint.encoder.weights.items()},
        [layer.weight.tobytes() for layer in checkpoint.projection],
    )


def as_the_cache_of_the_hub(folder: Path, _files: LayoutFiles) -> None:
    """Every file a link to a blob outside, as huggingface_hub leaves them."""
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for place, path in enumerate(sorted(folder.rglob("*.*"))):
        shutil.move(path, blobs / str(place))
        path.symlink_to(blobs / str(place))


def with_other_files(folder: Path, _files: LayoutFiles) -> None:
    (folder / "README.md").write_text("# a model\n")
    (folder / ".gitattributes").write_text("*.bin filter=lfs\n")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"")
    (folder / "modeling_evil.py").write_text("raise SystemExit\n")
    # Beside safetensors a pickle is not opened.
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")


def indented(folder: Path, _files: LayoutFiles) -> None:
    for path in folder.rglob("*.json"):
        text = json.dumps(json.loads(path.read_text()), indent=3, ensure_ascii=True)
        path.write_bytes(f"\r\n{text}\r\n".replace("\n", "\r\n").encode())


def with_unknown_keys(folder: Path, _files: LayoutFiles) -> None:
    edit_json(
        folder / CONFIG,
        _name_or_path="/somewhere/else",
        transformers_version="4.1.0",
        torch_dtype="float32",
        note="日本 \N{ROSE}",
    )


def with_a_pooler(folder: Path, files: LayoutFiles) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors[f"{files.prefix}pooler.dense.extra"] = torch.ones(2)
    save_file(tensors, folder / WEIGHTS)


HARMLESS: dict[str, Damage] = {
    "links to blobs": as_the_cache_of_the_hub,
    "other files": with_other_files,
    "indented with carriage returns": indented,
    "unknown keys": with_unknown_keys,
    "shards": in_shards(lambda _index: None),
}


@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
@pytest.mark.parametrize("damage", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_does_no_harm_changes_no_fact(
    fresh: Fresh, sources: Mapping[str, Path], files: LayoutFiles, damage: Damage
) -> None:
    folder = fresh(files)
    damage(folder, files)
    assert facts(read_checkpoint(folder)) == facts(read_checkpoint(sources[files.layout]))


@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_a_tensor_that_no_row_depends_on_changes_no_row(
    fresh: Fresh, sources: Mapping[str, Path], files: LayoutFiles
) -> None:
    folder = fresh(files)
    with_a_pooler(folder, files)
    ids = torch.tensor([[files.start_id, 7, 8, 9]])
    with torch.no_grad():
        got, wanted = (
            build_encoder(read_checkpoint(each))(ids, torch.ones_like(ids))
            for each in (folder, sources[files.layout])
        )
    np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def test_every_refusal_is_an_error_of_this_package() -> None:
    assert issubclass(CheckpointError, VespaColbertError)
    assert issubclass(MissingWeightError, CheckpointError)
