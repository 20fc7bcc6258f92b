"""Two packages compared name by name, and changes of which Vespa takes no notice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vespa_colbert.app.change.inventory import Inventory, Item, inventory

__all__ = ["Comparison", "Difference", "compare_packages"]

EMBED = re.compile(r"\bembed\b(?:\s+([A-Za-z_][\w-]*))?")
KINDS = (
    "schema",
    "struct",
    "field",
    "imported field",
    "index",
    "fieldset",
    "document summary",
    "rank profile",
    "input",
    "expression",
    "constant",
    "onnx model",
    "embedder",
    "component",
    "cluster",
    "file",
)
"""In the order in which differences are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that one package has and the other has not, or has otherwise.

    Attributes:
        change: ``added``, ``removed`` or ``changed``.
        item: What it is, and where.
        parts: Name of a part → its text before and after; all of them where it is new or gone.
    """

    change: str
    item: Item
    parts: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two packages.

    Attributes:
        differences: Name by name.
        warnings: What leaves stored vectors of another meaning, or none, without Vespa's notice.
    """

    differences: tuple[Difference, ...]
    warnings: tuple[str, ...] = ()


def compare_packages(old: Path, new: Path) -> Comparison:
    """Return what differs between two application packages, any packages that Vespa takes.

    Args:
        old: The package that runs.
        new: The package that is to be deployed.

    Raises:
        SpecError: If one has no schema, or its services.xml is not XML.
        SchemaSyntaxError: If a schema cannot be read.
    """
    before, after = inventory(old), inventory(new)
    found = tuple(_differences(before, after))
    warnings = (*_stale(before, after, found), *_empty(after, found))
    return Comparison(differences=found, warnings=warnings)


def _differences(before: Inventory, after: Inventory) -> Iterator[Difference]:
    """Yield what differs; what stands in something that is new or gone goes with it."""
    gone = {each.place for each in before.keys() - after.keys() if each.kind == "rank profile"}
    new = {each.place for each in after.keys() - before.keys() if each.kind == "rank profile"}
    order = {kind: place for place, kind in enumerate(KINDS)}
    for item in sorted(before.keys() | after.keys(), key=lambda it: (order[it.kind], it.place)):
        if item.parent in gone | new:
            continue
        old, late = before.get(item), after.get(item)
        if old == late:
            continue
        change = "added" if old is None else "removed" if late is None else "changed"
        names = dict.fromkeys([*(old or {}), *(late or {})])
        rows = ((name, (old or {}).get(name, ""), (late or {}).get(name, "")) for name in names)
        yield Difference(
            change=change, item=item, parts=tuple(row for row in rows if row[1] != row[2])
        )


def _stale(before: Inventory, after: Inventory, found: tuple[Difference, ...]) -> Iterator[str]:
    """Yield the fields whose vectors were made by an embedder that is another one now.

    Vespa compares indexing statements, and those name the embedder alone.

    Source: IndexingScriptChangeValidator, Vespa 8.700.24.
    """
    changed = {
        each.item.place
        for each in found
        if each.item.kind == "embedder" and each.change == "changed"
    }
    only = len([item for item in after if item.kind == "embedder"]) == 1
    for item, parts in after.items():
        if item.kind != "field" or item not in before:
            continue
        names = {match[1] for match in EMBED.finditer(parts.get("indexing", ""))}
        used = changed if None in names and only else changed & names
        for name in sorted(used):
            yield (
                f"embedder {name} is another one, but {item.place} keeps the vectors of the old one"
                " until every document is indexed again: Vespa does not notice, and scores are "
                "wrong meanwhile; put the new model beside the old (vespa-colbert upgrade)"
            )


def _empty(after: Inventory, found: tuple[Difference, ...]) -> Iterator[str]:
    """Yield the new fields of documents: Vespa fills no such field, and reports none."""
    for each in found:
        is_fed = after.get(each.item, {}).get("in-document") != "False"
        if (each.change, each.item.kind) == ("added", "field") and is_fed:
            yield (
                f"{each.item.place} is new in the document, and empty in every one that is stored: "
                "feed the documents again, or update them with it"
            )
