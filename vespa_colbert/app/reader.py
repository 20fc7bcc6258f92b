"""Reads schemas, whoever wrote them, into the specs that the generator prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.app.schema import Schema
from vespa_colbert.app.source import read_source
from vespa_colbert.app.tree import profile_of, schema_parts
from vespa_colbert.errors import SchemaSyntaxError, SpecError

__all__ = ["Application", "read_application", "read_schema"]

SCHEMA_FOLDERS = ("schemas", "searchdefinitions")
"""Where Vespa looks for schemas; the second is the old name.

Source: FilesApplicationPackage.getSchemaFiles, Vespa 8.700.24.
"""


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
        SchemaSyntaxError: If a schema does not parse, or has something that bears on ranking and
            is not known.
    """
    found: dict[str, Path] = {}
    for place in SCHEMA_FOLDERS:
        for path in (folder / place).glob("*.sd"):
            if not path.name.startswith("."):
                found[path.name] = path
    if not found:
        raise SpecError(f"{folder}: expected an application package with schemas/*.sd, got none")
    return Application(
        path=folder, schemas=tuple(read_schema(found[name]) for name in sorted(found))
    )


def read_schema(path: Path) -> Schema:
    """Return the schema in a file, with the profiles that stand in files of their own.

    Args:
        path: ``schemas/<name>.sd``; profiles are looked for in ``schemas/<name>/**/*.profile``.

    Raises:
        SchemaSyntaxError: If it does not parse, is not valid, or has something that bears on
            ranking and is not known; with file, line and column.

    Source: ApplicationBuilder.addRankProfileFiles, Vespa 8.700.24.
    """
    parts = schema_parts(read_source(path))
    if parts.name != path.stem:
        raise SchemaSyntaxError(
            f"{path}: expected a schema named {path.stem}, as its file, got {parts.name}"
        )
    for profile in sorted(path.with_suffix("").rglob("*.profile")):
        parts.rank_profiles.append(profile_of(read_source(profile)))
    try:
        return Schema(
            name=parts.name,
            fields=tuple(parts.fields),
            fieldsets=tuple(parts.fieldsets),
            summaries=tuple(parts.summaries),
            constants=tuple(parts.constants),
            rank_profiles=tuple(parts.rank_profiles),
            stemming=parts.stemming,
        )
    except SpecError as error:
        raise SchemaSyntaxError(f"{path}: {error}") from error
