"""Weights of a folder as numpy arrays: complete files only, every value finite, bfloat16 widened.

Pickled weights (``.bin``, ``.pt``) are never opened: reading one can run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import safetensors
from numpy.typing import NDArray

from vespa_colbert.checkpoint.folder import read_object
from vespa_colbert.checkpoint.stored_values import WIDENED, check_values, stored_dtype, widen
from vespa_colbert.errors import CheckpointError

__all__ = [
    "LFS_POINTER",
    "SHARD_INDEX_FILE",
    "WEIGHTS_FILE",
    "WeightFiles",
    "read_weights",
    "read_weights_file",
    "stored_names",
]

WEIGHTS_FILE = "model.safetensors"
SHARD_INDEX_FILE = "model.safetensors.index.json"
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".dnn"})
LENGTH_BYTES = 8
LARGEST_HEADER_BYTES = 100_000_000
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The tensors of a folder.

    Attributes:
        tensors: Name → array; F32, F16 and BF16 as float32, integers as they are.
        dtypes: Float types found in the files, sorted.
        paths: The files read.
    """

    tensors: Mapping[str, NDArray[Any]]
    dtypes: tuple[str, ...]
    paths: tuple[Path, ...]


def read_weights(folder: Path) -> WeightFiles:
    """Return all tensors of a folder: ``model.safetensors`` or the shards of its index.

    Raises:
        CheckpointError: If there are no weights, a file is damaged, a value is not finite, a weight
            is zero throughout, or a type cannot be widened to float32 exactly.
    """
    files = _read_files(_weight_paths(folder))
    if not files.tensors:
        raise CheckpointError(f"{folder}: expected tensors, got files without any")
    return files


def read_weights_file(path: Path) -> WeightFiles:
    """Return all tensors of one safetensors file.

    Raises:
        CheckpointError: As ``read_weights``.
    """
    return _read_files((path,))


def stored_names(folder: Path) -> frozenset[str]:
    """Return the names of the tensors of a folder; none where its files cannot be read."""
    names = set[str]()
    try:
        for path in _weight_paths(folder):
            with safetensors.safe_open(path, framework="np") as file:
                names.update(file.keys())
    except (CheckpointError, OSError, safetensors.SafetensorError):
        return frozenset()
    return frozenset(names)


def _read_files(paths: tuple[Path, ...]) -> WeightFiles:
    """Return all tensors of the files.

    Raises:
        CheckpointError: If a file or a value is damaged, or a tensor is in two files.
    """
    tensors: dict[str, NDArray[Any]] = {}
    dtypes: set[str] = set()
    for path in paths:
        for name, (dtype, array) in _read_file(path).items():
            if name in tensors:
                raise CheckpointError(f"{path}: the tensor {name} is in two files")
            check_values(array, name, path)
            tensors[name] = array
            dtypes.update({dtype} & WIDENED.keys())
    return WeightFiles(tensors=tensors, dtypes=tuple(sorted(dtypes)), paths=paths)


def _weight_paths(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of a folder.

    Raises:
        CheckpointError: If there are none, or a shard lies elsewhere.
    """
    if (folder / WEIGHTS_FILE).exists():
        return (folder / WEIGHTS_FILE,)
    if not (folder / SHARD_INDEX_FILE).exists():
        raise CheckpointError(_no_weights(folder))
    shards = read_object(folder, SHARD_INDEX_FILE).values.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{folder / SHARD_INDEX_FILE}: expected a weight_map, got none")
    names = sorted({str(name) for name in shards.values()})
    for name in names:
        if PurePosixPath(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{folder / SHARD_INDEX_FILE}: expected shards in the same folder, got {name!r}"
            )
    return tuple(folder / name for name in names)


def _no_weights(folder: Path) -> str:
    """Return the message for a folder without safetensors; names the pickles it has instead."""
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLE_SUFFIXES)
    if not pickles:
        return f"{folder}: expected weights in {WEIGHTS_FILE}, got no weights at all"
    return (
        f"{folder}: expected weights in {WEIGHTS_FILE}, got only {', '.join(pickles)}, a pickle, "
        "which can run code when it is read and is not opened; save the model again as safetensors"
    )


def _read_file(path: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    """Return name → (stored type, array) of one file.

    Raises:
        CheckpointError: If it is missing, damaged or incomplete.
    """
    try:
        with path.open("rb") as stream:
            header = _read_header(stream, path)
            # The library's own reader judges the header: overlaps, holes, shapes that do not fit.
            with safetensors.safe_open(path, framework="np"):
                pass
            return {
                name: (entry["dtype"], _read_tensor(stream, path, name, entry))
                for name, entry in header.items()
            }
    except FileNotFoundError:
        raise CheckpointError(f"{path}: expected a weights file, got none") from None
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: not a valid safetensors file ({error})") from error


def _read_header(stream: BinaryIO, path: Path) -> dict[str, dict[str, Any]]:
    """Return tensor name → type, shape and offsets (bytes from the start of the file).

    Raises:
        CheckpointError: With the cause: empty, a git-lfs pointer, cut off, or no header.
    """
    size = path.stat().st_size
    start = stream.read(LENGTH_BYTES + len(LFS_POINTER))
    if not start:
        raise CheckpointError(f"{path}: expected weights, got an empty file; download it again")
    if start.startswith(LFS_POINTER):
        raise CheckpointError(
            f"{path}: expected weights, got a git-lfs pointer; fetch the file itself: git lfs pull"
        )
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > LARGEST_HEADER_BYTES or size < LENGTH_BYTES:
        raise CheckpointError(f"{path}: expected a safetensors header, got something else")
    data_start = LENGTH_BYTES + length
    if data_start > size:
        raise CheckpointError(_incomplete(path, f"a header of {length}", size))
    stream.seek(LENGTH_BYTES)
    try:
        header = json.loads(stream.read(length))
        entries = {name: dict(entry) for name, entry in header.items() if name != "__metadata__"}
        for entry in entries.values():
            entry["data_offsets"] = [data_start + int(at) for at in entry["data_offsets"]]
        wanted = max((entry["data_offsets"][1] for entry in entries.values()), default=data_start)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise CheckpointError(f"{path}: the safetensors header is damaged ({error})") from error
    if wanted > size:
        raise CheckpointError(_incomplete(path, str(wanted), size))
    return entries


def _incomplete(path: Path, wanted: str, size: int) -> str:
    return (
        f"{path}: expected {wanted} bytes, got a file of {size} bytes: "
        "an incomplete download; fetch it again"
    )


def _read_tensor(stream: BinaryIO, path: Path, name: str, entry: Mapping[str, Any]) -> NDArray[Any]:
    """Return one tensor, floats as float32.

    Raises:
        CheckpointError: For a type that float32 does not hold exactly.
    """
    stored = stored_dtype(entry["dtype"], f"{path}: {name}")
    begin, end = entry["data_offsets"]
    stream.seek(begin)
    flat = np.frombuffer(stream.read(end - begin), dtype=stored)
    array = widen(flat, entry["dtype"]).reshape(entry["shape"])
    array.flags.writeable = False
    return array
