"""Bare tensors in torch files: what PLAID's index consists of, read and written without torch.

Source: torch.serialization and torch._utils._rebuild_tensor_v2, PyTorch 2.15; pickle protocol 2.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.torch_file import load_values, read_torch_object
from vespa_colbert.checkpoint.torch_pickle import StoredTensor
from vespa_colbert.errors import ArrayError, CheckpointError

__all__ = ["read_torch_values", "torch_file_bytes", "write_torch_values"]

STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "uint8": "ByteStorage",
}
"""Name of a numpy type → torch's name of its storage."""

ROOT = "archive"
PROTOCOL, STOP, MARK, TUPLE, CALL, PERSISTENT, FALSE = (
    b"\x80\x02",
    b".",
    b"(",
    b"t",
    b"R",
    b"Q",
    b"\x89",
)


def read_torch_values(path: Path) -> tuple[NDArray[Any], ...]:
    """Return the arrays of a file that holds one tensor, or several in a tuple or list.

    Returns:
        float16 as float32, exactly; other types as they are.

    Raises:
        CheckpointError: If the file is no torch file, is damaged, or holds anything else.
    """
    found = read_torch_object(path)
    stored = (found,) if isinstance(found, StoredTensor) else found
    if not isinstance(stored, tuple | list) or not all(
        isinstance(each, StoredTensor) for each in stored
    ):
        raise CheckpointError(f"{path}: expected tensors, got {type(found).__name__}")
    return load_values(path, tuple(stored))


def write_torch_values(path: Path, *arrays: NDArray[Any]) -> None:
    """Write a torch file of one tensor, or of a tuple of several.

    Args:
        path: Inside of a folder that gets its name when it is complete.
        arrays: float32, float16, int64, int32 or uint8.

    Raises:
        ArrayError: If one is of another type.
    """
    for array in arrays:
        if array.dtype.name not in STORAGES:
            raise ArrayError(f"{path}: expected one of {', '.join(STORAGES)}, got {array.dtype}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        # One date for all: the same tensors give the same bytes.
        archive.writestr(_entry("data.pkl"), torch_file_bytes(arrays))
        archive.writestr(_entry("byteorder"), b"little")
        for key, array in enumerate(arrays):
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            with archive.open(_entry(f"data/{key}"), "w", force_zip64=True) as stream:
                stream.write(little.reshape(-1).view(np.uint8).data)
        archive.writestr(_entry("version"), b"3\n")


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(f"{ROOT}/{name}")


def torch_file_bytes(arrays: Sequence[NDArray[Any]]) -> bytes:
    """Return the pickle that names the tensors."""
    tensors = [_tensor(str(key), array) for key, array in enumerate(arrays)]
    body = tensors[0] if len(tensors) == 1 else _tuple(*tensors)
    return PROTOCOL + body + STOP


def _tensor(key: str, array: NDArray[Any]) -> bytes:
    """Return the call that makes a tensor of a storage, which is row-major and all of it."""
    storage = _tuple(
        _text("storage"),
        _name("torch", STORAGES[array.dtype.name]),
        _text(key),
        _text("cpu"),
        _number(array.size),
    )
    steps = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
    return (
        _name("torch._utils", "_rebuild_tensor_v2")
        + _tuple(
            storage + PERSISTENT,
            _number(0),
            _tuple(*map(_number, array.shape)),
            _tuple(*map(_number, steps)),
            FALSE,
            _name("collections", "OrderedDict") + _tuple() + CALL,
        )
        + CALL
    )


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode("ascii")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(number: int) -> bytes:
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    return b"\x8a\x08" + struct.pack("<q", number)


def _tuple(*parts: bytes) -> bytes:
    return MARK + b"".join(parts) + TUPLE
