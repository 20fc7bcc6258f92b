"""Tensors of a torch file (``.pt``, ``.bin``) as numpy arrays, without torch and without its code.

The file is a zip archive of one pickle and one entry of raw values for each storage. The pickle is
read as data (``torch_pickle``), the values with numpy; such a file is opened only where allowed.

Source: torch.serialization, PyTorch 2.15.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.options import ReadOptions
from vespa_colbert.checkpoint.regular_file import is_present, require_file, sniff_lfs_pointer
from vespa_colbert.checkpoint.safetensors_file import SHARD_INDEX_FILE, WEIGHTS_FILE, read_weights
from vespa_colbert.checkpoint.stored_values import WIDENED, check_values, stored_dtype, widen
from vespa_colbert.checkpoint.torch_pickle import StorageReference, StoredTensor, read_pickle
from vespa_colbert.checkpoint.weight_files import WeightFiles, read_shards, shard_paths
from vespa_colbert.errors import CheckpointError

__all__ = [
    "TORCH_INDEX_FILE",
    "TORCH_WEIGHTS_FILE",
    "load_tensors",
    "load_values",
    "read_any_weights",
    "read_torch_document",
    "read_torch_object",
    "read_torch_tensors",
    "read_torch_weights",
    "require_pickle_allowed",
    "torch_names",
]

TORCH_WEIGHTS_FILE = "pytorch_model.bin"
TORCH_INDEX_FILE = "pytorch_model.bin.index.json"
PICKLE_ENTRY = "/data.pkl"
LARGEST_PICKLE_BYTES = 16_000_000
LARGEST_GROWTH = 8
"""Arrays may take this many times the bytes of their file: bfloat16 doubles, tied weights double
again, and what is far beyond is a small file made to fill the memory."""
FLOAT_BYTES = 4
ARRAY_BYTES = {"I64": 8, "BOOL": 1}
"""Bytes of a value in the array that is returned, where it is no float."""

DAMAGES = (
    *(zipfile.BadZipFile, struct.error, EOFError, OSError),
    *(RuntimeError, ValueError, OverflowError),
)
"""What zipfile and numpy raise on a damaged archive; RuntimeError for one that is encrypted."""

START_BYTES = 64
ZIP_START, PICKLE_START = b"PK\x03\x04", b"\x80"
SAVE_AGAIN = (
    "save the tensors again: torch.save(state_dict, path) with torch 1.6 or newer, or, better, "
    "safetensors.torch.save_file"
)


def require_pickle_allowed(path: Path, options: ReadOptions) -> None:
    """Return nothing if torch files may be opened.

    Raises:
        CheckpointError: With the flag that allows it.
    """
    if not options.allow_pickle:
        raise CheckpointError(
            f"{path}: expected safetensors, got a torch file, a pickle, which is opened only with "
            "--allow-pickle (its tensors are read then, and nothing in it is run); "
            "or save it again as safetensors"
        )


def read_any_weights(folder: Path, options: ReadOptions) -> WeightFiles:
    """Return all tensors of a folder: safetensors, or ``pytorch_model.bin`` where that is allowed.

    Either may be in shards, beside their index.

    Raises:
        CheckpointError: If there are no weights, or a file is damaged or may not be opened.
    """
    if any(is_present(folder / name) for name in (WEIGHTS_FILE, SHARD_INDEX_FILE)):
        return read_weights(folder)
    if is_present(folder / TORCH_WEIGHTS_FILE):
        require_pickle_allowed(folder / TORCH_WEIGHTS_FILE, options)
        return read_torch_weights(folder / TORCH_WEIGHTS_FILE)
    if is_present(folder / TORCH_INDEX_FILE):
        require_pickle_allowed(folder / TORCH_INDEX_FILE, options)
        return read_shards(folder, TORCH_INDEX_FILE, ".bin", read_torch_weights)
    return read_weights(folder)


def torch_names(folder: Path) -> frozenset[str]:
    """Return the names of the tensors of a folder's torch files; none where they cannot be read.

    The caller has asked ``require_pickle_allowed``.
    """
    try:
        if is_present(folder / TORCH_WEIGHTS_FILE):
            return frozenset(read_torch_document(folder / TORCH_WEIGHTS_FILE))
        if is_present(folder / TORCH_INDEX_FILE):
            paths = shard_paths(folder, TORCH_INDEX_FILE, ".bin")
            return frozenset(name for path in paths for name in read_torch_document(path))
    except CheckpointError:
        pass
    return frozenset()


def read_torch_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return name → array of a file that holds a state dict.

    The caller has asked ``require_pickle_allowed``.

    Returns:
        Floats (F32, F16, BF16) as float32, exactly; int64, int32 and bool as they are; row-major.

    Raises:
        CheckpointError: If the file is no torch file, is damaged, holds more than tensors, or a
            value is not finite.
    """
    return dict(read_torch_weights(path).tensors)


