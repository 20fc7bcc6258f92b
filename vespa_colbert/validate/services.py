"""What ``services.xml`` says of embedders and content clusters, with lines.

The file is read without entities, without the network and without the files that it includes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.app.services import SERVICES_FILE, read_xml
from vespa_colbert.validate.findings import Place

__all__ = ["Component", "Content", "Services", "Setting", "read_services"]

DEPLOY = "{vespa}"
"""Namespace of attributes that say where an element counts: ``deploy:environment="prod"``."""
NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An element of a component.

    Attributes:
        place: Where it stands.
        text: What it holds.
        path: Its attribute ``path``, a file of the package; else empty.
    """

    place: Place
    text: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A component of a container.

    Attributes:
        name: Its id.
        kind: Its type, ``colbert-embedder``; empty for a class of somebody's own.
        place: Where it stands.
        settings: Element → what it says, the last of several.
    """

    name: str
    kind: str
    place: Place
    settings: dict[str, Setting] = field(default_factory=dict)

    def text(self, name: str, default: str) -> str:
        """Return what an element says, or Vespa's default."""
        found = self.settings.get(name)
        return found.text if found is not None and found.text else default

    def number(self, name: str, default: int) -> int:
        """Return the number that an element says, or Vespa's default."""
        text = self.text(name, str(default))
        return int(text) if text.isdecimal() else default

    def place_of(self, name: str) -> Place:
        """Return where an element stands; the component's own place if it is not there."""
        found = self.settings.get(name)
        return self.place if found is None else found.place


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A content cluster.

    Attributes:
        name: Its id.
        modes: Document type → ``index``, ``streaming`` or ``store-only``.
        nodes: Nodes that a query is spread over; of the largest group if there are groups.
    """

    name: str
    modes: dict[str, str]
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What is read of the file.

    Attributes:
        place: Where ``<services>`` stands.
        minimum_vespa_version: As stated; empty for none.
        components: Of all containers.
        contents: All content clusters.
        includes: Elements that bring in other files, which are not read.
    """

    place: Place
    minimum_vespa_version: str
    components: tuple[Component, ...]
    contents: tuple[Content, ...]
    includes: tuple[Place, ...]

    def mode(self, schema: str) -> str:
        """Return how documents of a schema are kept; ``index`` if nothing says."""
        found = (each.modes[schema] for each in self.contents if schema in each.modes)
        return next(found, "index")


def read_services(folder: Path) -> Services:
    """Return what the file of a package says.

    Raises:
        SpecError: If there is none, or it is not XML.
    """
    root = read_xml(folder / SERVICES_FILE, comments=False)
    clusters = [root] if root.tag in {"container", "content"} else list(root)
    components = [
        _component(each)
        for cluster in clusters
        if cluster.tag in {"container", "jdisc"}
        for each in cluster.iter("component")
    ]
    return Services(
        place=_place(root),
        minimum_vespa_version=root.get("minimum-required-vespa-version", ""),
        components=tuple(components),
        contents=tuple(_content(each) for each in clusters if each.tag == "content"),
        includes=tuple(_includes(root)),
    )


def _place(element: Any) -> Place:
    return Place(file=SERVICES_FILE, line=element.sourceline)


def _includes(root: Any) -> Iterator[Place]:
    for each in root.iter():
        if isinstance(each.tag, str) and each.tag.rpartition("}")[2] == "include":
            yield _place(each)


def _component(element: Any) -> Component:
    settings = {
        each.tag: Setting(
            place=_place(each), text=(each.text or "").strip(), path=each.get("path", "")
        )
        for each in element
        if isinstance(each.tag, str)
    }
    return Component(
        name=element.get("id", ""),
        kind=element.get("type", ""),
        place=_place(element),
        settings=settings,
    )


def _content(element: Any) -> Content:
    documents = element.findall("documents/document")
    return Content(
        name=element.get("id", ""),
        modes={each.get("type", ""): each.get("mode", "index") for each in documents},
        nodes=_nodes(element),
    )


def _nodes(cluster: Any) -> int:
    """Return how many nodes a query is spread over, 1 where that is not said in numbers."""
    groups = [len(each.findall("node")) for each in cluster.iter("group")]
    found = [*groups, *(_count(each) for each in cluster.findall("nodes"))]
    return max(found, default=1) or 1


def _count(nodes: Any) -> int:
    """Return the nodes of a group that a ``<nodes>`` element states.

    Elements that count in some environments only are left out.
    """
    if any(str(name).startswith(DEPLOY) for name in nodes.attrib):
        return 1
    count, groups = (NUMBER.search(nodes.get(name, "")) for name in ("count", "groups"))
    if count is None:
        return len(nodes.findall("node"))
    return int(count[0]) // max(1, int(groups[0]) if groups else 1)
