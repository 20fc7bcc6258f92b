"""Small faults that a checkpoint folder can be given, whatever its layout."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from tests.checkpoint.layout_folders import WEIGHTS, LayoutFiles, read_document
from tests.tiny_checkpoint import edit_json, write_json

Damage: TypeAlias = Callable[[Path, LayoutFiles], object]

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
SHARD_INDEX = "model.safetensors.index.json"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90\n"
TEN_GIGABYTES = 10 * 1024**3


def in_order(*damages: Damage) -> Damage:
    def damage(folder: Path, files: LayoutFiles) -> None:
        for each in damages:
            each(folder, files)

    return damage


# Any file.


def removed(name: str) -> Damage:
    return lambda folder, _files: (folder / name).unlink()


def content(name: str, data: bytes) -> Damage:
    return lambda folder, _files: (folder / name).write_bytes(data)


def bytes_changed(name: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder, _files: (folder / name).write_bytes(change((folder / name).read_bytes()))


def as_folder(name: str) -> Damage:
    def damage(folder: Path, _files: LayoutFiles) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def as_link(name: str, target: str) -> Damage:
    def damage(folder: Path, _files: LayoutFiles) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return damage


def as_pipe(name: str) -> Damage:
    def damage(folder: Path, _files: LayoutFiles) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return damage


def as_huge_file(name: str) -> Damage:
    """Ten gigabytes of zeros that take no room on the disk."""

    def damage(folder: Path, _files: LayoutFiles) -> None:
        (folder / name).write_bytes(b"")
        os.truncate(folder / name, TEN_GIGABYTES)

    return damage


# JSON.


def members(name: str, **changes: Any) -> Damage:
    """Set members of a JSON object; None removes one."""
    return lambda folder, _files: edit_json(folder / name, **changes)


def literal(name: str, key: str, text: str) -> Damage:
    """Set a member to a text that no JSON writer gives."""

    def damage(folder: Path, _files: LayoutFiles) -> None:
        document = read_document(folder / name)
        document.pop(key, None)
        (folder / name).write_text(f'{{"{key}": {text}, {json.dumps(document)[1:]}')

    return damage


def document(name: str, change: Callable[[Any], object]) -> Damage:
    """Change a parsed JSON file in place."""

    def damage(folder: Path, _files: LayoutFiles) -> None:
        parsed = read_document(folder / name)
        change(parsed)
        write_json(folder / name, parsed)

    return damage


# Tensors.


def tensor(name: str, change: Callable[[Any], Any], *, file: str = WEIGHTS) -> Damage:
    """Replace a tensor of the encoder by what ``change`` makes of it; None removes it."""

    def damage(folder: Path, files: LayoutFiles) -> None:
        _replace(folder / file, files.prefix + name, change)

    return damage


def head(change: Callable[[Any], Any]) -> Damage:
    """Replace the projection's weight; None removes it."""
    return lambda folder, files: _replace(folder / files.head, files.head_name, change)


def tensor_names(change: Callable[[str], str]) -> Damage:
    """Rename tensors of the encoder."""
    from safetensors.torch import load_file, save_file

    def damage(folder: Path, files: LayoutFiles) -> None:
        tensors = load_file(folder / WEIGHTS)
        save_file(
            {change(name) if name != files.head_name else name: t for name, t in tensors.items()},
            folder / WEIGHTS,
        )

    return damage


def _replace(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    changed = change(tensors.pop(name, None))
    save_file(tensors if changed is None else {**tensors, name: changed}, path)


def safetensors_header(change: Callable[[dict[str, Any]], str | None]) -> Damage:
    """Change the header of the encoder's weights: in place, or the text that is returned."""

    def damage(folder: Path, _files: LayoutFiles) -> None:
        whole = (folder / WEIGHTS).read_bytes()
        (length,) = struct.unpack("<Q", whole[:8])
        header = json.loads(whole[8 : 8 + length])
        text = (change(header) or json.dumps(header)).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])

    return damage


def in_shards(change: Callable[[dict[str, Any]], object], *, overlap: bool = False) -> Damage:
    """Put the encoder's tensors into two shards, one into both if so wanted; change their index."""
    from safetensors.torch import load_file, save_file

    def damage(folder: Path, _files: LayoutFiles) -> None:
        tensors = load_file(folder / WEIGHTS)
        names = sorted(tensors)
        parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
        for shard, held in parts.items():
            more = names[:1] if overlap else []
            save_file({name: tensors[name] for name in (*held, *more)}, folder / shard)
        (folder / WEIGHTS).unlink()
        index = {"weight_map": {name: shard for shard, held in parts.items() for name in held}}
        change(index)
        write_json(folder / SHARD_INDEX, index)

    return damage
