"""Arrays in a file of safetensors' form, written a part at a time, read as a map of the disk."""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.errors import ArrayError, IndexFolderError

__all__ = ["ArrayFileWriter", "ArraySpec", "MappedArrays", "map_arrays", "map_bytes"]

DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "BF16": np.dtype("<u2"),
    "I8": np.dtype("<i1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}
"""Name in the file → how numpy holds it; of bfloat16 the upper halves of its float32 values."""

NAMES = {dtype: name for name, dtype in DTYPES.items()}
LENGTH_BYTES, ALIGNMENT = 8, 64
LARGEST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """An array of a file.

    Attributes:
        name: Its name.
        dtype: One of ``DTYPES``.
        shape: Its sizes.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFileWriter:
    """A file whose arrays grow side by side, each at its own place."""

    def __init__(self, path: Path, specs: Sequence[ArraySpec]) -> None:
        """Make the file, in its full length.

        Args:
            path: The file.
            specs: Its arrays; the last one begins at a multiple of 64 bytes, those before it
                stand from 4-byte to 8-byte numbers, so that each begins at a multiple of its own.

        Raises:
            OSError: If it cannot be written.
        """
        header, starts = _header(specs)
        self.path = path
        self._specs = {each.name: each for each in specs}
        self._next = dict(starts)
        self._ends = {each.name: starts[each.name] + each.size for each in specs}
        self._stream: BinaryIO = path.open("wb")
        try:
            self._stream.write(header)
            self._stream.truncate(len(header) + sum(each.size for each in specs))
        except OSError:
            self.abandon()
            raise

    def write(self, name: str, part: NDArray[Any]) -> None:
        """Add to an array.

        Raises:
            ArrayError: If the part is of another dtype, or more than there is room for.
        """
        spec, place = self._specs[name], self._next[name]
        if part.dtype != spec.dtype or place + part.nbytes > self._ends[name]:
            raise ArrayError(
                f"{self.path}: {name}: expected at most {self._ends[name] - place} bytes of "
                f"{spec.dtype}, got {part.nbytes} of {part.dtype}"
            )
        if part.nbytes:
            self._stream.seek(place)
            self._stream.write(np.ascontiguousarray(part).data)
        self._next[name] = place + part.nbytes

    def close(self) -> None:
        """Finish the file.

        Raises:
            ArrayError: If an array is not full.
        """
        self._stream.close()
        if short := [name for name, place in self._next.items() if place != self._ends[name]]:
            raise ArrayError(f"{self.path}: {', '.join(short)}: not all of it was written")

    def abandon(self) -> None:
        """Close the file as it is, whatever was still to be written."""
        with contextlib.suppress(OSError):
            self._stream.close()


def _header(specs: Sequence[ArraySpec]) -> tuple[bytes, dict[str, int]]:
    """Return what stands before the arrays, and where each of them begins in the file."""
    said, place, starts = {}, 0, {}
    for each in specs:
        starts[each.name] = place
        said[each.name] = {
            "dtype": NAMES[each.dtype],
            "shape": each.shape,
            "data_offsets": [place, place + each.size],
        }
        place += each.size
    text = json.dumps(said).encode("ascii")
    before = place - specs[-1].size
    padding = -(LENGTH_BYTES + len(text) + before) % ALIGNMENT
    text += b" " * padding
    begin = LENGTH_BYTES + len(text)
    header = len(text).to_bytes(LENGTH_BYTES, "little") + text
    return header, {name: begin + start for name, start in starts.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappedArrays:
    """A file mapped into memory; it stays readable when its name is gone.

    Attributes:
        arrays: Name → array, not to be written to.
        mapping: The map; ``None`` of an empty file.
    """

    arrays: Mapping[str, NDArray[Any]]
    mapping: mmap.mmap | None

    def release(self) -> None:
        """Give back the memory that pages read so far take; they are read again when needed."""
        if self.mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def map_bytes(path: Path) -> MappedArrays:
    """Return a file's bytes as the array ``bytes``: (byte,) uint8."""
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return MappedArrays(arrays={"bytes": np.zeros(0, np.uint8)}, mapping=None)
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return MappedArrays(arrays={"bytes": np.frombuffer(mapping, np.uint8)}, mapping=mapping)


def map_arrays(path: Path) -> MappedArrays:
    """Return the arrays of a file.

    Raises:
        IndexFolderError: If it is none of this form.
    """
    mapped = map_bytes(path)
    content = mapped.arrays["bytes"]
    try:
        return MappedArrays(arrays=_arrays(content), mapping=mapped.mapping)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexFolderError(f"{path}: not a file of arrays ({error}); embed again") from error


def _arrays(content: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return the arrays that a header describes.

    Raises:
        ValueError: If it describes another file.
    """
    length = int.from_bytes(content[:LENGTH_BYTES].tobytes(), "little")
    if not 0 < length <= min(LARGEST_HEADER_BYTES, len(content) - LENGTH_BYTES):
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    begin = LENGTH_BYTES + length
    said = json.loads(content[LENGTH_BYTES:begin].tobytes())
    found, expected = {}, 0
    for name, each in said.items():
        dtype, shape = DTYPES[each["dtype"]], tuple(each["shape"])
        start, end = each["data_offsets"]
        if start != expected or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name}: its place does not fit its shape")
        expected = end
        found[name] = content[begin + start : begin + end].view(dtype).reshape(shape)
    if begin + expected != len(content):
        raise ValueError(f"{begin + expected} bytes described, {len(content)} there")
    return found
