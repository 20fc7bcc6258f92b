"""Damages of weights: the file, its header, shards and their index."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.checkpoint.damage_cases import case
from tests.checkpoint.damages import (
    LFS_POINTER,
    SHARD_INDEX,
    as_folder,
    as_link,
    as_pipe,
    bytes_changed,
    content,
    in_shards,
    removed,
    safetensors_header,
)
from tests.checkpoint.layout_folders import (
    BGE_M3,
    MODULAR,
    MULTI,
    PYLATE,
    WEIGHTS,
)


def overlapping(header: dict[str, Any]) -> None:
    names = [name for name in header if name != "__metadata__"]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    header[names[1]]["shape"] = header[names[0]]["shape"]


def first_entry(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        header[next(name for name in header if name != "__metadata__")].update(changes)

    return change


def doubled(header: dict[str, Any]) -> str:
    name = next(name for name in header if name != "__metadata__")
    return "{" + f'"{name}": {json.dumps(header[name])}, ' + json.dumps(header)[1:]


def without_first(header: dict[str, Any]) -> None:
    header.pop(next(name for name in header if name != "__metadata__"))


def flipped(data: bytes) -> bytes:
    """Turn over the highest bit of the header's length."""
    return data[:7] + bytes([data[7] ^ 0x80]) + data[8:]


WEIGHT_FILE_DAMAGES = (
    case("weights missing", removed(WEIGHTS), WEIGHTS, "got no weights at all", layouts=MODULAR),
    case("weights empty", content(WEIGHTS, b""), WEIGHTS, "empty file"),
    case("weights a git-lfs pointer", content(WEIGHTS, LFS_POINTER), WEIGHTS, "git lfs pull"),
    case("weights a page", content(WEIGHTS, b"<html>not found</html>" * 9), WEIGHTS, "header"),
    case("weights a zip", content(WEIGHTS, b"PK\x03\x04" * 99), WEIGHTS, "header"),
    case("weights a folder", as_folder(WEIGHTS), WEIGHTS, "a folder"),
    case("weights a pipe", as_pipe(WEIGHTS), WEIGHTS, "neither a file nor a folder"),
    case("weights a link to nothing", as_link(WEIGHTS, "blob"), WEIGHTS, "link to nothing"),
    case("weights zeros", bytes_changed(WEIGHTS, lambda b: bytes(len(b))), WEIGHTS, "header"),
    case("header cut", bytes_changed(WEIGHTS, lambda b: b[:100]), WEIGHTS, "incomplete download"),
    case("length cut", bytes_changed(WEIGHTS, lambda b: b[:5]), WEIGHTS, "safetensors header"),
    case("data cut", bytes_changed(WEIGHTS, lambda b: b[:-1]), WEIGHTS, "incomplete download"),
    case("data longer", bytes_changed(WEIGHTS, lambda b: b + b"0"), WEIGHTS, "not a valid"),
    case("length flipped", bytes_changed(WEIGHTS, flipped), WEIGHTS, "safetensors header"),
    case(
        "header no JSON",
        bytes_changed(WEIGHTS, lambda b: b[:8] + b"?" + b[9:]),
        *(WEIGHTS, "header is damaged"),
    ),
    case(
        "header deep",
        safetensors_header(lambda _h: "[" * 100_000),
        *(WEIGHTS, "header is damaged"),
    ),
    case("header a list", safetensors_header(lambda _h: "[]"), WEIGHTS, "header is damaged"),
    case("tensor listed twice", safetensors_header(doubled), WEIGHTS, "twice"),
    case("tensors overlap", safetensors_header(overlapping), WEIGHTS, "not a valid"),
    case("hole between tensors", safetensors_header(without_first), WEIGHTS, "not a valid"),
    case("shape fits no data", safetensors_header(first_entry(shape=[3])), WEIGHTS, "not a valid"),
    case("unknown type", safetensors_header(first_entry(dtype="F33")), WEIGHTS, "not a valid"),
    case(
        "offsets endless",
        safetensors_header(first_entry(data_offsets=[0, float("inf")])),
        *(WEIGHTS, "header is damaged"),
    ),
    case(
        "offsets negative",
        safetensors_header(first_entry(data_offsets=[-8, 0])),
        *(WEIGHTS, "not a valid"),
    ),
    case(
        "no tensors",
        content(WEIGHTS, (2).to_bytes(8, "little") + b"{}"),
        WEIGHTS,
        "without any",
        layouts=(PYLATE, MULTI, BGE_M3),
    ),
    case("an adapter beside", content("adapter_config.json", b"{}"), "adapter_config.json"),
    # The projection's own file.
    case("head file empty", lambda f, n: (f / n.head).write_bytes(b""), "{head}", "empty file"),
    case(
        "head file cut",
        lambda f, n: (f / n.head).write_bytes((f / n.head).read_bytes()[:-3]),
        *("{head}", "incomplete download"),
    ),
    case(
        "head file a git-lfs pointer",
        lambda f, n: (f / n.head).write_bytes(LFS_POINTER),
        *("{head}", "git lfs pull"),
    ),
    # Shards.
    case(
        "index without a map",
        in_shards(lambda index: index.pop("weight_map")),
        *(SHARD_INDEX, "weight_map, got none"),
        layouts=(PYLATE, MULTI, BGE_M3),
    ),
    case(
        "shard missing",
        in_shards(lambda index: index["weight_map"].update(extra="three.safetensors")),
        *("three.safetensors", "got none"),
        layouts=(PYLATE, MULTI, BGE_M3),
    ),
    case(
        "shard outside",
        in_shards(lambda index: index["weight_map"].update(extra="../one.safetensors")),
        *(SHARD_INDEX, "same folder", "'../one.safetensors'"),
    ),
    case(
        "shard of another kind",
        in_shards(lambda index: index["weight_map"].update(extra="weights.bin")),
        *(SHARD_INDEX, "'weights.bin'"),
    ),
    case(
        "shard no text",
        in_shards(lambda index: index["weight_map"].update(extra=["one.safetensors"])),
        *(SHARD_INDEX, "one.safetensors"),
    ),
    case(
        "shard with a zero byte in its name",
        in_shards(lambda index: index["weight_map"].update(extra="a\0.safetensors")),
        *(SHARD_INDEX, "same folder"),
    ),
    case(
        "shard of too long a name",
        in_shards(lambda index: index["weight_map"].update(extra="a" * 300 + ".safetensors")),
        *(SHARD_INDEX, "same folder"),
    ),
    case(
        "tensor in no shard",
        in_shards(lambda index: index["weight_map"].update(extra="one.safetensors")),
        *(SHARD_INDEX, "extra", "one.safetensors"),
    ),
    case(
        "tensor in another shard",
        in_shards(
            lambda index: index["weight_map"].update({
                next(iter(index["weight_map"])): "two.safetensors"
            })
        ),
        *(SHARD_INDEX, "two.safetensors"),
    ),
    case(
        "tensor that the index does not name",
        in_shards(lambda index: index["weight_map"].pop(next(iter(index["weight_map"])))),
        *(SHARD_INDEX, "one.safetensors"),
    ),
    case(
        "tensor in two shards",
        in_shards(lambda _index: None, overlap=True),
        *("two.safetensors", "in two files"),
    ),
)
