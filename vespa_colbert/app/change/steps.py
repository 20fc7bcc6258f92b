"""The two packages of an upgrade, written: both models, and then the new one alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from vespa_colbert.app.blocks import read_blocks
from vespa_colbert.app.change.edited import OVERRIDES_FILE, Edits, allowed, write_edited
from vespa_colbert.app.change.queries import QueryProfiles, stated_queries
from vespa_colbert.app.change.upgrade import SchemaUpgrade, Upgrade
from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import PackagedFile
from vespa_colbert.app.reader import read_application
from vespa_colbert.app.render import ApplicationPackage
from vespa_colbert.app.services import SERVICES_FILE, components, read_services, xml_bytes
from vespa_colbert.errors import SpecError

__all__ = ["write_final", "write_step"]


def write_step(upgrade: Upgrade, output: Path) -> ApplicationPackage:
    """Return the package that was written with the new model beside the old.

    Args:
        upgrade: From ``plan_upgrade``.
        output: The new package.

    Raises:
        OutputError: If the folder cannot be written or holds anything that is not ours.
    """
    root: Any = read_services(upgrade.folder)
    _insert(root, upgrade)
    texts = {each.path: each.step.encode("utf-8") for each in upgrade.schemas}
    files = tuple(file for _, file in upgrade.new.models if isinstance(file, PackagedFile))
    texts |= {SERVICES_FILE: xml_bytes(root)}
    texts |= dict(QueryProfiles.of(upgrade.folder, upgrade.names).added)
    queries = stated_queries(upgrade.folder)
    new = (upgrade.names.query(each) for each in queries if each.profile in upgrade.names.profiles)
    edits = Edits(texts=texts, files=files, queries=(*queries, *new))
    return write_edited(upgrade.folder, edits, output)


def write_final(
    upgrade: Upgrade,
    step: Path,
    output: Path,
    *,
    overrides: tuple[str, ...] = (),
    until: date | None = None,
) -> ApplicationPackage:
    """Return the package that was written without the old model.

    Args:
        upgrade: From ``plan_upgrade``.
        step: The package that ``write_step`` wrote.
        output: The new package.
        overrides: What Vespa must be told to allow, as it said.
        until: The last day of that.

    Raises:
        SpecError: If something else in a schema names what is to go.
        OutputError: If the folder cannot be written or holds anything that is not ours.
    """
    if faults := tuple(_still_used(step, upgrade.schemas)):
        raise SpecError(f"{step}: what is to go is still used", faults)
    texts = {
        each.path: read_blocks(step / each.path).edited(removed=each.gone).encode("utf-8")
        for each in upgrade.schemas
    }
    root: Any = read_services(step)
    removed = _remove(root, upgrade.old, step)
    texts[SERVICES_FILE] = xml_bytes(root)
    if overrides and until is not None:
        texts[OVERRIDES_FILE] = allowed(step, overrides, until)
    profiles = QueryProfiles.of(step, upgrade.names)
    gone = {name for each in upgrade.schemas for _, name in each.gone}
    edits = Edits(
        texts=texts | dict(profiles.replaced),
        removed=removed | profiles.removed,
        queries=tuple(each for each in stated_queries(step) if each.profile not in gone),
    )
    return write_edited(step, edits, output)


def _insert(root: Any, upgrade: Upgrade) -> None:
    """Put the new embedder behind the old one, wherever that stands."""
    for old in [each for each in components(root) if each.get("id") == upgrade.old]:
        new = _component(old, upgrade.new)
        old.addnext(new)
        new.tail = old.tail
    needed, stated = upgrade.new.since, root.get("minimum-required-vespa-version")
    if needed and (stated is None or _version(stated) < _version(needed)):
        root.set("minimum-required-vespa-version", needed)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", text))


def _component(old: Any, embedder: Embedder) -> Any:
    """Return the element of an embedder, laid out as another one, whose tuning it takes over."""
    from lxml import etree

    new = etree.Element("component", id=embedder.name, type=embedder.type)
    for name, file in embedder.models:
        etree.SubElement(new, name, dict(file.attributes))
    for element in embedder.elements:
        etree.SubElement(new, element.name).text = element.text
    for each in old:
        if isinstance(each.tag, str) and each.tag.startswith("onnx-"):
            etree.SubElement(new, each.tag, dict(each.attrib)).text = each.text
    new.text = old.text
    for each in new:
        each.tail = old.text
    new[-1].tail = old[-1].tail if len(old) else old.text
    return new


def _remove(root: Any, embedder: str, folder: Path) -> frozenset[str]:
    """Return the files that nothing points at once an embedder was taken out of a tree."""
    gone = [each for each in components(root) if each.get("id") == embedder]
    paths = {inner.get("path") for each in gone for inner in each if inner.get("path")}
    for each in gone:
        before, parent = each.getprevious(), each.getparent()
        if before is not None:
            before.tail = each.tail
        parent.remove(each)
    kept = {each.get("path") for each in root.iter() if isinstance(each.tag, str)}
    return frozenset(path for path in paths - kept if (folder / path).is_file())


def _still_used(step: Path, upgrades: tuple[SchemaUpgrade, ...]) -> Iterator[str]:
    """Yield what names a field or profile that is to go and does not go itself."""
    fields = {name for each in upgrades for name in each.fields}
    profiles = {name for each in upgrades for kind, name in each.gone if kind == "rank_profile"}
    for schema in read_application(step).schemas:
        where = f"schema {schema.name}"
        named = [(each.name, each.fields) for each in schema.summaries]
        named += [(each.name, each.fields) for each in schema.fieldsets]
        for place, inside in named:
            for name in fields & set(inside):
                yield f"{where}, {place}: names field {name}"
        for profile in schema.rank_profiles:
            for name in profiles & set(profile.inherits) if profile.name not in profiles else ():
                yield f"{where}, rank-profile {profile.name}: inherits {name}"
        for imported in schema.imported_fields:
            if imported.field in fields:
                yield f"{where}, imported field {imported.name}: is field {imported.field}"
