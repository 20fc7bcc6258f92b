"""How a package comes to another model: the new one beside the old, then the old one taken out.

Vectors of two models must never meet in one field, and a field keeps the old ones until every
document was indexed again: so the new model gets fields, an embedder and profiles of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vespa_colbert.app.blocks import BlockText, read_blocks
from vespa_colbert.app.build import folder_embedder
from vespa_colbert.app.change.queries import (
    QueryNames,
    QueryProfiles,
    query_profile_ids,
)
from vespa_colbert.app.change.rename import Renaming, new_type, speaks_of
from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import ModelFile, PackagedFile
from vespa_colbert.app.field import Field
from vespa_colbert.app.reader import read_application
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.services import SERVICES_FILE, components, read_services
from vespa_colbert.app.source import SCHEMA_FOLDERS
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import ModelFolder

__all__ = ["SchemaUpgrade", "Upgrade", "plan_upgrade"]

KIND = "colbert-embedder"
SUFFIX = re.compile(r"_v[0-9]+$")
MOST_SUFFIXES = 1000
INDENT = "    "
TEXTS = ("*.xml", "*.md")
NAMELESS = re.compile(r"\bembed\b\s*(?![\s\w-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaUpgrade:
    """What one schema gets.

    Attributes:
        path: Of its file, in the package.
        blocks: Its text, with the places of fields and profiles.
        renaming: Old → new names.
        kept: Profiles that are written again for their inputs alone, and stay.
    """

    path: str
    blocks: BlockText
    renaming: Renaming
    kept: frozenset[str] = frozenset()

    @property
    def step(self) -> str:
        """The text with the new fields and profiles added."""
        made = [
            *(self.renaming.field(self.blocks.of("field", old), old) for old in self.fields),
            *(
                self.renaming.profile(self.blocks.of("rank_profile", old), old)
                for old in self.profiles
            ),
        ]
        return self.blocks.edited(added="\n\n".join(INDENT + text for text in made))

    @property
    def gone(self) -> frozenset[tuple[str, str]]:
        """Kind and name of the blocks that the last step takes out."""
        fields = {("field", name) for name in self.fields}
        profiles = {("rank_profile", name) for name in self.profiles if name not in self.kept}
        return frozenset(fields | profiles)

    @property
    def fields(self) -> Mapping[str, str]:
        """Old → new names of fields."""
        return self.renaming.fields

    @property
    def profiles(self) -> Mapping[str, str]:
        """Old → new names of rank profiles."""
        return self.renaming.profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """How a package comes to another model.

    Attributes:
        folder: The package that runs.
        old: Id of the embedder that it has.
        new: The embedder that it gets.
        schemas: Those with fields that the old embedder fills.
        names: What becomes of names in queries.
        mentions: Other files of the package that name what will be taken out.
    """

    folder: Path
    old: str
    new: Embedder
    schemas: tuple[SchemaUpgrade, ...]
    names: QueryNames
    mentions: tuple[str, ...] = ()


def plan_upgrade(folder: Path, model: ModelFolder, embedder: str = "") -> Upgrade:
    """Return how an application package comes to another model; nothing is written.

    Args:
        folder: The package that runs, ours or not.
        model: The new model.
        embedder: Id of the embedder to go; the only one of Vespa's ``colbert-embedder`` if empty.

    Raises:
        SpecError: If it has no such embedder, no field that this one fills, or one that cannot be
            written again for the new model.
        SchemaSyntaxError: If a schema cannot be read.
    """
    root = read_services(folder)
    old = _old_embedder(root, embedder, folder)
    schemas = [each for each in read_application(folder).schemas if not each.is_document]
    suffix = _free_suffix(folder, root, schemas)
    new = _new_embedder(model, _renamed(old, suffix), suffix)
    found = (_schema_upgrade(folder, each, (old, new.name), model, suffix) for each in schemas)
    upgrades = tuple(each for each in found if each is not None)
    if not upgrades:
        raise SpecError(f"{folder}: expected a field outside of a document that says: embed {old}")
    names = QueryNames(
        embedder=(old, new.name),
        fields={name: it for each in upgrades for name, it in each.fields.items()},
        profiles={name: it for each in upgrades for name, it in each.profiles.items()},
        suffix=suffix,
    )
    mentions = tuple(_mentions(folder, names, {each.path for each in upgrades}))
    return Upgrade(
        folder=folder, old=old, new=new, schemas=upgrades, names=names, mentions=mentions
    )


def _old_embedder(root: Any, wanted: str, folder: Path) -> str:
    """Return the id of the embedder that is to go.

    Raises:
        SpecError: If there is none, or several and no name.
    """
    known = [] if root is None else components(root)
    names = sorted({each.get("id", "") for each in known if each.get("type") == KIND})
    found: list[str] = [name for name in names if wanted in {"", name}]
    if len(found) != 1:
        listed = ", ".join(names) or "none"
        hint = (
            "name one of them"
            if len(found) > 1
            else "where a client sends the token vectors, generate a package of the new model "
            "under another schema name and feed that beside the old one"
        )
        raise SpecError(f"{folder}: expected one {KIND}, got {listed}; {hint}")
    return found[0]


def _renamed(name: str, suffix: str) -> str:
    return SUFFIX.sub("", name) + suffix


def _free_suffix(folder: Path, root: Any, schemas: list[Schema]) -> str:
    """Return the first of _v2, _v3, … that no name of the package ends in.

    Raises:
        SpecError: If there is none.
    """
    names = [each.get("id", "") for each in components(root)]
    for schema in schemas:
        names += [field.name for field in schema.all_fields]
        names += schema.profile_names
    names += (path.stem for path in (folder / "files").glob("*"))
    names += query_profile_ids(folder)
    for number in range(2, MOST_SUFFIXES):
        if not any(name.endswith(f"_v{number}") for name in names):
            return f"_v{number}"
    raise SpecError(f"{folder}: every name up to _v{MOST_SUFFIXES} is taken")


def _new_embedder(model: ModelFolder, name: str, suffix: str) -> Embedder:
    made = folder_embedder(model)
    return replace(
        made,
        name=name,
        transformer=_suffixed(made.transformer, suffix),
        tokenizer=_suffixed(made.tokenizer, suffix),
    )


def _suffixed(file: ModelFile, suffix: str) -> ModelFile:
    if not isinstance(file, PackagedFile):
        return file
    stem, dot, ending = file.path.rpartition(".")
    return replace(file, path=f"{stem}{suffix}{dot}{ending}")


def _schema_upgrade(
    folder: Path, schema: Schema, embedder: tuple[str, str], model: ModelFolder, suffix: str
) -> SchemaUpgrade | None:
    """Return what a schema gets, ``None`` if the old embedder fills none of its fields.

    Raises:
        SpecError: If one of them cannot be written again for the new model.
    """
    filled = [each for each in schema.fields if _is_filled(schema, each, embedder[0])]
    if not filled:
        return None
    path = _schema_path(folder, schema.name)
    blocks, types = read_blocks(folder / path), dict[str, Any]()
    widths: dict[tuple[str, int], int] = {}
    for each in filled:
        where = f"schema {schema.name}, field {each.name}"
        kind = each.tensor_type
        if kind is None or each.in_document:
            raise SpecError(f"{where}: expected a tensor field outside of the document")
        types[each.name] = made = new_type(kind, model.embedder.dim, where)
        old, new, name = kind.shape[0], made.shape[0], made.indexed[0]
        widths |= (
            {(name, old): new, (name, 8 * old): 8 * new}
            if kind.cell_type.size == 1
            else {(name, old): new}
        )
    renaming = Renaming(
        embedder=embedder,
        fields={each.name: _renamed(each.name, suffix) for each in filled},
        types=types,
        profiles={},
        widths=widths,
        others=frozenset(_sizes(schema, types)),
    )
    users = _profiles(schema, blocks, renaming)
    kept = _parents(schema, blocks, users, renaming)
    profiles = {name: _renamed(name, suffix) for name in (*kept, *users)}
    return SchemaUpgrade(
        path=path,
        blocks=blocks,
        renaming=replace(renaming, profiles=profiles),
        kept=frozenset(kept),
    )


def _sizes(schema: Schema, apart: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield dimensions and sizes of the tensor fields that are none of those apart."""
    for field in schema.all_fields:
        kind = field.tensor_type
        if kind is not None and field.name not in apart:
            yield from ((each.name, each.size) for each in kind.dimensions if each.size)


