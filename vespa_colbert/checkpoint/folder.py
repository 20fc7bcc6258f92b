"""Config files of a checkpoint folder: JSON objects whose values are asked for by type."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vespa_colbert.checkpoint.regular_file import is_present, require_file, sniff_lfs_pointer
from vespa_colbert.errors import CheckpointError
from vespa_colbert.files import FileDigest, digest_file

__all__ = [
    "CHECKSUMS_FILE",
    "JsonObject",
    "config_files",
    "digests",
    "module_folder",
    "parse_json",
    "read_json",
    "read_object",
    "require_folder",
    "stated_cuts",
]

CHECKSUMS_FILE = "checksums.json"
"""Lists every file of a checkpoint that this package wrote."""

LARGEST_JSON_BYTES = 500_000_000
"""Ten times the largest tokenizer.json of the models that are known."""
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonObject:
    """A JSON object and the file it came from. A value of null counts as absent.

    Attributes:
        name: File name within the checkpoint, for messages and provenance.
        values: The members.
    """

    name: str
    values: Mapping[str, Any]

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an integer member, or the default where there is one.

        Raises:
            CheckpointError: If it is absent without a default, or something else.
        """
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "an integer", value)
        return value

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """Return a true/false member, or the default where there is one.

        Raises:
            CheckpointError: If it is absent without a default, or something else.
        """
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string member, or the default where there is one.

        Raises:
            CheckpointError: If it is absent without a default, or something else.
        """
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return a list of strings, or the default.

        Raises:
            CheckpointError: If it is something else.
        """
        value = self._value(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
            raise self._wrong(key, "a list of strings", value)
        return tuple(value)

    def origin(self, key: str, default: str) -> str:
        """Return where the value of ``key`` comes from: this file, or ``default``."""
        return f"{self.name}: {key}" if key in self else default

    def _value(self, key: str, default: object) -> object:
        """Return the member or the default.

        Raises:
            CheckpointError: If there is neither.
        """
        value = self.values.get(key)
        if value is None and default is None:
            raise CheckpointError(f"{self.name}: expected a value for {key}, got none")
        return default if value is None else value

    def _wrong(self, key: str, expected: str, value: object) -> CheckpointError:
        return CheckpointError(f"{self.name}: {key}: expected {expected}, got {value!r}")


def require_folder(path: Path) -> None:
    """Return nothing if the path is a folder.

    Raises:
        CheckpointError: If it is a file or nothing.
    """
    if path.is_dir():
        return
    got = "a file" if path.exists() else "nothing there"
    raise CheckpointError(
        f"{path}: expected a checkpoint folder, got {got}; "
        "give the path of a local folder, or the name of a model on the Hub: organisation/model"
    )


def read_json(root: Path, name: str) -> Any:
    """Return the parsed JSON file ``name`` of the folder ``root``.

    Stricter than Python's parser, which lets the last of two equal keys win and takes NaN.

    Raises:
        CheckpointError: If it is missing, no plain file, too large, or not JSON.
    """
    path = root / name
    size = require_file(path, "a JSON file")
    if size > LARGEST_JSON_BYTES:
        raise CheckpointError(
            f"{path}: expected JSON of at most {LARGEST_JSON_BYTES} bytes, got {size} bytes"
        )
    data = path.read_bytes()
    if not data:
        raise CheckpointError(f"{path}: expected JSON, got an empty file; fetch it again")
    sniff_lfs_pointer(data, path)
    try:
        return parse_json(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected JSON, got something else ({error}); the file may be incomplete"
        ) from error


def parse_json(text: str) -> Any:
    """Return the document of a JSON text.

    Raises:
        ValueError: If it is no JSON, says one thing twice, or has a number or a character that is
            none.
    """
    document = json.loads(
        text, object_pairs_hook=_object, parse_constant=_refuse_number, parse_float=_finite
    )
    if HALF_CHARACTER.search(text):
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object.

    Raises:
        ValueError: If two have the same name.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _value in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"an object says {twice[:100]!r} twice")
    return members


def _refuse_number(text: str) -> float:
    """Raise an error.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    """Return a number.

    Raises:
        ValueError: If it is larger than floats can be.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is larger than floats can be")
    return number


def read_object(root: Path, name: str, *, optional: bool = False) -> JsonObject:
    """Return the JSON object in the file ``name``; an empty one if it is optional and missing.

    Raises:
        CheckpointError: If it is missing, not JSON or not an object.
    """
    if optional and not is_present(root / name):
        return JsonObject(name=name, values={})
    values = read_json(root, name)
    if not isinstance(values, dict):
        raise CheckpointError(f"{root / name}: expected a JSON object, got {type(values).__name__}")
    return JsonObject(name=name, values=values)


def config_files(folders: set[Path]) -> list[Path]:
    """Return every JSON file of the folders, for the record of what a checkpoint was read from."""
    found = {path for folder in folders for path in folder.glob("*.json") if path.is_file()}
    return sorted(path for path in found if path.name != CHECKSUMS_FILE)


def stated_cuts(root: Path, dim: int) -> tuple[int, ...]:
    """Return the widths at which vectors may be cut, as ``checksums.json`` states them.

    They change no score: what is not understood is taken for nothing.

    Args:
        root: The checkpoint folder.
        dim: The whole width; wider ones are left out.
    """
    try:
        cuts = read_object(root, CHECKSUMS_FILE, optional=True).values["origin"]["cuts"]
        return tuple(each for each in cuts if type(each) is int and 0 < each < dim)
    except (CheckpointError, KeyError, TypeError):
        return ()


def digests(folder: Path, paths: Iterable[Path]) -> dict[str, FileDigest]:
    """Return name within the folder → sha256 and size, for the record of what was read."""
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in paths}


def module_folder(root: Path, relative: str, *, where: str) -> Path:
    """Return the folder of a module, which must lie inside the checkpoint.

    Args:
        root: The checkpoint folder.
        relative: What the config says, such as ``1_Dense``; empty for the root itself.
        where: File that says it, for the message.

    Raises:
        CheckpointError: For an absolute path, one with ``..``, a link that leaves the checkpoint,
            or a folder that is not there.
    """
    parts = PurePosixPath(relative)
    folder = root / parts
    plain = not parts.is_absolute() and ".." not in parts.parts and "\\" not in relative
    try:
        inside = plain and folder.resolve().is_relative_to(root.resolve())
        there = folder.is_dir()
    except (OSError, ValueError, RuntimeError):  # a name that no folder can have, a ring of links
        inside = there = False
    if not inside:
        raise CheckpointError(
            f"{where}: expected module folders inside the checkpoint, got path {relative[:200]!r}"
        )
    if not there:
        raise CheckpointError(f"{where}: the module folder {relative!r} does not exist in {root}")
    return folder
