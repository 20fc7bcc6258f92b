"""Where documents lie: content clusters, their nodes, groups and copies, from services.xml."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vespa_colbert.app.services import SERVICES_FILE, read_services
from vespa_colbert.errors import SpecError

__all__ = ["ContentCluster", "cluster_of", "read_clusters"]

NUMBER = re.compile(r"\s*\[?\s*([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCluster:
    """A content cluster.

    Attributes:
        name: Its id.
        modes: Document type → ``index``, ``streaming`` or ``store-only``.
        nodes: Content nodes, all groups together.
        groups: Groups, each of which holds every document.
        copies: Copies of a document, all groups together.
        searchable_copies: Those of them that are indexed, and so in memory.
        assumed: What was not stated and is taken as one.
    """

    name: str
    modes: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 1
    groups: int = 1
    copies: int = 1
    searchable_copies: int = 1
    assumed: tuple[str, ...] = ()

    @property
    def nodes_a_group(self) -> float:
        """Nodes that share the work of a query."""
        return self.nodes / self.groups


def read_clusters(folder: Path) -> tuple[ContentCluster, ...]:
    """Return the content clusters of an application package; none without a services.xml.

    Raises:
        SpecError: If services.xml cannot be read, or a number in it cannot.
    """
    root = read_services(folder)
    if root is None:
        return ()
    path = folder / SERVICES_FILE
    found = root.iter("content")
    return tuple(_cluster(each, str(path)) for each in found)


def cluster_of(clusters: tuple[ContentCluster, ...], document: str) -> ContentCluster:
    """Return the cluster that holds a document type; one node, one copy where none is stated."""
    for cluster in clusters:
        if document in cluster.modes:
            return cluster
    return ContentCluster(
        name="", assumed=("no content cluster holds it: one node, one copy assumed",)
    )


def _cluster(content: Any, path: str) -> ContentCluster:
    """Return a cluster.

    Source: RedundancyBuilder and Redundancy, Vespa 8.700.24: ``redundancy`` is that of a group
    where nodes are counted (hosted), and of all groups where they are listed.
    """
    modes = {
        each.get("type", ""): each.get("mode", "index")
        for each in content.iterfind("documents/document")
    }
    counted = content.find("nodes[@count]")
    assumed = []
    if counted is not None:
        nodes, groups = _number(counted.get("count"), path), _number(counted.get("groups"), path)
        assumed.append("nodes that are counted: Vespa Cloud; elsewhere Vespa takes one")
        if not (counted.get("count") or "").isdigit():
            assumed.append(f"the lower end of count {counted.get('count')}")
    else:
        nodes, groups = _listed(content)
    if content.find("nodes") is None and content.find("group") is None:
        assumed.append("one node")
    stated = [_element(content, name, path) for name in ("redundancy", "min-redundancy")]
    copies = _copies(stated, groups, hosted=counted is not None)
    said = _element(content, "engine/proton/searchable-copies", path)
    streaming = bool(modes) and set(modes.values()) == {"streaming"}
    ready = _searchable(said, copies, groups, streaming=streaming, hosted=counted is not None)
    return ContentCluster(
        name=content.get("id", "content"),
        modes=modes,
        nodes=nodes,
        groups=groups,
        copies=min(nodes, copies),
        searchable_copies=min(nodes, ready),
        assumed=tuple(assumed),
    )


def _copies(stated: list[int | None], groups: int, *, hosted: bool) -> int:
    """Return the copies of a document in all groups."""
    redundancy, least = stated[0] or 0, stated[1] or 0
    if not hosted:
        return max(redundancy, least, groups, 1)
    return max(redundancy, math.ceil(least / groups), 1) * groups


def _searchable(
    said: int | None, copies: int, groups: int, *, streaming: bool, hosted: bool
) -> int:
    """Return the indexed copies in all groups."""
    of_group = copies // groups
    if said is not None:
        return min(said * groups if hosted else max(said, groups), copies)
    if streaming:
        return copies
    if hosted:
        return groups * (1 if groups > 1 or of_group == 1 else 2)
    return min(copies, max(groups, 2)) if copies > 1 else 1


def _listed(content: Any) -> tuple[int, int]:
    """Return nodes and groups where every node is listed."""
    nodes = len(list(content.iter("node")))
    leaves = [each for each in content.iter("group") if each.find("node") is not None]
    return max(nodes, 1), max(len(leaves), 1)


def _element(content: Any, path: str, where: str) -> int | None:
    found = content.find(path)
    return None if found is None else _number(found.text, where)


def _number(text: str | None, where: str) -> int:
    """Return the number, the lower one of a range, one for nothing.

    Raises:
        SpecError: If it starts with no number.
    """
    if text is None:
        return 1
    if (match := NUMBER.match(text)) is None:
        raise SpecError(f"{where}: expected a number, got {text!r}")
    return max(int(match[1]), 1)