def _is_filled(schema: Schema, field: Field, embedder: str) -> bool:
    """Return whether an embedder fills a field.

    Raises:
        SpecError: If the field names no embedder, which Vespa refuses as soon as there are two.
    """
    statements = " ".join(field.indexing)
    if NAMELESS.search(statements):
        raise SpecError(
            f"schema {schema.name}, field {field.name}: embed names no embedder, and Vespa refuses "
            f"that beside a second one; write 'embed {embedder}' and deploy that change first"
        )
    return re.search(rf"\bembed\s+{re.escape(embedder)}(?![\w-])", statements) is not None


def _schema_path(folder: Path, name: str) -> str:
    paths = (f"{place}/{name}.sd" for place in SCHEMA_FOLDERS)
    return next(path for path in paths if (folder / path).is_file())


def _profiles(schema: Schema, blocks: BlockText, renaming: Renaming) -> list[str]:
    """Return the profiles that use the fields, and those that inherit one of these.

    Raises:
        SpecError: If one of them stands in a file of its own.
    """
    known = {each.name: each for each in schema.rank_profiles}
    texts = {name: blocks.of("rank_profile", name) for name in known}
    own = {name: text or _written(schema, name) for name, text in texts.items()}
    found = [name for name in known if any(speaks_of(own[name], each) for each in renaming.fields)]
    while more := [
        name for name, each in known.items() if name not in found and set(each.inherits) & {*found}
    ]:
        found += more
    _require_blocks(schema, blocks, found)
    return [name for name in known if name in found]


