"""The tables of a recipe that say where the application runs."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal

from pydantic import Field

from vespa_colbert.app.nodes import Cloud, Nodes, Resources
from vespa_colbert.recipe.table import Table

__all__ = ["CloudTable", "NodesTable"]


class NodesTable(Table):
    """Where the application runs."""

    target: Literal["hosts", "cloud"] = Field(
        default="hosts", description="Hosts of your own, or Vespa Cloud."
    )
    containers: int = Field(
        default=1, ge=1, description="Nodes that embed, and take queries and documents."
    )
    content: int = Field(default=1, ge=1, description="Nodes of each group that hold documents.")
    groups: int = Field(default=1, ge=1, description="Groups, each of which answers alone.")
    redundancy: int = Field(default=1, ge=1, description="Copies of a document in all groups.")
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Names of your hosts: containers take the first, content nodes the last.",
    )
    gpu: bool = Field(default=False, description="Whether models run on the GPU of their host.")

    @property
    def nodes(self) -> Nodes:
        """What the generator takes."""
        return Nodes(**{each.name: getattr(self, each.name) for each in fields(Nodes)})


class CloudTable(Table):
    """What Vespa Cloud is asked for, where it is the target; empty keys are left to it."""

    regions: tuple[str, ...] = Field(
        default=(), description="Production regions, such as aws-us-east-1c."
    )
    container_vcpu: int | None = Field(
        default=None, ge=1, description="Virtual processors of a container node.", examples=[4]
    )
    container_memory: str = Field(default="", description="Its memory, such as 16Gb.")
    container_disk: str = Field(default="", description="Its disk, such as 125Gb.")
    gpu_memory: str = Field(default="", description="Memory of its GPU, such as 16Gb.")
    content_vcpu: int | None = Field(
        default=None, ge=1, description="Virtual processors of a content node.", examples=[4]
    )
    content_memory: str = Field(default="", description="Its memory.")
    content_disk: str = Field(default="", description="Its disk.")

    @property
    def cloud(self) -> Cloud:
        """What the generator takes."""
        return Cloud(
            regions=self.regions,
            container=Resources(
                vcpu=self.container_vcpu,
                memory=self.container_memory,
                disk=self.container_disk,
                gpu_memory=self.gpu_memory,
            ),
            content=Resources(
                vcpu=self.content_vcpu, memory=self.content_memory, disk=self.content_disk
            ),
        )
