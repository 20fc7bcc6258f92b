"""Checkpoints that were made to run something, or to reach out of their folder."""

from __future__ import annotations

import builtins
import importlib
import os
import pickle
import socket
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.checkpoint.conftest import Fresh
from tests.checkpoint.damages import CONFIG, TOKENIZER_CONFIG, Damage, document, members
from tests.checkpoint.layout_folders import (
    BGE_M3,
    LAYOUTS,
    MODULAR,
    MODULES_FILE,
    MULTI,
    PYLATE,
    STANFORD,
    WEIGHTS,
    LayoutFiles,
)
from vespa_colbert.checkpoint import ReadOptions, read_checkpoint
from vespa_colbert.errors import CheckpointError
from vespa_colbert.model import build_encoder

ALLOWED = ReadOptions(allow_pickle=True)
PICKLED = "pytorch_model.bin"
CANARY = "canary"
EVIL = "evil_module"


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def traps(canary: Path) -> dict[str, Calls]:
    return {
        "os.mkdir": Calls(os.mkdir, str(canary)),
        "os.system": Calls(os.system, f"touch {canary}"),
        "open": Calls(builtins.open, str(canary), "w"),
        "exec": Calls(exec, f"open({str(canary)!r}, 'w')"),
        "subprocess": Calls(subprocess.check_call, ["touch", str(canary)]),
        "Path.touch": Calls(Path.touch, canary),
        "import": Calls(importlib.import_module, EVIL),
    }