def read_torch_weights(path: Path) -> WeightFiles:
    """Return the tensors of a state dict with the types that the file stores.

    Raises:
        CheckpointError: As ``read_torch_tensors``.
    """
    document = read_torch_document(path)
    other = [name for name, value in document.items() if not isinstance(value, StoredTensor)]
    if other or not document:
        got = f"{type(document[other[0]]).__name__} for {other[0]!r}" if other else "nothing"
        raise CheckpointError(f"{path}: expected tensors by name, got {got}; {SAVE_AGAIN}")
    return load_tensors(path, document)


def read_torch_document(path: Path) -> dict[str, Any]:
    """Return the whole dict of a torch file: plain values, dicts, and ``StoredTensor`` unread.

    Raises:
        CheckpointError: If the file is no torch file, is damaged, or names more than tensors.
    """
    document = read_torch_object(path)
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: expected a dict of tensors, got {type(document).__name__}")
    if not all(isinstance(name, str) for name in document):
        raise CheckpointError(f"{path}: expected tensors by name, got a number for a name")
    return document


def read_torch_object(path: Path) -> object:
    """Return what a torch file holds, its ``StoredTensor`` unread.

    Raises:
        CheckpointError: If the file is no torch file, is damaged, or names more than tensors.
    """
    with _archive(path) as archive:
        return read_pickle(archive.read(_pickle_entry(archive)))


def load_values(path: Path, stored: Sequence[StoredTensor]) -> tuple[NDArray[Any], ...]:
    """Return the values of tensors without names, bytes too: no weights of a model.

    Raises:
        CheckpointError: As ``load_tensors``.
    """
    _check_growth(path, {str(place): each for place, each in enumerate(stored)})
    found = []
    with _archive(path) as archive:
        root = _pickle_entry(archive).removesuffix(PICKLE_ENTRY)
        for place, tensor in enumerate(stored):
            storage, name = tensor.storage, f"tensor {place}"
            is_bytes = storage.dtype == "U8"
            kind = np.dtype("u1" if is_bytes else stored_dtype(storage.dtype, f"{path}: {name}"))
            values = _read_storage(archive, f"{root}/data/{storage.key}", kind)
            _check_length(values, storage)
            array = widen(_window(values, tensor, name), storage.dtype)
            check_values(array, name, path)
            found.append(array)
    return tuple(found)


