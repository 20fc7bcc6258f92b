"""Where an application runs: hosts of one's own, or nodes of Vespa Cloud."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vespa_colbert.app.faults import named

__all__ = ["ONE_NODE", "Cloud", "ContentGroup", "Host", "Nodes", "Resources"]

HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
REGION = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
SIZE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?(?:Mb|Gb|Tb|Pb)", re.IGNORECASE)
"""A number and its unit. Source: NodesSpecification.parseGbAmount, Vespa 8.700.24."""

MOST_NODES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine.

    Attributes:
        name: Its name in the network.
        alias: The name that services.xml uses for it.
    """

    name: str
    alias: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentGroup:
    """Content nodes that hold one copy, or several, of all documents.

    Attributes:
        name: Its name.
        key: Its number.
        nodes: Alias and number of each node.
    """

    name: str
    key: int
    nodes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one node of Vespa Cloud is to have; empty parts are left to Vespa.

    Attributes:
        vcpu: Virtual processors.
        memory: As ``16Gb``.
        disk: As ``100Gb``.
        gpu_memory: Memory of its one GPU, as ``16Gb``; empty for no GPU.
    """

    vcpu: int | None = None
    memory: str = ""
    disk: str = ""
    gpu_memory: str = ""

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Attribute of the element ``resources`` → its value."""
        given = {"vcpu": str(self.vcpu or ""), "memory": self.memory, "disk": self.disk}
        return tuple((name, value) for name, value in given.items() if value)

    def faults(self) -> Iterator[str]:
        """Yield why Vespa would not take them; texts may be empty."""
        if self.vcpu is not None and self.vcpu < 1:
            yield f"vcpu: expected 1 or more, got {self.vcpu}"
        for name in ("memory", "disk", "gpu_memory"):
            size = getattr(self, name)
            if size and not SIZE.fullmatch(size):
                yield f"{name}: expected a size such as 16Gb, got {size[:80]!r}"


AS_VESPA_CHOOSES = Resources()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """How many nodes there are, and on which hosts.

    Attributes:
        containers: Nodes that embed, and take queries and documents.
        content: Nodes of each group that hold documents.
        groups: Groups, each of which answers queries alone.
        redundancy: Copies of each document in all groups together.
        hosts: Names of one's own hosts: containers take the first ones, content nodes the last,
            and both share where there are fewer than nodes. Empty for one host, or for Vespa Cloud.
        gpu: Whether models run on the first GPU of their host.

    Source: services.xml and hosts.xml, Vespa 8.700.24.
    """

    containers: int = 1
    content: int = 1
    groups: int = 1
    redundancy: int = 1
    hosts: tuple[str, ...] = ()
    gpu: bool = False

    @property
    def all_content(self) -> int:
        """Content nodes of all groups."""
        return self.content * self.groups

    @property
    def is_single(self) -> bool:
        """Whether one node does everything."""
        return self.containers == self.all_content == 1 and not self.hosts

    @property
    def aliases(self) -> tuple[Host, ...]:
        """The hosts with their aliases; none where there is one host that needs no name."""
        return tuple(
            Host(name=name, alias=f"node{place}") for place, name in enumerate(self.hosts, 1)
        )

    @property
    def container_aliases(self) -> tuple[str, ...]:
        """Alias of the host of each container."""
        return tuple(f"node{place}" for place in range(1, self.containers + 1))

    @property
    def content_groups(self) -> tuple[ContentGroup, ...]:
        """The groups with their nodes."""
        first = max(len(self.hosts), 1) - self.all_content + 1
        return tuple(
            ContentGroup(
                name=f"group{group}",
                key=group,
                nodes=tuple(
                    (f"node{first + key}", key)
                    for key in range(group * self.content, (group + 1) * self.content)
                ),
            )
            for group in range(self.groups)
        )

    @property
    def partitions(self) -> str:
        """How copies are spread over the groups. Source: StorageGroup.computePartitions."""
        copies = -(-self.redundancy // self.groups)
        return "|".join([*[str(copies)] * (self.groups - 1), "*"])

    def faults(self, *, in_cloud: bool) -> Iterator[str]:
        """Yield why no Vespa could run on them; texts may be empty."""
        for name in ("containers", "content", "groups", "redundancy"):
            count = getattr(self, name)
            if not 1 <= count <= MOST_NODES:
                yield f"{name}: expected a number from 1 to {MOST_NODES}, got {count}"
                return
        if self.redundancy > self.all_content:
            yield f"redundancy: expected at most {self.all_content}, got {self.redundancy}"
        yield from (
            f"hosts: expected a host name, got {name[:80]!r}"
            for name in self.hosts
            if not HOST_NAME.fullmatch(name)
        )
        if len(set(self.hosts)) < len(self.hosts):
            yield f"hosts: expected each once, got {list(self.hosts)}"
        least, most = (
            max(self.containers, self.all_content),
            self.containers + self.all_content,
        )
        if in_cloud and self.hosts:
            yield "hosts: Vespa Cloud finds its own; leave them out"
        elif not in_cloud and not self.is_single and not least <= len(self.hosts) <= most:
            yield (
                f"hosts: expected {least} to {most} names for {self.containers} containers and "
                f"{self.all_content} content nodes, got {len(self.hosts)}"
            )


ONE_NODE = Nodes()
"""One node that does everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """What Vespa Cloud has to know.

    Attributes:
        regions: Production regions, as ``aws-us-east-1c``; empty for development alone.
        container: What a container node has.
        content: What a content node has.
    """

    regions: tuple[str, ...] = ()
    container: Resources = AS_VESPA_CHOOSES
    content: Resources = AS_VESPA_CHOOSES

    def faults(self) -> Iterator[str]:
        """Yield why Vespa Cloud would not take it; texts may be empty."""
        yield from (
            f"regions: expected one such as aws-us-east-1c, got {region[:80]!r}"
            for region in self.regions
            if not REGION.fullmatch(region)
        )
        if len(set(self.regions)) < len(self.regions):
            yield f"regions: expected each once, got {list(self.regions)}"
        yield from named("container", *self.container.faults())
        yield from named("content", *self.content.faults())
        if self.content.gpu_memory:
            yield "content: only containers run models on a GPU"