TRAPS = tuple(traps(Path()))


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything below a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[path.relative_to(root).as_posix()] = (status.st_size, status.st_mtime_ns)
    return found


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Lets nothing connect, and puts a module that would show itself where Python finds it."""

    def refuse(*_arguments: object) -> None:
        pytest.fail("something tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    (tmp_path / f"{EVIL}.py").write_text(
        f"open({str(tmp_path / CANARY)!r}, 'w')\ndef Model(*_a, **_k): raise SystemExit\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop(EVIL, None)


def used(folder: Path, options: ReadOptions, *, build: bool) -> None:
    checkpoint = read_checkpoint(folder, options)
    if build:
        build_encoder(checkpoint)


def refused(folder: Path, *words: str, options: ReadOptions = ALLOWED, build: bool = False) -> None:
    """Check that a checkpoint is refused and that nothing on the disk is other than before."""
    root = folder.parent
    before, modules = snapshot(root), set(sys.modules)
    with pytest.raises(CheckpointError) as caught:
        used(folder, options, build=build)
    assert snapshot(root) == before
    assert EVIL not in set(sys.modules) - modules
    assert not (root / CANARY).exists()
    for each in (str(folder), *words):
        assert each in str(caught.value)


def test_the_canary_would_show(tmp_path: Path) -> None:
    for name, trap in traps(tmp_path / CANARY).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file that open leaves open
            pickle.loads(pickle.dumps(trap))  # noqa: S301 - the trap itself
        assert (tmp_path / CANARY).exists(), name
        if (tmp_path / CANARY).is_dir():
            (tmp_path / CANARY).rmdir()
        else:
            (tmp_path / CANARY).unlink()


# Pickles.


def write_trap(path: Path, trap: object, *, zipped: bool) -> None:
    document = {"linear.weight": torch.ones(8, 16), "trap": trap}
    if zipped:
        torch.save(document, path)
    else:
        path.write_bytes(pickle.dumps(document))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "bare"])
@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_a_pickle_for_weights_runs_nothing(
    fresh: Fresh, tmp_path: Path, files: LayoutFiles, trap: str, *, zipped: bool
) -> None:
    folder = fresh(files)
    (folder / WEIGHTS).unlink()
    write_trap(folder / PICKLED, traps(tmp_path / CANARY)[trap], zipped=zipped)
    refused(folder, PICKLED, "--allow-pickle", options=ReadOptions())
    refused(folder, PICKLED, "not imported" if zipped else "bare pickle")


@pytest.mark.parametrize("name", ["colbert.dnn", "colbert_linear.pt"])
@pytest.mark.parametrize("trap", TRAPS)
def test_a_pickle_for_a_head_runs_nothing(
    fresh: Fresh, tmp_path: Path, trap: str, name: str
) -> None:
    files = STANFORD if name.endswith(".dnn") else BGE_M3
    folder = fresh(files)
    (folder / files.head).unlink()
    write_trap(folder / name, traps(tmp_path / CANARY)[trap], zipped=True)
    refused(folder, name, "--allow-pickle", options=ReadOptions())
    refused(folder, name, "not imported")


@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_a_pickle_that_goes_by_the_name_of_safetensors_runs_nothing(
    fresh: Fresh, tmp_path: Path, files: LayoutFiles
) -> None:
    folder = fresh(files)
    write_trap(folder / WEIGHTS, traps(tmp_path / CANARY)["os.mkdir"], zipped=True)
    refused(folder, WEIGHTS, "header")


@pytest.mark.parametrize("name", ["tokenizer.pkl", "scheduler.pt", "optimizer.bin", "rng.pth"])
def test_a_pickle_that_no_layout_needs_is_not_opened(
    fresh: Fresh, tmp_path: Path, name: str
) -> None:
    folder = fresh(PYLATE)
    write_trap(folder / name, traps(tmp_path / CANARY)["os.mkdir"], zipped=False)
    assert read_checkpoint(folder, ALLOWED).layout == "pylate"
    assert not (tmp_path / CANARY).exists()


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(50_000_000))


def leaving(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        torch.save({"linear.weight": torch.ones(8, 16)}, path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"gotcha")

    return write


ARCHIVES: dict[str, tuple[Callable[[Path], None], str]] = {
    "bomb": (bomb, "not compressed"),
    "entry above": (leaving("../canary"), "'../canary'"),
    "entry at the root": (leaving("/tmp/canary"), "'/tmp/canary'"),  # noqa: S108
    "entry of another system": (leaving("archive\\..\\canary"), "canary"),
}


@pytest.mark.parametrize(("write", "words"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_an_archive_that_would_leave_its_folder_or_fill_the_disk_is_refused(
    fresh: Fresh, write: Callable[[Path], None], words: str
) -> None:
    folder = fresh(STANFORD)
    (folder / WEIGHTS).unlink()
    write(folder / PICKLED)
    refused(folder, PICKLED, words)


# Code by name.

CONFIGS: dict[str, tuple[Damage, tuple[str, ...], bool]] = {
    "auto_map": (
        members(CONFIG, model_type="evil", auto_map={"AutoModel": f"{EVIL}.Model"}),
        (CONFIG, f"{EVIL}.Model", "not run"),
        False,
    ),
    "auto_map of another repository": (
        members(CONFIG, model_type="evil", auto_map={"AutoConfig": f"org/model--{EVIL}.Model"}),
        (CONFIG, f"org/model--{EVIL}.Model", "not run"),
        False,
    ),
    "auto_map of the tokenizer": (
        members(TOKENIZER_CONFIG, auto_map={"AutoTokenizer": [f"{EVIL}.Model", None]}),
        (TOKENIZER_CONFIG, f"{EVIL}.Model", "not run"),
        False,
    ),
    "model type a dotted name": (
        members(CONFIG, model_type=f"{EVIL}.Model"),
        (CONFIG, f"{EVIL}.Model"),
        True,
    ),
    "model type a path": (members(CONFIG, model_type="../../x"), (CONFIG, "../../x"), True),
    "activation": (members(CONFIG, hidden_act=f"{EVIL}.Model"), (CONFIG, EVIL), True),
}


@pytest.mark.parametrize("attack", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_a_config_that_names_code_runs_nothing(
    fresh: Fresh, files: LayoutFiles, attack: tuple[Damage, tuple[str, ...], bool]
) -> None:
    damage, words, build = attack
    folder = fresh(files)
    (folder / f"{EVIL}.py").write_bytes((folder.parent / f"{EVIL}.py").read_bytes())
    damage(folder, files)
    refused(folder, *words, build=build)


# Keys under which releases of transformers look for classes or kernels of others.
INERT: dict[str, Any] = {
    "_attn_implementation": f"org/{EVIL}",
    "_attn_implementation_internal": f"org/{EVIL}",
    "custom_pipelines": {"x": {"impl": f"{EVIL}.Model", "pt": ["AutoModel"]}},
    "tokenizer_class": f"{EVIL}.Model",
    "architectures": [f"{EVIL}.Model"],
    "_name_or_path": f"../{EVIL}",
    "use_kernels": True,
}


@pytest.mark.parametrize("key", INERT)
@pytest.mark.parametrize("files", [PYLATE, STANFORD], ids=lambda files: files.layout)
def test_a_key_that_names_code_and_is_not_followed_changes_nothing(
    fresh: Fresh, tmp_path: Path, files: LayoutFiles, key: str
) -> None:
    folder, ids = fresh(files), torch.tensor([[files.start_id, 7, 8, 9]])
    with torch.no_grad():
        wanted = build_encoder(read_checkpoint(folder))(ids, torch.ones_like(ids))
        members(CONFIG, **{key: INERT[key]})(folder, files)
        got = build_encoder(read_checkpoint(folder))(ids, torch.ones_like(ids))
    assert torch.equal(got, wanted)
    assert not (tmp_path / CANARY).exists()


DOTTED = ("os.getcwd", "os.abort", "subprocess.Popen", f"{EVIL}.Model", "builtins.exit", "", ".")


@pytest.mark.parametrize("name", DOTTED)
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("files", MODULAR, ids=lambda files: files.layout)
def test_a_module_type_is_not_imported(
    fresh: Fresh, files: LayoutFiles, place: int, name: str
) -> None:
    folder = fresh(files)
    document(MODULES_FILE, lambda modules: modules[place].update(type=name))(folder, files)
    refused(folder, MODULES_FILE, f"module {place}", repr(name))


@pytest.mark.parametrize("name", DOTTED)
@pytest.mark.parametrize("files", MODULAR, ids=lambda files: files.layout)
def test_an_activation_is_not_imported(fresh: Fresh, files: LayoutFiles, name: str) -> None:
    folder = fresh(files)
    members("1_Dense/config.json", activation_function=name)(folder, files)
    refused(folder, "1_Dense/config.json", "activation_function", repr(name))


# Ways out of the folder.

OUTSIDE = ("../outside", "1_Dense/../../outside", "..", "/etc", "..\\outside", "1_Dense/../1_Dense")


@pytest.fixture
def outside(tmp_path: Path, fresh: Fresh) -> Path:
    """A whole layer beside the checkpoint, which would fit."""
    folder = fresh(MULTI)
    (folder / "1_Dense").rename(tmp_path / "outside")
    folder.rename(tmp_path / "rest")
    return tmp_path / "outside"


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("files", MODULAR, ids=lambda files: files.layout)
def test_a_module_path_does_not_leave_the_folder(
    fresh: Fresh, outside: Path, files: LayoutFiles, path: str
) -> None:
    folder = fresh(files)
    assert (outside / "config.json").is_file()
    document(MODULES_FILE, lambda modules: modules[1].update(path=path))(folder, files)
    refused(folder, MODULES_FILE, "inside the checkpoint", repr(path))


@pytest.mark.parametrize("files", MODULAR, ids=lambda files: files.layout)
def test_a_module_folder_may_not_be_a_link_that_leaves(
    fresh: Fresh, tmp_path: Path, files: LayoutFiles
) -> None:
    folder = fresh(files)
    (folder / "1_Dense").rename(tmp_path / "outside")
    (folder / "1_Dense").symlink_to(tmp_path / "outside")
    refused(folder, MODULES_FILE, "inside the checkpoint", "'1_Dense'")


@pytest.mark.parametrize("files", MODULAR, ids=lambda files: files.layout)
def test_a_ring_of_links_is_no_module_folder(fresh: Fresh, files: LayoutFiles) -> None:
    folder = fresh(files)
    document(MODULES_FILE, lambda modules: modules[1].update(path="ring"))(folder, files)
    (folder / "ring").symlink_to("gnir")
    (folder / "gnir").symlink_to("ring")
    refused(folder, MODULES_FILE, "'ring'")


@pytest.mark.parametrize("secret", [CONFIG, TOKENIZER_CONFIG])
@pytest.mark.parametrize("files", LAYOUTS, ids=lambda files: files.layout)
def test_a_message_does_not_repeat_a_file_that_a_link_leads_to(
    fresh: Fresh, tmp_path: Path, files: LayoutFiles, secret: str
) -> None:
    folder = fresh(files)
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nhunter2\n")
    (folder / secret).unlink()
    (folder / secret).symlink_to(tmp_path / "key")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    assert str(folder / secret) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_shard_does_not_leave_the_folder(fresh: Fresh, tmp_path: Path) -> None:
    folder = fresh(PYLATE)
    names = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).rename(tmp_path / "outside.safetensors")
    for name in ("../outside.safetensors", str(tmp_path / "outside.safetensors")):
        (folder / "model.safetensors.index.json").write_text(
            '{"weight_map": {' + ", ".join(f'"{each}": "{name}"' for each in names) + "}}"
        )
        refused(folder, "model.safetensors.index.json", repr(name), "same folder")
