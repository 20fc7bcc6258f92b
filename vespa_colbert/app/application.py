"""What an application package says beside its schemas, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vespa_colbert.app.colbert_embedder import Embedder
from vespa_colbert.app.component import (
    Component,
    Element,
    PackagedFile,
    Pairs,
    RemoteFile,
    file_fault,
)
from vespa_colbert.app.faults import named, repeated
from vespa_colbert.app.field import Field
from vespa_colbert.app.nodes import ONE_NODE, Cloud, Nodes
from vespa_colbert.app.query import Query
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.sent import (
    holds_residuals,
    is_embedded,
    is_token_input,
    literal_example,
)
from vespa_colbert.app.texts import cluster_name_fault, name_fault
from vespa_colbert.errors import SpecError
from vespa_colbert.tensor import TensorType

__all__ = ["MINIMUM_VESPA_VERSION", "VERSION", "ApplicationSpec"]

MINIMUM_VESPA_VERSION = "8.338.38"
"""What Vespa's own ColBERT application asks for. Source: sample-apps, colbert/app/services.xml."""

QUERY_PROFILE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:-+[A-Za-z_][A-Za-z0-9_]*)*")
"""Names that a file of a query profile can have: no number after a dash, which is its version.

Source: QueryProfileXMLReader and ComponentId.fromFileName, Vespa 8.700.24.
"""

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
        fed: Tensor field that whoever feeds fills → the indexing statement that says with what;
            empty where no model of the recipe makes it.
        query_profiles: Whether a query profile is printed for each that Vespa can fill itself.
        nodes: Where it runs.
        cloud: What Vespa Cloud has to know; ``None`` for hosts of one's own.
        since: The first release that runs its schemas as they are run here; empty where any does.
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
    fed: Pairs = ()
    since: str = ""
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
        needed = [self.minimum_vespa_version, self.since, *(c.since for c in self.components)]
        return max(filter(None, needed), key=lambda text: [int(part) for part in text.split(".")])

    @property
    def embedders(self) -> tuple[Embedder, ...]:
        """The components that make token vectors."""
        return tuple(each for each in self.components if isinstance(each, Embedder))

    @property
    def onnx_elements(self) -> tuple[Element, ...]:
        """Elements of each component that runs a model, beside its own."""
        return (Element("onnx-gpu-device", "0"),) if self.nodes.gpu else ()

    @property
    def profiled_queries(self) -> tuple[Query, ...]:
        """The queries that get a query profile: Vespa fills all their inputs."""
        if not self.query_profiles:
            return ()
        return tuple(each for each in self.queries if all(source for _, source in each.inputs))

    def sends_tokens(self, query: Query) -> bool:
        """Return whether whoever asks sends token vectors, which the recipe's model makes."""
        return any(is_token_input(name, kind) for name, kind in self._sent(query).items())

    def sent_literals(self, query: Query) -> tuple[tuple[str, str], ...]:
        """Return name and literal, for a reader to fill in, of what no model here makes."""
        return tuple(
            (name, literal_example(kind))
            for name, kind in self._sent(query).items()
            if not is_token_input(name, kind)
        )

    def _sent(self, query: Query) -> dict[str, TensorType]:
        """Return the inputs that whoever asks sends, as far as the rank profile has them."""
        owner = next(each for each in self.schemas if query.profile in each.profile_names)
        types = owner.profile(query.profile).input_types
        return {name: types[name] for name in query.sent if name in types}

    def fed_fields(self, schema: Schema, *, by_model: bool) -> tuple[Field, ...]:
        """Return the tensor fields that whoever feeds fills: by the model of the recipe, or not."""
        statements = dict(self.fed)
        return tuple(
            each
            for each in schema.document_fields
            if each.name in statements and is_embedded(statements[each.name]) is by_model
        )

    def feeds_residuals_alone(self, schema: Schema) -> bool:
        """Return whether residuals of a codec are all that whoever feeds sends beside texts."""
        kinds = [each.tensor_type for each in schema.document_fields if each.name in dict(self.fed)]
        return bool(kinds) and all(kind is not None and holds_residuals(kind) for kind in kinds)

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
        version = spec.minimum_vespa_version[:80]
        yield f"Vespa version: expected one such as 8.338.38, got {version!r}"
    yield from repeated("schema", spec.schemas)
    yield from repeated("component", spec.components)
    for component in spec.components:
        yield from named(f"component {component.name[:80]!r}", *component.faults())
        yield from _place_faults(component, in_cloud=spec.cloud is not None)
    yield from named("nodes", *spec.nodes.faults(in_cloud=spec.cloud is not None))
    yield from named("cloud", *(spec.cloud.faults() if spec.cloud else ()))
    yield from named("files", *(file_fault(file) for file in spec.models))
    yield from _query_faults(spec)
    paths = [file.path for file in spec.files]
    yield from (f"two files are to stand at {path}" for path in set(paths) if paths.count(path) > 1)


def _query_faults(spec: ApplicationSpec) -> Iterator[str]:
    """Yield queries that could not be printed, or ask for what no schema has."""
    known = {name for schema in spec.schemas for name in schema.profile_names}
    for query in spec.queries:
        what = f"query {query.profile[:80]!r}"
        yield from named(what, "" if query.profile in known else "there is no such rank profile")
        yield from named(what, *query.faults())
        if query in spec.profiled_queries and not QUERY_PROFILE.fullmatch(query.profile):
            yield f"{what}: no rank-profile named so can have a query profile; leave them out"
        yield from named(what, *(name_fault(name) for name, _ in query.inputs))


def _place_faults(component: Component, *, in_cloud: bool) -> Iterator[str]:
    """Yield models of Vespa Cloud that a component is to have elsewhere."""
    for element, file in component.models:
        if isinstance(file, RemoteFile) and not (file.url or in_cloud):
            what = f"component {component.name[:80]!r}: {element}"
            yield f"{what}: only Vespa Cloud has {file.model_id[:80]!r}; state a URL"
