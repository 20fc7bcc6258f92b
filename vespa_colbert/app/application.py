"""What an application package says beside its schemas, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import Component, PackagedFile, Pairs
from vespa_colbert.app.faults import named, repeated
from vespa_colbert.app.nodes import ONE_NODE, Cloud, Nodes
from vespa_colbert.app.query import Query
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.texts import cluster_name_fault
from vespa_colbert.errors import SpecError

__all__ = ["MINIMUM_VESPA_VERSION", "VERSION", "ApplicationSpec"]

MINIMUM_VESPA_VERSION = "8.338.38"
"""What Vespa's own ColBERT application asks for. Source: sample-apps, colbert/app/services.xml."""

VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,6}\.[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSpec:
    """An application package to be printed.

    Attributes:
        name: Id of the content cluster and namespace of document ids.
        schemas: At least one.
        mode: How the content cluster finds documents: ``index`` or ``streaming``.
        components: Components of the container that turn text into tensors.
        models: Files beside those of the components.
        queries: How rank profiles are asked.
        query_profiles: Whether a query profile is printed for each that Vespa can fill itself.
        nodes: Where it runs.
        cloud: What Vespa Cloud has to know; ``None`` for hosts of one's own.
        minimum_vespa_version: Lowest release to accept; raised where an element needs a later one.

    Raises:
        SpecError: With every fault found.
    """

    name: str
    schemas: tuple[Schema, ...]
    mode: str = "index"
    components: tuple[Component, ...] = ()
    models: tuple[PackagedFile, ...] = ()
    queries: tuple[Query, ...] = ()
    query_profiles: bool = True
    nodes: Nodes = ONE_NODE
    cloud: Cloud | None = None
    minimum_vespa_version: str = MINIMUM_VESPA_VERSION

    def __post_init__(self) -> None:
        if faults := tuple(_faults(self)):
            raise SpecError(f"application {self.name[:80]!r} is not valid", faults)

    @property
    def required_vespa_version(self) -> str:
        """The lowest release that can run the package."""
        needed = [self.minimum_vespa_version, *(each.since for each in self.components)]
        return max(filter(None, needed), key=lambda text: [int(part) for part in text.split(".")])

    @property
    def embedders(self) -> tuple[Embedder, ...]:
        """The components that make token vectors."""
        return tuple(each for each in self.components if isinstance(each, Embedder))

    @property
    def onnx_elements(self) -> Pairs:
        """Elements of each component that runs a model, beside its own."""
        return (("onnx-gpu-device", "0"),) if self.nodes.gpu else ()

    @property
    def profiled_queries(self) -> tuple[Query, ...]:
        """The queries that get a query profile: Vespa fills all their inputs."""
        if not self.query_profiles:
            return ()
        return tuple(each for each in self.queries if all(source for _, source in each.inputs))

    @property
    def files(self) -> tuple[PackagedFile, ...]:
        """The model files that travel in the package."""
        read = (file for component in self.components for _, file in component.models)
        return (*(file for file in read if isinstance(file, PackagedFile)), *self.models)


def _faults(spec: ApplicationSpec) -> Iterator[str]:
    """Yield why Vespa would not take the application."""
    yield from named("name", cluster_name_fault(spec.name))
    if not spec.schemas:
        yield "expected at least one schema"
    if spec.mode not in {"index", "streaming"}:
        yield f"mode: expected index or streaming, got {spec.mode!r}"
    if not VERSION.fullmatch(spec.minimum_vespa_version):
        yield f"Vespa version: expected one such as 8.338.38, got {spec.minimum_vespa_version!r}"
    yield from repeated("schema", spec.schemas)
    yield from repeated("component", spec.components)
    for component in spec.components:
        yield from named(f"component {component.name[:80]!r}", *component.faults())
    yield from named("nodes", *spec.nodes.faults(in_cloud=spec.cloud is not None))
    yield from named("cloud", *(spec.cloud.faults() if spec.cloud else ()))
    paths = [file.path for file in spec.files]
    yield from (f"two files are to stand at {path}" for path in set(paths) if paths.count(path) > 1)
