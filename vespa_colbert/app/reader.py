"""Reads schemas, whoever wrote them, into the specs that the generator prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vespa_colbert.app.schema import Schema
from vespa_colbert.app.source import SCHEMA_FOLDERS, read_source
from vespa_colbert.app.tree import SchemaParts, schema_parts, separate_profiles
from vespa_colbert.errors import SchemaSyntaxError, SpecError

__all__ = ["Application", "read_application", "read_schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What an application package says about documents and ranking.

    Attributes:
        path: The package's folder.
        schemas: All its schemas, by name.
    """

    path: Path
    schemas: tuple[Schema, ...]

    def schema(self, name: str = "") -> Schema:
        """Return the schema of that name; the only one when no name is given.

        Raises:
            SpecError: If there is none, or several and no name.
        """
        found = [schema for schema in self.schemas if name in {"", schema.name}]
        if len(found) != 1:
            known = ", ".join(schema.name for schema in self.schemas)
            raise SpecError(f"{self.path}: expected a schema among {known}, got {name!r}")
        return found[0]


def read_application(folder: Path) -> Application:
    """Return what an application package says, any package that Vespa takes.

    Raises:
        SpecError: If the folder has no schema.
        SchemaSyntaxError: If a schema does not parse, or has something that is not known and may
            bear on ranking.
    """
    found: dict[str, Path] = {}
    for place in SCHEMA_FOLDERS:
        for path in (folder / place).glob("*.sd"):
            if not path.name.startswith("."):
                found[path.stem] = path
    if not found:
        raise SpecError(f"{folder}: expected an application package with schemas/*.sd, got none")
    reading = _Reading(found)
    return Application(path=folder, schemas=tuple(reading.schema(name) for name in sorted(found)))


def read_schema(path: Path) -> Schema:
    """Return the schema in a file, with the profiles that stand in files of their own.

    The schemas that it inherits or refers to are looked for beside it.

    Args:
        path: ``schemas/<name>.sd``; profiles are looked for in ``schemas/<name>/**/*.profile``.

    Raises:
        SchemaSyntaxError: If it does not parse, is not valid, or has something that is not known
            and may bear on ranking; with file, line and column.
    """
    beside = {each.stem: each for each in path.parent.glob("*.sd")}
    return _Reading(beside | {path.stem: path}).schema(path.stem)


class _Reading:
    """The schemas of an application, each read once and after those that it needs."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.done: dict[str, Schema] = {}
        self.begun: list[str] = []

    def schema(self, name: str) -> Schema:
        """Return the schema of that name.

        Raises:
            SchemaSyntaxError: If it cannot be read.
        """
        if name not in self.done:
            self.begun.append(name)
            try:
                self.done[name] = self._read(self.files[name])
            except RecursionError:
                raise SchemaSyntaxError(f"{self.files[name]}: nested too deeply") from None
            self.begun.pop()
        return self.done[name]

    def _read(self, path: Path) -> Schema:
        """Return the schema in a file.

        Raises:
            SchemaSyntaxError: If it cannot be read.
        """
        parts = schema_parts(read_source(path))
        if parts.name != path.stem:
            raise SchemaSyntaxError(
                f"{path}: expected a schema named {path.stem}, as its file, got {parts.name}"
            )
        for file in _profile_files(path):
            parts.rank_profiles += separate_profiles(read_source(file, path.parent))
        parent = None if parts.inherits is None else self._parent(parts, parts.inherits, "schema")
        documents = (self._parent(parts, each, "document") for each in parts.document_inherits)
        try:
            return Schema(
                name=parts.name,
                fields=tuple(parts.fields),
                fieldsets=tuple(parts.fieldsets),
                summaries=tuple(parts.summaries),
                constants=tuple(parts.constants),
                rank_profiles=tuple(parts.rank_profiles),
                stemming=parts.stemming,
                is_document=parts.is_document,
                structs=tuple(parts.structs),
                imported_fields=tuple(parts.imported_fields),
                indexes=tuple(parts.indexes),
                onnx_models=tuple(parts.onnx_models),
                schema_parent=parent,
                document_parents=tuple(each for each in documents if each is not None),
                referred=tuple(self._referred(parts)),
            )
        except SpecError as error:
            raise SchemaSyntaxError(f"{path}: {error}") from error

    def _parent(self, parts: SchemaParts, token: Any, kind: str) -> Schema | None:
        """Return the schema that a schema inherits, or ``None`` for ``document``, Vespa's own.

        Raises:
            SchemaSyntaxError: If there is none, or it inherits itself.
        """
        name = str(token)
        if name == "document" and kind == "document":
            return None
        if name in self.begun:
            chain = " → ".join((*self.begun, name))
            raise parts.source.error(token, f"{kind} {name} inherits itself: {chain}")
        if name not in self.files:
            known = ", ".join(sorted(self.files))
            raise parts.source.error(token, f"expected a {kind} among {known}, got {name!r}")
        return self.schema(name)

    def _referred(self, parts: SchemaParts) -> Iterator[Schema]:
        """Yield the schemas that reference fields refer to, as far as there are such."""
        for name in dict.fromkeys(field.referred for field in parts.fields):
            if name in self.files and name not in self.begun:
                yield self.schema(name)


def _profile_files(path: Path) -> list[Path]:
    """Return the files of a schema's profiles, in the order in which Vespa reads them.

    Source: ApplicationBuilder.addRankProfileFiles, Vespa 8.700.24.
    """
    old = path.parent.parent / SCHEMA_FOLDERS[1] / path.stem
    found = {
        *path.with_suffix("").rglob("*.profile"),
        *(old.glob("*.profile") if path.parent.name == SCHEMA_FOLDERS[0] else ()),
    }
    return sorted(found)
