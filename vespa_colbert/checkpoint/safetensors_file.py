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
from vespa_colbert.errors import CheckpointError

__all__ = ["WEIGHTS_FILE", "WeightFiles", "read_weights"]

WEIGHTS_FILE = "model.safetensors"
SHARD_INDEX_FILE = "model.safetensors.index.json"
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".dnn"})
LENGTH_BYTES = 8
LARGEST_HEADER_BYTES = 100_000_000
LFS_POINTER = b"version https://git-lfs"

# The float types that float32 holds exactly; the integer types are those of index buffers.
WIDENED = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
KEPT = {"I64": "<i8", "I32": "<i4", "BOOL": "?"}


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
    paths = _weight_paths(folder)
    tensors: dict[str, NDArray[Any]] = {}
    dtypes: set[str] = set()
    for path in paths:
        for name, (dtype, array) in _read_file(path).items():
            if name in tensors:
                raise CheckpointError(f"{path}: the tensor {name} is in two files")
            _check_values(array, name, path)
            tensors[name] = array
            dtypes.update({dtype} & WIDENED.keys())
    if not tensors:
        raise CheckpointError(f"{folder}: expected tensors, got files without any")
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
    stored = WIDENED.get(entry["dtype"]) or KEPT.get(entry["dtype"])
    if stored is None:
        raise CheckpointError(
            f"{path}: {name}: expected float weights (F32, F16, BF16), got {entry['dtype']}"
        )
    begin, end = entry["data_offsets"]
    stream.seek(begin)
    flat = np.frombuffer(stream.read(end - begin), dtype=stored)
    array = _widen(flat, entry["dtype"]).reshape(entry["shape"])
    array.flags.writeable = False
    return array


def _widen(flat: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return floats as float32, exactly; bfloat16 is the upper half of a float32's bits."""
    if dtype == "BF16":
        return (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.astype(np.float32) if dtype in WIDENED else flat.copy()


def _check_values(array: NDArray[Any], name: str, path: Path) -> None:
    """Return nothing if all values are finite and a weight is not zero throughout.

    Raises:
        CheckpointError: With the tensor, the count and the first index.
    """
    if array.dtype != np.float32 or array.size == 0:
        return
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.flatnonzero(~finite.ravel())
        first = tuple(int(at) for at in np.unravel_index(bad[0], array.shape))
        raise CheckpointError(
            f"{path}: {name}: expected finite values, got {len(bad)} that are NaN or infinite, "
            f"the first at index {first}; the checkpoint was saved from a broken run"
        )
    if _may_not_be_zero(name) and not array.any():
        raise CheckpointError(
            f"{path}: {name}: expected trained values, got {array.size} zeros (all of shape "
            f"{array.shape}, the first at index {(0,) * array.ndim}); the checkpoint is damaged"
        )


def _may_not_be_zero(name: str) -> bool:
    """Return whether zeros throughout mean damage: not in a bias, nor in unused token types.

    RoBERTa checkpoints have token type embeddings of zeros because the model has no such types.
    """
    return name.endswith(("weight", "gamma")) and "token_type_embeddings" not in name
