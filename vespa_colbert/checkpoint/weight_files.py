"""Tensors of one weights file, or of several that an index lists: each tensor exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from vespa_colbert.checkpoint.folder import read_object
from vespa_colbert.errors import CheckpointError

__all__ = ["WeightFiles", "read_shards", "shard_paths"]

SHOWN = 3
LONGEST_NAME = 255
"""Bytes of a file name."""


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


def shard_paths(folder: Path, index_file: str, suffix: str) -> tuple[Path, ...]:
    """Return the files that an index lists, sorted.

    Raises:
        CheckpointError: If the index is damaged or names files elsewhere or of another kind.
    """
    return tuple(
        folder / name for name in sorted(set(_weight_map(folder, index_file, suffix).values()))
    )


def read_shards(
    folder: Path, index_file: str, suffix: str, read: Callable[[Path], WeightFiles]
) -> WeightFiles:
    """Return the tensors of all files that an index lists.

    Args:
        folder: Where the index and the files are.
        index_file: Name of the index.
        suffix: What the names of the files end with.
        read: Reads one of them.

    Raises:
        CheckpointError: If a file is missing, damaged or elsewhere, a tensor is in two of them, or
            the index places one otherwise than they do.
    """
    weight_map = _weight_map(folder, index_file, suffix)
    parts = [read(path) for path in shard_paths(folder, index_file, suffix)]
    tensors: dict[str, NDArray[Any]] = {}
    found: dict[str, str] = {}
    for part in parts:
        path = part.paths[0]
        if twice := tensors.keys() & part.tensors.keys():
            raise CheckpointError(f"{path}: the tensor {min(twice)} is in two files")
        tensors.update(part.tensors)
        found.update(dict.fromkeys(part.tensors, path.name))
    _check_places(folder / index_file, weight_map, found)
    return WeightFiles(
        tensors=tensors,
        dtypes=tuple(sorted({dtype for part in parts for dtype in part.dtypes})),
        paths=tuple(part.paths[0] for part in parts),
    )


def _weight_map(folder: Path, index_file: str, suffix: str) -> Mapping[str, str]:
    """Return tensor name → file name.

    Raises:
        CheckpointError: If the index is damaged or names files elsewhere or of another kind.
    """
    shards = read_object(folder, index_file).values.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{folder / index_file}: expected a weight_map, got none")
    for name in shards.values():
        if not isinstance(name, str) or not _is_beside(name) or not name.endswith(suffix):
            raise CheckpointError(
                f"{folder / index_file}: expected {suffix} files in the same folder, got "
                f"{str(name)[:200]!r}"
            )
    return shards


def _is_beside(name: str) -> bool:
    plain = PurePosixPath(name).name == name and "\\" not in name and "\0" not in name
    return plain and len(name.encode(errors="replace")) <= LONGEST_NAME


def _check_places(index: Path, weight_map: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Return nothing if each tensor lies in the file that the index says, and no other is there.

    Raises:
        CheckpointError: With the first few that do not.
    """
    wrong = sorted(
        name for name in weight_map.keys() | found.keys() if weight_map.get(name) != found.get(name)
    )
    if wrong:
        listed = "; ".join(
            f"{name} in {weight_map.get(name, 'no file')}, found in {found.get(name, 'no file')}"
            for name in wrong[:SHOWN]
        )
        raise CheckpointError(
            f"{index}: expected the tensors to lie where weight_map says, got {len(wrong)} that do "
            f"not: {listed}; the files are of different models, or incomplete"
        )
