"""What ``plan`` shows: tables beneath each other, or one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from vespa_colbert.cli.console import table

if TYPE_CHECKING:
    from vespa_colbert.plan import Choice, Lengths, PhaseWork, Plan, Pooled, SchemaPlan

__all__ = ["Planned", "PlannedQuery", "planned_json", "planned_lines"]

ASSUMED_GFLOPS = 10.0
MEMORY = (
    "from the layout of Vespa's tensor stores; links of HNSW graphs at their most; without text "
    "indexes, other attributes and the heap's own needs"
)
OPERATIONS = (
    "a product, a sum, a lookup or a maximum of one number; once a query: products with centroids, "
    "which each thread makes before it ranks"
)
DISK = "documents not compressed, saved attributes estimated; twice the latter while saving"


class PlannedQuery:
    """What a query is taken to do."""

    def __init__(self, *, matched: int | None, gflops: float | None) -> None:
        self.matched, self.gflops = matched, gflops

    @property
    def rate(self) -> float:
        """Thousand million operations a second."""
        return ASSUMED_GFLOPS if self.gflops is None else self.gflops

    def milliseconds(self, operations: float) -> float:
        """Return how long one thread takes."""
        return operations / (self.rate * 1e6)


class Planned(NamedTuple):
    """All that is shown."""

    documents: int
    lengths: Lengths
    query: PlannedQuery
    packages: list[Plan]
    choices: tuple[Choice, ...]
    poolings: tuple[Pooled, ...]


def planned_json(planned: Planned) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    lengths, query = planned.lengths, planned.query
    return {
        "documents": planned.documents,
        "document-tokens": lengths.tokens.document,
        "query-tokens": lengths.query,
        "gflops": {"value": query.rate, "assumed": query.gflops is None},
        "packages": [_as_json(plan, query) for plan in planned.packages],
        "choices": [_choice_json(each, planned.documents) for each in planned.choices],
        "pooling": str(lengths.stored_pooling),
        "poolings": [_pooled_json(each) for each in planned.poolings],
    }


def planned_lines(planned: Planned) -> list[str]:
    """Return what is printed otherwise, line by line."""
    lengths, query = planned.lengths, planned.query
    lines = [line for plan in planned.packages for line in _lines(plan, lengths, query)]
    if len(planned.packages) > 1:
        lines += _beside(planned.packages)
    lines += _choice_lines(planned.choices, planned.documents)
    return lines + _pooled_lines(planned.poolings, lengths) + _assumptions(query)


def _size(number: float) -> str:
    """Return bytes in units of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.2f} {unit}"
        number /= 1000
    return f"{number:.2f} TB"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _lines(plan: Plan, lengths: Lengths, query: PlannedQuery) -> list[str]:
    lines = [str(plan.path)]
    for schema in plan.schemas:
        lines += [*_memory_lines(schema), *_work_lines(schema, lengths, query), ""]
    return lines


def _memory_lines(schema: SchemaPlan) -> list[str]:
    cluster = schema.cluster
    where = (
        f"{cluster.nodes} nodes in {cluster.groups} groups, {cluster.copies} copies, "
        f"{cluster.searchable_copies} searchable"
    )
    rows = [("field", "type", "vectors", "bytes a vector", "bytes a document", "settings")]
    rows += [
        (
            each.name,
            str(each.type),
            f"{'at most ' if each.is_at_most else ''}{_count(each.vectors)}",
            str(each.vector_bytes),
            f"{each.bytes_a_document:,.0f}",
            " ".join(each.settings) or "-",
        )
        for each in schema.fields
    ]
    totals = [
        ("memory of tensor attributes", _size(schema.memory)),
        ("the same, growing stores at their fullest", _size(schema.reserved)),
        ("  on each node", _size(schema.reserved / cluster.nodes)),
        *(
            (
                f"constant {each.name} {each.type}, its cells on each node",
                f"not known: {each.fault}" if each.fault else _size(each.cell_bytes),
            )
            for each in schema.constants
        ),
        ("disk: paged attributes", _size(schema.paged)),
        ("disk: saved attributes", _size(schema.saved)),
        ("disk: documents, not compressed", _size(schema.document_store)),
    ]
    said = [f"  assumed: {each}" for each in cluster.assumed]
    head = f"schema {schema.name}, {schema.documents:,} documents; {where}"
    return [head, *said, *table(rows), *table(totals)]


def _work_lines(schema: SchemaPlan, lengths: Lengths, query: PlannedQuery) -> list[str]:
    counted = "documents a node", "operations a document", "once a query"
    rows: list[tuple[str, ...]] = [("profile", "phase", *counted, "ms", "kernel")]
    for profile in schema.profiles:
        if profile.fault:
            rows.append((profile.name, "-", "-", "-", "-", "-", f"not read: {profile.fault}"))
        for phase in profile.phases:
            ranked = schema.ranked(phase, query.matched)
            spent = query.milliseconds(phase.operations * ranked + phase.operations_once)
            fast = all(each.verdict.applies for each in phase.max_sims)
            rows.append((
                profile.name,
                phase.phase,
                _count(ranked),
                _count(phase.operations),
                _count(phase.operations_once),
                f"{'' if fast else 'over '}{spent:,.1f}",
                _kernels(phase),
            ))
    if len(rows) == 1:
        return ["  no profile has a MaxSim"]
    return [f"a query of {lengths.query} token vectors, MaxSim alone", *table(rows)]


