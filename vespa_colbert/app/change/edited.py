"""A package with some of its files changed, everything else as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from vespa_colbert.app.component import PackagedFile
from vespa_colbert.app.query import Query
from vespa_colbert.app.render import (
    MANIFEST_FILE,
    ApplicationPackage,
    may_be_replaced,
    read_package,
)
from vespa_colbert.app.services import read_xml, xml_bytes
from vespa_colbert.errors import OutputError, SpecError
from vespa_colbert.files import atomic_folder, digest_file

__all__ = ["OVERRIDES_FILE", "Edits", "allowed", "write_edited"]

OVERRIDES_FILE = "validation-overrides.xml"
LARGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What is changed in a package.

    Attributes:
        texts: Path in the package → its new content.
        files: Model files to put in.
        removed: Paths that go.
        queries: How the rank profiles are asked then.
    """

    texts: Mapping[str, bytes] = field(default_factory=dict)
    files: tuple[PackagedFile, ...] = ()
    removed: frozenset[str] = frozenset()
    queries: tuple[Query, ...] = ()


def write_edited(folder: Path, edits: Edits, output: Path) -> ApplicationPackage:
    """Return the package that was written: a copy of another one with edits.

    Args:
        folder: The package that is copied; it is left alone.
        edits: What is changed.
        output: The new package. One of ours that stands there, unchanged, is replaced whole.

    Raises:
        OutputError: If the folder cannot be written, holds anything that is not ours, or is the
            package that is copied or lies in it.
    """
    old, inside = _stated(folder), output.resolve()
    if inside == folder.resolve() or folder.resolve() in inside.parents:
        raise OutputError(f"{output}: expected a folder outside of {folder}, which is copied")
    with atomic_folder(output, is_ours=may_be_replaced) as part:
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(folder).as_posix()
            is_kept = place not in {MANIFEST_FILE, *edits.removed, *edits.texts}
            if path.is_file() and is_kept:
                _place(path, part / place)
        for place, content in edits.texts.items():
            (part / place).parent.mkdir(parents=True, exist_ok=True)
            (part / place).write_bytes(content)
        for file in edits.files:
            _place(file.source, part / file.path)
        paths = sorted(path for path in part.rglob("*") if path.is_file())
        files = {path.relative_to(part).as_posix(): digest_file(path) for path in paths}
        package = replace(old, path=output, files=files, queries=edits.queries)
        (part / MANIFEST_FILE).write_text(package.manifest(), encoding="utf-8")
    return package


def _stated(folder: Path) -> ApplicationPackage:
    """Return what a package's manifest says, the name of its folder without one."""
    try:
        return read_package(folder, check=False)
    except SpecError:
        return ApplicationPackage(path=folder, name=folder.resolve().name, files={})


def allowed(folder: Path, overrides: tuple[str, ...], until: date) -> bytes:
    """Return a package's validation-overrides.xml with more that it allows.

    Args:
        folder: The package.
        overrides: What to allow: ``field-type-change``.
        until: The last day; Vespa takes at most 30 days ahead.

    Raises:
        SpecError: If there is one that is not XML.

    Source: ValidationOverrides.validate, Vespa 8.700.24.
    """
    from lxml import etree

    path = folder / OVERRIDES_FILE
    root: Any = read_xml(path) if path.is_file() else etree.Element("validation-overrides")
    for name in overrides:
        allow = etree.SubElement(root, "allow", until=until.isoformat())
        allow.text = name
    etree.indent(root, space="    ")
    return xml_bytes(root)


def _place(source: Path, path: Path) -> None:
    """Link a model file into the package, or copy it; what people edit is always copied."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.stat().st_size < LARGE_BYTES:
            shutil.copyfile(source, path)
        else:
            os.link(source.resolve(), path)
    except OSError:
        shutil.copyfile(source, path)
