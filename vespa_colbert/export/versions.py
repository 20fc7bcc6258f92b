"""Versions of a model side by side, and the one that is in use: ``ROOT/name/version/``.

A version is a folder that gets its name when it is complete and never changes. The one in use is
what ``current.json`` names, a file that is replaced by one rename: that is atomic on every file
system, while links are not to be had on all. A reader asks for the folder once and keeps it; it is
there as long as nobody removes it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.checkpoint.folder import CHECKSUMS_FILE
from vespa_colbert.checkpoint.write import read_checksums, write_checksums, write_json
from vespa_colbert.errors import ExportError, OutputError, SpecError
from vespa_colbert.files import atomic_file, atomic_folder, digest_file, write_lock

__all__ = [
    "ALIAS_FILE",
    "ModelVersion",
    "current_version",
    "model_versions",
    "open_model",
    "publish_version",
    "roll_back",
    "use_version",
]

ALIAS_FILE = "current.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PATIENCE_SECONDS = 30.0
"""How long a writer waits for another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of a model.

    Attributes:
        name: The model.
        version: Which one.
        path: Its folder.
        is_current: Whether it is the one in use.
    """

    name: str
    version: str
    path: Path
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alias:
    """What ``current.json`` says: the version in use, and those before it, oldest first."""

    current: str
    before: tuple[str, ...] = ()


def publish_version(
    source: Path, root: Path, name: str, *, version: str = "", use: bool = True
) -> ModelVersion:
    """Return a new version of a model, copied from a folder; by itself it is in use then.

    Args:
        source: A model folder, or a checkpoint. Hidden files are left out, links followed.
        root: Where the models are.
        name: Of the model.
        version: What the version is called; the next number by itself.
        use: Whether it is to be the one in use.

    Raises:
        SpecError: If a name is none that a folder may have, or there is no source.
        OutputError: If the version is there, or it cannot be written, or the source changes.
    """
    _check_name(name)
    if not source.is_dir():
        raise SpecError(f"{source}: expected a folder to publish, found none")
    folder = root / name
    with write_lock(folder / ALIAS_FILE, patience=PATIENCE_SECONDS):
        chosen = version or _next_number(folder)
        _check_name(chosen)
        if (folder / chosen).exists():
            raise OutputError(
                f"{folder / chosen}: this version is there, and versions never change; publish "
                "under another one"
            )
        with atomic_folder(folder / chosen, is_ours=lambda _there: False) as part:
            _copy(source, part)
            write_checksums(part, {"model": name, "version": chosen})
        if use:
            _move(folder, chosen)
    return _described(folder, chosen, _read_alias(folder))


def use_version(root: Path, name: str, version: str) -> ModelVersion:
    """Return a version of a model, which is the one in use now.

    Raises:
        SpecError: If there is none of that name.
        ExportError: If it is damaged.
    """
    _check_name(name)
    folder = root / name
    with write_lock(folder / ALIAS_FILE, patience=PATIENCE_SECONDS):
        _whole(folder, version)
        _move(folder, version)
    return _described(folder, version, _read_alias(folder))


def roll_back(root: Path, name: str) -> ModelVersion:
    """Return the version that was in use before, which is the one in use again.

    Raises:
        SpecError: If none was.
        ExportError: If it is damaged.
    """
    _check_name(name)
    folder = root / name
    with write_lock(folder / ALIAS_FILE, patience=PATIENCE_SECONDS):
        alias = _read_alias(folder)
        if alias is None or not alias.before:
            raise SpecError(f"{folder}: expected a version that was in use before, found none")
        *earlier, version = alias.before
        _whole(folder, version)
        _write_alias(folder, _Alias(current=version, before=tuple(earlier)))
    return _described(folder, version, _read_alias(folder))


def current_version(root: Path, name: str) -> ModelVersion:
    """Return the version in use, every file as it was published.

    Raises:
        SpecError: If none is.
        ExportError: If it is damaged.
    """
    _check_name(name)
    folder = root / name
    if (alias := _read_alias(folder)) is None:
        raise SpecError(f"{folder}: expected a version in use ({ALIAS_FILE}), found none")
    _whole(folder, alias.current)
    return _described(folder, alias.current, alias)


def model_versions(root: Path, name: str = "") -> Iterator[ModelVersion]:
    """Yield every version of every model, or of one, in the order of their names and numbers."""
    names = [name] if name else sorted(each.name for each in _folders(root))
    for model in names:
        folder = root / model
        alias = _read_alias(folder)
        found = [each.name for each in _folders(folder) if (each / CHECKSUMS_FILE).is_file()]
        for version in sorted(found, key=_in_order):
            yield _described(folder, version, alias)


def open_model(path: Path) -> Path:
    """Return the folder of a model: the version in use where a path names a model with versions.

    Raises:
        SpecError: If what says which one is in use cannot be read.
        ExportError: If that version is damaged.
    """
    if not (path / ALIAS_FILE).is_file():
        return path
    return current_version(path.parent, path.name).path


def _check_name(name: str) -> None:
    """Return nothing if a name can be that of a folder.

    Raises:
        SpecError: If not.
    """
    if not NAME.fullmatch(name) or name == ALIAS_FILE:
        raise SpecError(
            f"model or version: expected letters, digits, dots, dashes and underscores, got "
            f"{name[:100]!r}"
        )


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [each for each in folder.iterdir() if each.is_dir() and NAME.fullmatch(each.name)]


def _next_number(folder: Path) -> str:
    numbers = [int(each.name) for each in _folders(folder) if each.name.isdecimal()]
    return str(max(numbers, default=0) + 1)


def _in_order(version: str) -> tuple[int, int, str]:
    return (0, int(version), version) if version.isdecimal() else (1, 0, version)


def _copy(source: Path, part: Path) -> None:
    """Copy all files but hidden ones.

    Raises:
        OutputError: If one changes while it is copied.
    """
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if any(each.startswith(".") for each in inside.parts) or not path.is_file():
            continue
        if inside.as_posix() == CHECKSUMS_FILE:
            continue
        copy = part / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        before = digest_file(path)
        shutil.copyfile(path, copy)
        if digest_file(copy) != before:
            raise OutputError(f"{path}: changed while it was copied; publish again")


def _whole(folder: Path, version: str) -> None:
    """Return nothing if a version is there and every file as it was published.

    Raises:
        SpecError: If it is not there.
        ExportError: If a file changed.
    """
    path = folder / version
    if not NAME.fullmatch(version) or not path.is_dir():
        raise SpecError(f"{folder}: expected a version {version!r}, found none")
    if read_checksums(path) is None:
        raise ExportError(
            f"{path}: expected every file as {CHECKSUMS_FILE} says, got another; publish it again "
            "under another version, and roll back until then"
        )


def _move(folder: Path, version: str) -> None:
    """Make a version the one in use; nothing happens if it is."""
    alias = _read_alias(folder)
    if alias is not None and alias.current == version:
        return
    before = () if alias is None else (*alias.before, alias.current)
    _write_alias(folder, _Alias(current=version, before=before))


def _read_alias(folder: Path) -> _Alias | None:
    """Return what says which version is in use; None if nothing does.

    Raises:
        SpecError: If it cannot be read.
    """
    path = folder / ALIAS_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        current, before = document["current"], tuple(document["before"])
        is_alias = all(
            isinstance(each, str) and NAME.fullmatch(each) for each in (current, *before)
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{path}: expected the version in use ({error})") from error
    if not is_alias:
        raise SpecError(f"{path}: expected names of versions, got {document!r:.200}")
    return _Alias(current=current, before=before)


def _write_alias(folder: Path, alias: _Alias) -> None:
    with atomic_file(folder / ALIAS_FILE) as part:
        write_json(part, {"current": alias.current, "before": list(alias.before)})


def _described(folder: Path, version: str, alias: _Alias | None) -> ModelVersion:
    return ModelVersion(
        name=folder.name,
        version=version,
        path=folder / version,
        is_current=alias is not None and alias.current == version,
    )
