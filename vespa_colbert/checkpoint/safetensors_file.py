"""Weights of a folder as numpy arrays: complete files only, every value finite, bfloat16 widened.

Pickled weights (``.bin``, ``.pt``) are never opened: reading one can run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
from numpy.typing import NDArray

from vespa_colbert.checkpoint.folder import parse_json
from vespa_colbert.checkpoint.regular_file import is_present, require_file, sniff_lfs_pointer
from vespa_colbert.checkpoint.stored_values import WIDENED, check_values, stored_dtype, widen
from vespa_colbert.checkpoint.weight_files import WeightFiles, read_shards, shard_paths
from vespa_colbert.errors import CheckpointError

__all__ = [
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
SUFFIX = ".safetensors"
HEADER_DAMAGES = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(RecursionError, OverflowError),
)
"""What a header raises that is not what it should be."""
START_BYTES = 64
"""Enough for the length of the header, or to see what else the file is."""


def read_weights(folder: Path) -> WeightFiles:
    """Return all tensors of a folder: ``model.safetensors`` or the shards of its index.

    Raises:
        CheckpointError: If there are no weights, a file is damaged, a value is not finite, a weight
            is zero throughout, or a type cannot be widened to float32 exactly.
    """
    if is_present(folder / WEIGHTS_FILE):
        files = read_weights_file(folder / WEIGHTS_FILE)
    elif is_present(folder / SHARD_INDEX_FILE):
        files = read_shards(folder, SHARD_INDEX_FILE, SUFFIX, read_weights_file)
    else:
        raise CheckpointError(_no_weights(folder))
    if not files.tensors:
        raise CheckpointError(f"{files.paths[0]}: expected tensors, got a file without any")
    return files


def read_weights_file(path: Path) -> WeightFiles:
    """Return all tensors of one safetensors file.

    Raises:
        CheckpointError: As ``read_weights``.
    """
    read = _read_file(path)
    for name, (_dtype, array) in read.items():
        check_values(array, name, path)
    return WeightFiles(
        tensors={name: array for name, (_dtype, array) in read.items()},
        dtypes=tuple(sorted({dtype for dtype, _array in read.values()} & WIDENED.keys())),
        paths=(path,),
    )


def stored_names(folder: Path) -> frozenset[str]:
    """Return the names of the tensors of a folder; none where its files cannot be read."""
    names = set[str]()
    try:
        if is_present(folder / WEIGHTS_FILE):
            paths: tuple[Path, ...] = (folder / WEIGHTS_FILE,)
        elif is_present(folder / SHARD_INDEX_FILE):
            paths = shard_paths(folder, SHARD_INDEX_FILE, SUFFIX)
        else:
            return frozenset()
        for path in paths:
            require_file(path, "a weights file")
            with safetensors.safe_open(path, framework="np") as file:
                names.update(file.keys())
    except (CheckpointError, OSError, safetensors.SafetensorError):
        return frozenset()
    return frozenset(names)


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
    require_file(path, "a weights file")
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
    except OSError as error:
        raise CheckpointError(f"{path}: expected a weights file, got {error}") from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: not a valid safetensors file ({error})") from error


def _read_header(stream: BinaryIO, path: Path) -> dict[str, dict[str, Any]]:
    """Return tensor name → type, shape and offsets (bytes from the start of the file).

    Raises:
        CheckpointError: With the cause: empty, a git-lfs pointer, cut off, or no header.
    """
    size = path.stat().st_size
    start = stream.read(START_BYTES)
    if not start:
        raise CheckpointError(f"{path}: expected weights, got an empty file; download it again")
    sniff_lfs_pointer(start, path)
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > LARGEST_HEADER_BYTES or size < LENGTH_BYTES:
        raise CheckpointError(f"{path}: expected a safetensors header, got something else")
    data_start = LENGTH_BYTES + length
    if data_start > size:
        raise CheckpointError(_incomplete(path, f"a header of {length}", size))
    stream.seek(LENGTH_BYTES)
    try:
        header = parse_json(stream.read(length).decode("utf-8"))
        entries = {name: dict(entry) for name, entry in header.items() if name != "__metadata__"}
        for entry in entries.values():
            entry["data_offsets"] = [data_start + int(at) for at in entry["data_offsets"]]
        wanted = max((entry["data_offsets"][1] for entry in entries.values()), default=data_start)
    except HEADER_DAMAGES as error:
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
