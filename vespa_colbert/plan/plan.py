"""What an application package needs for a number of documents: memory, disk, work of a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vespa_colbert.app.blocks import read_blocks
from vespa_colbert.app.field import Field
from vespa_colbert.app.profile import Constant
from vespa_colbert.app.reader import read_application
from vespa_colbert.app.schema import Schema
from vespa_colbert.app.source import SCHEMA_FOLDERS
from vespa_colbert.errors import SpecError, VespaColbertError
from vespa_colbert.index.embedding import embedded_fields
from vespa_colbert.plan.measure import Lengths, mean
from vespa_colbert.plan.memory import (
    GROWTH,
    GraphSettings,
    StoredTensor,
    stored_tensor,
    subspace_bytes,
)
from vespa_colbert.plan.nodes import ContentCluster, cluster_of, read_clusters
from vespa_colbert.plan.work import PhaseWork, ProfileWork, profile_work
from vespa_colbert.rank.features.constants import read_constant_file
from vespa_colbert.rank.shapes import Similarity
from vespa_colbert.tensor import TensorType

__all__ = ["ConstantPlan", "FieldPlan", "Plan", "SchemaPlan", "plan_application"]

MAX_LINKS = re.compile(r"max-links-per-node\s*:\s*([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlan:
    """A tensor field.

    Attributes:
        name: Its name.
        type: Its type.
        vectors: Vectors of a document, on average; where it has none, weights of tokens, of which
            there are at most as many as tokens.
        vector_bytes: Bytes of the cells of one of them.
        stored: Bytes of a document on average, all zero but ``saved`` where it is no attribute.
        settings: ``fast-rank``, ``paged``, ``hnsw``, as far as it states them.
    """

    name: str
    type: TensorType
    vectors: float
    vector_bytes: int
    stored: StoredTensor
    settings: tuple[str, ...] = ()

    @property
    def is_at_most(self) -> bool:
        """Whether a document may hold less: a token that is there again has one weight."""
        return bool(self.type.mapped) and not self.type.indexed

    @property
    def bytes_a_document(self) -> float:
        """Bytes of a document's attribute, in memory and paged, the graph included."""
        return self.stored.memory + self.stored.paged + self.stored.graph


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantPlan:
    """A tensor in a file that every node holds, as the centroids of residuals.

    Attributes:
        name: Its name.
        type: Its type.
        cell_bytes: Bytes of its cells; 0 where the file cannot be read.
        vectors: How many subspaces it has; 0 where the file cannot be read.
        fault: Why it cannot, else empty.
    """

    name: str
    type: TensorType
    cell_bytes: int
    vectors: int
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaPlan:
    """One schema.

    Attributes:
        name: Its name.
        documents: How many there are.
        cluster: Where they lie.
        fields: Its tensor fields.
        profiles: Its rank profiles with a MaxSim, and those that could not be read.
        text_bytes: Bytes of a document's texts.
        constants: Its constants in files.
    """

    name: str
    documents: int
    cluster: ContentCluster
    fields: tuple[FieldPlan, ...]
    profiles: tuple[ProfileWork, ...]
    text_bytes: float
    constants: tuple[ConstantPlan, ...] = ()

    @property
    def constant_bytes(self) -> int:
        """Bytes in memory of the cells of constants, on each node."""
        return sum(each.cell_bytes for each in self.constants)

    def _all(self, of: Callable[[StoredTensor], float]) -> float:
        copies = self.documents * self.cluster.searchable_copies
        return copies * sum(of(field.stored) for field in self.fields)

    @property
    def memory(self) -> float:
        """Bytes in memory of all tensor attributes, all nodes together."""
        return self._all(lambda stored: stored.memory + stored.graph)

    @property
    def reserved(self) -> float:
        """Bytes in memory with what growing stores reserve at most."""
        return self.memory * (1 + GROWTH)

    @property
    def paged(self) -> float:
        """Bytes of paged attributes on disk, all nodes together."""
        return self._all(lambda stored: stored.paged)

    @property
    def saved(self) -> float:
        """Bytes of the files that attributes are saved to, all nodes together."""
        return sum(
            self.documents * self.cluster.searchable_copies * field.stored.saved
            for field in self.fields
            if field.stored.memory
        )

    @property
    def document_store(self) -> float:
        """Bytes of the documents themselves, not compressed, all nodes together.

        Source: StoreOnlyFeedView.putSummary, Vespa 8.700.24: the whole document is kept, with the
        tensors that were derived.
        """
        of_one = self.text_bytes + sum(field.stored.saved for field in self.fields)
        return self.documents * self.cluster.copies * of_one

    @property
    def disk(self) -> float:
        """Bytes on disk, all nodes together."""
        return self.paged + self.saved + self.document_store

    def ranked(self, phase: PhaseWork, matched: int | None) -> float:
        """Return how many documents a phase ranks on one node.

        Args:
            phase: The phase.
            matched: Documents that match a query; all of them when absent.
        """
        of_group = self.documents if matched is None else min(matched, self.documents)
        on_node = of_group / self.cluster.nodes_a_group
        if phase.count is None:
            return on_node
        if phase.phase == "global-phase":
            return min(phase.count, of_group)
        shared = self.cluster.nodes_a_group if phase.is_total else 1
        return min(phase.count / shared, on_node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a package needs.

    Attributes:
        path: The package.
        schemas: Those with a tensor field.
    """

    path: Path
    schemas: tuple[SchemaPlan, ...]

    @property
    def dims(self) -> int:
        """Components of the widest token vector that a MaxSim compares, 0 if there is none."""
        widths = (
            each.width
            for schema in self.schemas
            for profile in schema.profiles
            for phase in profile.phases
            for each in phase.max_sims
            if each.similarity is Similarity.PRODUCT
        )
        return max(widths, default=0)


def plan_application(folder: Path, documents: int, lengths: Lengths, schema: str = "") -> Plan:
    """Return what an application package needs, any package that Vespa takes.

    Args:
        folder: The package.
        documents: Documents of each schema.
        lengths: How long documents and queries are.
        schema: The one schema to look at; all of them when empty.

    Raises:
        SpecError: If there is no such schema, or none has a tensor; or if vectors are to be pooled
            that Vespa itself makes.
        SchemaSyntaxError: If a schema cannot be read.
    """
    application = read_application(folder)
    read = (application.schema(schema),) if schema else application.schemas
    clusters = read_clusters(folder)
    planned = (
        _schema(folder, each, cluster_of(clusters, each.name), documents, lengths)
        for each in read
        if not each.is_document
    )
    with_tensors = tuple(each for each in planned if each.fields)
    if not with_tensors:
        raise SpecError(f"{folder}: expected a schema with a tensor field, there is none")
    return Plan(path=folder, schemas=with_tensors)


def _schema(
    folder: Path, schema: Schema, cluster: ContentCluster, documents: int, lengths: Lengths
) -> SchemaPlan:
    if lengths.pooling.is_active:
        _require_fed(schema)
    is_indexed = cluster.modes.get(schema.name, "index") == "index"
    fields = tuple(
        _field(folder, schema, field, kind, lengths, is_indexed=is_indexed)
        for field in schema.all_fields
        if (kind := field.tensor_type) is not None
    )
    constants = tuple(_constant(folder, each) for each in _constants(schema))
    vectors = {each.name: each.vectors for each in constants if not each.fault}
    work = (profile_work(schema, name, lengths.tokens, vectors) for name in schema.profile_names)
    return SchemaPlan(
        name=schema.name,
        documents=documents,
        cluster=cluster,
        fields=fields,
        profiles=tuple(each for each in work if each.phases or each.fault),
        text_bytes=lengths.text_bytes,
        constants=constants,
    )


def _require_fed(schema: Schema) -> None:
    """Return nothing if whoever feeds makes the token vectors.

    Raises:
        SpecError: If Vespa's own embedder does, which cannot pool.
    """
    if names := embedded_in_vespa(schema):
        raise SpecError(
            f"schema {schema.name}: Vespa's own embedder fills {', '.join(names)} and cannot pool; "
            'generate the package with embeddings = "client" under [tokens], or plan without '
            "pooling (--pool-factor 1)"
        )


def embedded_in_vespa(schema: Schema) -> tuple[str, ...]:
    """Return the fields of token vectors that Vespa's own embedder fills."""
    return tuple(
        name
        for name, each in embedded_fields(schema).items()
        if each.holds_tokens and not schema.field(name).in_document
    )


def _constants(schema: Schema) -> list[Constant]:
    """Return the constants in files, of the schema and of its profiles, each once."""
    of_profiles = (each for profile in schema.rank_profiles for each in profile.constants)
    found = {each.name: each for each in (*schema.all_constants, *of_profiles)}
    return [each for each in found.values() if each.file]


def _constant(folder: Path, constant: Constant) -> ConstantPlan:
    try:
        values = read_constant_file(folder / constant.file, constant.type).values
    except VespaColbertError as error:
        cells, vectors, fault = 0, 0, str(error).split("\n")[0]
    else:
        cells, vectors, fault = values.nbytes, len(values), ""
    return ConstantPlan(
        name=constant.name, type=constant.type, cell_bytes=cells, vectors=vectors, fault=fault
    )


def _field(
    folder: Path,
    schema: Schema,
    field: Field,
    kind: TensorType,
    lengths: Lengths,
    *,
    is_indexed: bool,
) -> FieldPlan:
    """Return the plan of a tensor field, averaged over the lengths of documents."""
    is_attribute = field.is_attribute and is_indexed
    words = {each.partition(":")[0] for each in (*field.attribute, *field.index)}
    in_graph = "index" in " ".join(field.indexing).split()
    graph = _graph(folder, schema.name, field.name) if is_attribute and in_graph else None
    counts: Mapping[int, int] = {1: 1}
    if kind.mapped:
        counts = lengths.of(field.name) if kind.indexed else lengths.tokens_of(field.name)
    is_kept_ready = bool(words & {"fast-rank", "fast-search"})
    stored = _averaged(
        counts,
        lambda vectors: stored_tensor(
            kind, vectors, fast_rank=is_kept_ready, paged="paged" in words, graph=graph
        ),
    )
    return FieldPlan(
        name=field.name,
        type=kind,
        vectors=mean(counts),
        vector_bytes=subspace_bytes(kind),
        stored=stored if is_attribute else replace(stored, memory=0, paged=0),
        settings=tuple(sorted(words & {"fast-rank", "paged"} | ({"hnsw"} if graph else set()))),
    )


def _averaged(counts: Mapping[int, int], of: Callable[[int], StoredTensor]) -> StoredTensor:
    """Return the bytes of a document on average.

    Args:
        counts: Number of vectors → documents that have so many.
        of: Says what a document of so many vectors takes.
    """
    each = [(of(number), documents) for number, documents in counts.items()]
    documents = sum(counts.values())
    return StoredTensor(
        memory=sum(stored.memory * times for stored, times in each) / documents,
        paged=sum(stored.paged * times for stored, times in each) / documents,
        graph=sum(stored.graph * times for stored, times in each) / documents,
        saved=sum(stored.saved * times for stored, times in each) / documents,
    )


def _graph(folder: Path, schema: str, field: str) -> GraphSettings:
    """Return the settings of a field's graph; Vespa's own where its schema file states none."""
    paths = (folder / place / f"{schema}.sd" for place in SCHEMA_FOLDERS)
    path = next((each for each in paths if each.is_file()), None)
    found = None if path is None else MAX_LINKS.search(read_blocks(path).of("field", field))
    return GraphSettings() if found is None else GraphSettings(max_links=max(int(found[1]), 2))
