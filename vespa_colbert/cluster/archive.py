"""An application package as it is uploaded: which files, and one zip with the same bytes always."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from vespa_colbert.cluster.ignore_list import IGNORE_FILE, IgnoreList, read_ignore_list
from vespa_colbert.errors import DeployError
from vespa_colbert.files import atomic_file

__all__ = ["package_files", "package_root", "write_archive"]

SERVICES_FILE = "services.xml"
CHUNK_BYTES = 1 << 20
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
FIXED_MODE = stat.S_IFREG | 0o644
UNIX = 3
"""The system that made an entry, as a zip names it: its attributes are a Unix mode."""

NO_NAME = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
"""Characters that a path cannot have in a zip that every reader takes."""


def package_root(path: Path) -> Path:
    """Return the folder that is uploaded for a path, by the layouts that the vespa CLI knows.

    Args:
        path: A package, or a project with ``src/main/application`` or Maven's ``pom.xml``.

    Raises:
        DeployError: If there is no application package.

    Source: Go's ``findApplicationPackage`` of the vespa CLI, 8.763.13.
    """
    if (path / "pom.xml").exists():
        built = path / "target" / "application"
        if not built.exists():
            raise DeployError(
                f"{path}: has a pom.xml, and {built} does not exist; run first: mvn package"
            )
        return built
    if (sources := path / "src" / "main" / "application").exists():
        return sources
    if (path / SERVICES_FILE).exists():
        return path
    raise DeployError(
        f"{path}: expected an application package with {SERVICES_FILE}, found none; "
        "make one with: vespa-colbert generate"
    )


def package_files(folder: Path) -> dict[str, Path]:
    """Return the files of a package that are uploaded: path in the package → file, sorted.

    All that the vespa CLI uploads, hidden files and our manifest too; ``.vespaignore`` is honoured.
    A link to a file of the same package counts as that file.

    Args:
        folder: The package.

    Raises:
        DeployError: If a link leaves the package or leads to a folder, a file is none that can be
            read, or a path is none that a zip can carry; or if no ``services.xml`` is left.
    """
    root = folder.resolve()
    ignored = read_ignore_list(root / IGNORE_FILE)
    found = {} if ignored.ignores(".") else dict(_walk(root, "", ignored))
    if SERVICES_FILE not in found:
        raise DeployError(f"{folder}: {SERVICES_FILE} is missing, or {IGNORE_FILE} leaves it out")
    return dict(sorted(found.items()))


def _walk(root: Path, below: str, ignored: IgnoreList) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder of the package.

    Raises:
        DeployError: If one cannot be uploaded.
    """
    with os.scandir(root / below) as entries:
        names = sorted((each.name, each.is_dir(follow_symlinks=False)) for each in entries)
    for name, is_folder in names:
        path = f"{below}{name}"
        if ignored.ignores(path):
            continue
        if (match := NO_NAME.search(name)) is not None:
            raise DeployError(
                f"{root / below}: the name {name!r} has U+{ord(match[0]):04X}, which a package "
                "cannot carry; rename the file or list it in .vespaignore"
            )
        if is_folder:
            yield from _walk(root, f"{path}/", ignored)
        else:
            yield path, _regular(root, path)


def _regular(root: Path, path: str) -> Path:
    """Return the regular file that a path of the package stands for.

    Raises:
        DeployError: If it stands for anything else, or for a file outside the package.
    """
    try:
        file = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):
        raise DeployError(f"{root / path}: this link leads nowhere; remove it") from None
    if not file.is_relative_to(root):
        raise DeployError(
            f"{root / path}: this link leaves the package, to {file}; put a copy in its place"
        )
    if not file.is_file():
        raise DeployError(
            f"{root / path}: expected a file or a folder, got a link to a folder, a pipe or a "
            "device; remove it or list it in .vespaignore"
        )
    return file


def write_archive(
    folder: Path, output: Path, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> dict[str, int]:
    """Return path → bytes of the files put into a zip; the same package is always the same zip.

    Names sorted, times and modes fixed, nothing compressed: compressed bytes would be those of one
    version of zlib, and a model's weights hardly shrink.

    Args:
        folder: The package.
        output: The zip, written whole or not at all.
        progress: Called with bytes done and bytes in all.

    Raises:
        DeployError: If a file cannot be uploaded; see ``package_files``.
        OutputError: If the zip cannot be written.
    """
    files = package_files(folder)
    sizes = {name: file.stat().st_size for name, file in files.items()}
    total, done = sum(sizes.values()), 0
    with atomic_file(output) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, file in files.items():
            with _open(archive, name, sizes[name]) as entry, file.open("rb") as stream:
                shutil.copyfileobj(stream, entry, CHUNK_BYTES)
                if stream.tell() != sizes[name]:
                    raise DeployError(f"{file}: was changed while it was read; try again")
            done += sizes[name]
            progress(done, total)
    return sizes


def _open(archive: zipfile.ZipFile, name: str, size: int) -> IO[bytes]:
    """Return an entry to write to, with nothing in its header that depends on the machine."""
    entry = zipfile.ZipInfo(name, date_time=FIXED_TIME)
    entry.compress_type = zipfile.ZIP_STORED
    entry.create_system, entry.external_attr = UNIX, FIXED_MODE << 16
    entry.file_size = size
    return archive.open(entry, "w")
