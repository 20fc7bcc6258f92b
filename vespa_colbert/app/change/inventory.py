"""Everything a package says, by name: what two packages are compared by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from vespa_colbert.app.profile import RankProfile
from vespa_colbert.app.reader import read_application
from vespa_colbert.app.render import MANIFEST_FILE
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.services import CONTAINERS, SERVICES_FILE, components, read_services
from vespa_colbert.app.source import SCHEMA_FOLDERS
from vespa_colbert.files import digest_file

__all__ = ["Inventory", "Item", "inventory"]

EMBEDDER_WORDS = ("embedder", "tokenizer")
SCHEMA_FILES = (".sd", ".profile", ".expression")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Item:
    """Something that a package has a name for.

    Attributes:
        kind: ``field``, ``rank profile``, ``input``, ``expression``, ``embedder``, ``file``, ….
        place: Where it stands, from the outside in: ``passage.max_sim.query(qt)``.
    """

    kind: str
    place: str

    @property
    def parent(self) -> str:
        """The place that it stands in, empty for what stands in nothing."""
        return self.place.rpartition(".")[0] if self.kind in INNER else ""


INNER = {"input", "expression", "constant", "onnx model"}
Parts: TypeAlias = dict[str, str]
"""What an item says: name of a part → its text."""

Inventory: TypeAlias = Mapping[Item, Parts]


def inventory(folder: Path) -> Inventory:
    """Return everything that an application package says, any package that Vespa takes.

    Args:
        folder: The package.

    Raises:
        SpecError: If it has no schema, or its services.xml is not XML.
        SchemaSyntaxError: If a schema cannot be read.
    """
    found: dict[Item, Parts] = {}
    for schema in read_application(folder).schemas:
        found |= dict(_of_schema(schema))
    return found | dict(_of_services(folder)) | dict(_of_files(folder))


def _of_schema(schema: Schema) -> Iterator[tuple[Item, Parts]]:
    """Yield a schema and what is in it."""
    parents = [each.name for each in schema.document_parents]
    above = {"schema": schema.schema_parent.name} if schema.schema_parent else {}
    yield _item("schema", schema.name), above | _texts({"documents": parents})
    for kind, things in (
        ("field", schema.fields),
        ("fieldset", schema.fieldsets),
        ("document summary", schema.summaries),
        ("constant", schema.constants),
        ("onnx model", schema.onnx_models),
        ("imported field", schema.imported_fields),
        ("struct", schema.structs),
        ("index", schema.indexes),
    ):
        for each in things:
            yield _item(kind, schema.name, each.name), _parts(each)
    for profile in schema.rank_profiles:
        yield from _of_profile(schema, profile)


def _of_profile(schema: Schema, profile: RankProfile) -> Iterator[tuple[Item, Parts]]:
    """Yield a rank profile as it is written, without what it inherits."""
    where = (schema.name, profile.name)
    apart = {"inputs", "constants", "functions", "onnx_models", "first_phase"}
    apart |= {"second_phase", "global_phase"}
    yield _item("rank profile", *where), _parts(profile, apart)
    for each in profile.inputs:
        yield _item("input", *where, f"query({each.name})"), _parts(each)
    for function in profile.functions:
        yield _item("expression", *where, f"{function.name}()"), _parts(function)
    for constant in profile.constants:
        yield _item("constant", *where, constant.name), _parts(constant)
    for model in profile.onnx_models:
        yield _item("onnx model", *where, model.name), _parts(model)
    if profile.first_phase:
        yield _item("expression", *where, "first-phase"), {"expression": profile.first_phase}
    for name, phase in (
        ("second-phase", profile.second_phase),
        ("global-phase", profile.global_phase),
    ):
        if phase is not None:
            yield _item("expression", *where, name), _parts(phase)


def _of_services(folder: Path) -> Iterator[tuple[Item, Parts]]:
    """Yield components, and each cluster without its components."""
    root = read_services(folder)
    if root is None:
        return
    for each in components(root):
        kind = "embedder" if _is_embedder(each) else "component"
        yield _item(kind, each.get("id", "")), dict(_of_component(each, folder))
    clusters = [root] if root.tag in {*CONTAINERS, "content"} else root
    for cluster in clusters:
        if isinstance(cluster.tag, str):
            name = f"{cluster.tag} {cluster.get('id', '')}".strip()
            yield _item("cluster", name), _texts({"element": _element(cluster)})


def _is_embedder(component: Any) -> bool:
    return any(word in component.get("type", "") for word in EMBEDDER_WORDS)


def _of_component(component: Any, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what a component says, with the checksums of the files that it points at."""
    yield from ((name, value) for name, value in component.attrib.items() if name != "id")
    for each in component:
        if not isinstance(each.tag, str):
            continue
        yield each.tag, _element(each)
        path = folder / each.get("path", "")
        if each.get("path") and path.is_file():
            yield f"{each.tag} sha256", digest_file(path).sha256


def _element(element: Any) -> str:
    """Return an element on one line, without comments and components."""
    attributes = "".join(f' {name}="{value}"' for name, value in sorted(element.attrib.items()))
    text = " ".join((element.text or "").split())
    inner = "".join(
        _element(each) for each in element if isinstance(each.tag, str) and each.tag != "component"
    )
    return f"<{element.tag}{attributes}>{text}{inner}</{element.tag}>"


def _of_files(folder: Path) -> Iterator[tuple[Item, Parts]]:
    """Yield the checksum of every file that is read in no other way."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        is_schema = name.startswith(SCHEMA_FOLDERS) and path.suffix in SCHEMA_FILES
        if path.is_file() and not is_schema and name not in {SERVICES_FILE, MANIFEST_FILE}:
            yield Item(kind="file", place=name), {"sha256": digest_file(path).sha256}


def _item(kind: str, *place: str) -> Item:
    return Item(kind=kind, place=".".join(place))


def _parts(thing: Any, apart: set[str] | None = None) -> Parts:
    """Return what a spec says beside its name and its defaults."""
    said = {}
    for each in fields(thing):
        value = getattr(thing, each.name)
        default = None if each.default is MISSING else each.default
        if each.name not in {"name", *(apart or ())} and value != default:
            said[each.name.replace("_", "-")] = value
    return _texts(said)


def _texts(said: Mapping[str, Any]) -> Parts:
    return {name: text for name, value in said.items() if (text := _text(value))}


def _text(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, tuple | list):
        pairs = all(isinstance(each, tuple) and len(each) == 2 for each in value)
        return "; ".join(": ".join(map(str, each)) if pairs else str(each) for each in value)
    return str(value)