def load_tensors(path: Path, stored: Mapping[str, StoredTensor]) -> WeightFiles:
    """Return the values of tensors that ``read_torch_document`` found in ``path``.

    Raises:
        CheckpointError: If a storage is missing or has another size, a tensor leaves its storage,
            a type cannot be widened to float32 exactly, or a value is not finite.
    """
    _check_growth(path, stored)
    values: dict[StorageReference, NDArray[Any]] = {}
    tensors: dict[str, NDArray[Any]] = {}
    with _archive(path) as archive:
        root = _pickle_entry(archive).removesuffix(PICKLE_ENTRY)
        for name, tensor in stored.items():
            storage = tensor.storage
            if storage not in values:
                dtype = np.dtype(stored_dtype(storage.dtype, f"{path}: {name}"))
                values[storage] = _read_storage(archive, f"{root}/data/{storage.key}", dtype)
                _check_length(values[storage], storage)
            array = widen(_window(values[storage], tensor, name), storage.dtype)
            array.flags.writeable = False
            check_values(array, name, path)
            tensors[name] = array
    dtypes = {tensor.storage.dtype for tensor in stored.values()} & WIDENED.keys()
    return WeightFiles(tensors=tensors, dtypes=tuple(sorted(dtypes)), paths=(path,))


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the zip archive of a torch file.

    Yields:
        The archive, its entries neither compressed nor overlapping.

    Raises:
        CheckpointError: With the cause, for another file or a damaged one; also for what the block
            raises, with the path put before it.
    """
    _check_start(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive, path.stat().st_size)
            yield archive
    except CheckpointError as error:
        if str(path) in str(error):
            raise
        raise CheckpointError(f"{path}: {error}") from error
    except DAMAGES as error:
        raise CheckpointError(
            f"{path}: the archive is damaged or incomplete ({error}); fetch it again"
        ) from error


def _check_start(path: Path) -> None:
    """Return nothing if the file begins like a zip archive.

    Raises:
        CheckpointError: With what it is instead.
    """
    require_file(path, "a torch file")
    with path.open("rb") as stream:
        start = stream.read(START_BYTES)
    if start.startswith(ZIP_START):
        return
    if not start:
        raise CheckpointError(f"{path}: expected weights, got an empty file; download it again")
    sniff_lfs_pointer(start, path)
    if start.startswith(PICKLE_START):
        raise CheckpointError(
            f"{path}: expected torch's zip format, got a bare pickle, as torch wrote before 1.6, "
            f"which is not read; {SAVE_AGAIN}"
        )
    raise CheckpointError(f"{path}: expected a torch file, got something else")


def _check_entries(archive: zipfile.ZipFile, size: int) -> None:
    """Return nothing if the entries can be what torch writes: stored as they are, each once.

    Raises:
        CheckpointError: If reading them would give more than the file holds, or they are otherwise
            ordered than on the machines that this runs on.
    """
    entries = archive.infolist()
    if packed := [entry.filename for entry in entries if entry.compress_type]:
        raise CheckpointError(f"expected entries that are not compressed, got {packed[0][:200]!r}")
    if outside := [entry.filename for entry in entries if _leaves(entry.filename)]:
        raise CheckpointError(
            f"expected entries inside the archive's one folder, got {outside[0][:200]!r}"
        )
    if len({entry.filename for entry in entries}) < len(entries):
        raise CheckpointError("the archive has two entries of one name")
    if sum(entry.file_size for entry in entries) > size:
        raise CheckpointError("the entries of the archive overlap")
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise CheckpointError(f"expected a state dict, got a TorchScript program; {SAVE_AGAIN}")
    for entry in entries:
        if entry.filename.endswith("/byteorder") and archive.read(entry).strip() != b"little":
            raise CheckpointError(f"expected little-endian values, got others; {SAVE_AGAIN}")


def _leaves(name: str) -> bool:
    """Return whether an entry would be unpacked to elsewhere; none ever is unpacked."""
    parts = PurePosixPath(name)
    return parts.is_absolute() or ".." in parts.parts or "\\" in name


def _pickle_entry(archive: zipfile.ZipFile) -> str:
    """Return the name of the pickle, which lies in the one folder of the archive.

    Raises:
        CheckpointError: If there is none, or it is larger than the names of tensors can be.
    """
    found = [
        entry
        for entry in archive.infolist()
        if entry.filename.endswith(PICKLE_ENTRY) and entry.filename.count("/") == 1
    ]
    if len(found) != 1:
        raise CheckpointError("expected a torch file, got a zip archive without one data.pkl")
    if found[0].file_size > LARGEST_PICKLE_BYTES:
        raise CheckpointError(
            f"data.pkl: expected at most {LARGEST_PICKLE_BYTES} bytes, got {found[0].file_size}"
        )
    return found[0].filename


def _check_growth(path: Path, stored: Mapping[str, StoredTensor]) -> None:
    """Return nothing if the arrays will not be far larger than the file.

    Raises:
        CheckpointError: With both sizes, in bytes.
    """
    wanted = sum(
        math.prod(tensor.shape) * ARRAY_BYTES.get(tensor.storage.dtype, FLOAT_BYTES)
        for tensor in stored.values()
    )
    size = path.stat().st_size
    if wanted > LARGEST_GROWTH * size:
        raise CheckpointError(
            f"{path}: the tensors would take {wanted} bytes and the file has {size}; "
            "it was not written by torch, or its tensors are windows on a few values"
        )


def _read_storage(archive: zipfile.ZipFile, entry: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values of an entry, as they are stored.

    Raises:
        CheckpointError: If the entry is missing.
    """
    try:
        return np.frombuffer(archive.read(entry), dtype=dtype)
    except KeyError:
        raise CheckpointError(f"the values of storage {entry[:200]!r} are missing") from None


def _check_length(values: NDArray[Any], storage: StorageReference) -> None:
    """Return nothing if a storage has as many values as the pickle says.

    Raises:
        CheckpointError: With both numbers.
    """
    if len(values) != storage.length:
        raise CheckpointError(
            f"storage {storage.key[:200]!r}: expected {storage.length} values, got {len(values)}"
        )


def _window(values: NDArray[Any], tensor: StoredTensor, name: str) -> NDArray[Any]:
    """Return the tensor as a view on the values of its storage.

    Raises:
        CheckpointError: If it reaches beyond them.
    """
    if 0 in tensor.shape:
        return np.empty(tensor.shape, dtype=values.dtype)
    pairs = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in pairs)
    if last >= len(values):
        raise CheckpointError(
            f"{name}: expected a tensor within the {len(values)} values of its storage, got one "
            f"that reaches value {last}"
        )
    # The step of a dimension of one is never taken, and may be any number.
    strides = [
        stride * values.itemsize if size > 1 else 0
        for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(
        values[tensor.offset :], shape=tensor.shape, strides=strides, writeable=False
    )