def _parents(schema: Schema, blocks: BlockText, users: list[str], renaming: Renaming) -> list[str]:
    """Return the profiles above these that declare an input of the old model's width.

    Raises:
        SpecError: If one of them stands in a file of its own.
    """
    known = {each.name: each for each in schema.rank_profiles}
    above, waiting = set[str](), list(users)
    while waiting:
        fresh = {*known[waiting.pop()].inherits} & known.keys() - above - {*users}
        above |= fresh
        waiting += fresh
    declaring = {
        name
        for name in above
        if any(renaming.is_touched(kind) for kind in known[name].input_types.values())
    }
    # Whoever stands between a profile and such a parent must inherit the new one too.
    while more := {name for name in above - declaring if declaring & {*known[name].inherits}}:
        declaring |= more
    _require_blocks(schema, blocks, sorted(declaring))
    return [name for name in known if name in declaring]


def _require_blocks(schema: Schema, blocks: BlockText, names: list[str]) -> None:
    """Return nothing if all profiles stand in the schema's own file.

    Raises:
        SpecError: If one does not.
    """
    for name in names:
        if not blocks.of("rank_profile", name):
            raise SpecError(
                f"schema {schema.name}, rank-profile {name}: stands in a file or profile of its "
                "own; move it into the schema's file"
            )


def _written(schema: Schema, name: str) -> str:
    """Return the expressions of a profile that stands in no block of the schema's file."""
    profile = next(each for each in schema.rank_profiles if each.name == name)
    phases = (profile.second_phase, profile.global_phase)
    expressions = [profile.first_phase, *(each.expression for each in phases if each)]
    return " ".join([*expressions, *(each.expression for each in profile.functions)])


def _mentions(folder: Path, names: QueryNames, edited: set[str]) -> Iterator[str]:
    """Yield files that name what will be taken out and are not written again."""
    profiles = QueryProfiles.of(folder, names)
    known = {SERVICES_FILE, *edited, *profiles.removed, *profiles.replaced}
    gone = sorted({names.embedder[0], *names.fields, *names.profiles})
    wanted = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in gone))
    for path in sorted(each for ending in TEXTS for each in folder.rglob(ending)):
        place = path.relative_to(folder).as_posix()
        if place not in known and (found := wanted.search(path.read_text("utf-8", "replace"))):
            yield f"{place} names {found[0]}"