def _kernels(phase: PhaseWork) -> str:
    said = (each.verdict.kernel or f"none: {each.verdict.reason}" for each in phase.max_sims)
    return "; ".join(dict.fromkeys(said))


def _choice_lines(beside: tuple[Choice, ...], documents: int) -> list[str]:
    if not beside:
        return []
    head = ("field", "holds", "bytes a document", "memory, one copy", "operations a document")
    rows = [(*head, "kernel")]
    rows += [
        (
            str(each.type),
            f"dim {each.dims}, {each.bits}-bit residuals" if each.bits else f"dim {each.dims}",
            f"{each.document_bytes:,.0f}",
            _size(each.document_bytes * documents),
            _count(each.work.operations),
            each.work.verdict.kernel or f"none: {each.work.verdict.reason}",
        )
        for each in beside
    ]
    said = "cell types, residuals and dims beside each other, without the centroids on each node"
    return [said, *table(rows), ""]


def _pooled_lines(pooled: tuple[Pooled, ...], lengths: Lengths) -> list[str]:
    said = [f"token pooling of what is planned above: {lengths.stored_pooling}"]
    if not pooled:
        return [*said, ""] if lengths.stored_pooling.is_active else []
    rows = [("factor", "vectors", "bytes a document", "memory", "most operations a document")]
    rows += [
        (
            f"{each.pooling.factor:g}",
            _count(each.vectors),
            f"{each.document_bytes:,.0f}",
            _size(each.memory),
            _count(each.operations),
        )
        for each in pooled
    ]
    return [*said, *table(rows), ""]


def _beside(plans: list[Plan]) -> list[str]:
    rows = [("package", "schema", "bytes a document", "memory", "disk")]
    rows += [
        (
            str(plan.path),
            schema.name,
            f"{sum(each.bytes_a_document for each in schema.fields):,.0f}",
            _size(schema.memory),
            _size(schema.disk),
        )
        for plan in plans
        for schema in plan.schemas
    ]
    return ["both packages", *table(rows), ""]


def _assumptions(query: PlannedQuery) -> list[str]:
    rate = (
        f"{query.rate:g} thousand million operations a second on one thread"
        if query.gflops is not None
        else f"ASSUMED, not measured: {query.rate:g} thousand million operations a second on one "
        "thread; measure yours and give it as --gflops"
    )
    return [
        f"operations: {OPERATIONS}",
        f"ms: {rate}; over where no kernel applies, and all products are made and kept first",
        f"memory: {MEMORY}",
        f"disk: {DISK}",
    ]


def _as_json(plan: Plan, query: PlannedQuery) -> dict[str, Any]:
    return {
        "application": plan.path,
        "schemas": [_schema_json(schema, query) for schema in plan.schemas],
    }


def _schema_json(schema: SchemaPlan, query: PlannedQuery) -> dict[str, Any]:
    return {
        "schema": schema.name,
        "cluster": asdict(schema.cluster),
        "fields": [
            {
                "field": each.name,
                "type": str(each.type),
                "vectors": each.vectors,
                "at-most": each.is_at_most,
                "vector-bytes": each.vector_bytes,
                "document-bytes": each.bytes_a_document,
                "settings": each.settings,
            }
            for each in schema.fields
        ],
        "constants": [
            {
                "constant": each.name,
                "type": str(each.type),
                "cell-bytes-on-a-node": each.cell_bytes,
                "fault": each.fault or None,
            }
            for each in schema.constants
        ],
        "memory-bytes": schema.memory,
        "reserved-bytes": schema.reserved,
        "paged-bytes": schema.paged,
        "saved-bytes": schema.saved,
        "document-store-bytes": schema.document_store,
        "profiles": [
            {
                "profile": profile.name,
                "fault": profile.fault or None,
                "phases": [_phase_json(schema, phase, query) for phase in profile.phases],
            }
            for profile in schema.profiles
        ],
    }


def _phase_json(schema: SchemaPlan, phase: PhaseWork, query: PlannedQuery) -> dict[str, Any]:
    ranked = schema.ranked(phase, query.matched)
    return {
        "phase": phase.phase,
        "documents-on-a-node": ranked,
        "operations-of-a-document": phase.operations,
        "operations-once-a-query": phase.operations_once,
        "milliseconds": query.milliseconds(phase.operations * ranked + phase.operations_once),
        "max-sims": [
            {
                "expression": each.expression,
                "kernel": each.verdict.kernel or None,
                "reason": each.verdict.reason or None,
            }
            for each in phase.max_sims
        ],
    }


def _pooled_json(pooled: Pooled) -> dict[str, Any]:
    return {
        "pool-factor": pooled.pooling.factor,
        "protected-tokens": pooled.pooling.protected,
        "vectors": pooled.vectors,
        "document-bytes": pooled.document_bytes,
        "memory-bytes": pooled.memory,
        "operations-of-a-document": pooled.operations,
    }


def _choice_json(choice: Choice, documents: int) -> dict[str, Any]:
    return {
        "type": str(choice.type),
        "dims": choice.dims,
        "bits-of-residual": choice.bits or None,
        "vector-bytes": choice.vector_bytes,
        "document-bytes": choice.document_bytes,
        "memory-bytes": choice.document_bytes * documents,
        "operations-of-a-document": choice.work.operations,
        "kernel": choice.work.verdict.kernel or None,
        "reason": choice.work.verdict.reason or None,
    }
