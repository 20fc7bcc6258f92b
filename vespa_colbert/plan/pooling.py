"""Token pooling: what a package needs with some factors, beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vespa_colbert.app.reader import read_application
from vespa_colbert.embedder.pooling import TokenPooling
from vespa_colbert.plan.measure import Lengths, mean
from vespa_colbert.plan.plan import SchemaPlan, embedded_in_vespa, plan_application

__all__ = ["FACTORS", "Pooled", "poolings"]

FACTORS = (1.0, 2.0, 3.0)
"""Factors that are shown beside the one that is planned with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A package with one factor.

    Attributes:
        pooling: How vectors are pooled.
        vectors: Of a document, on average, in the field that has the most.
        document_bytes: Of a document's tensor attributes.
        memory: Bytes in memory of all tensor attributes, all nodes together.
        operations: Of the MaxSims of the phase that has the most, for one document.
    """

    pooling: TokenPooling
    vectors: float
    document_bytes: float
    memory: float
    operations: float


def poolings(
    folder: Path, documents: int, lengths: Lengths, schema: str = ""
) -> tuple[Pooled, ...]:
    """Return what a package needs with each factor, nothing where vectors cannot be pooled.

    They cannot be where Vespa's own embedder makes them, and where those that were counted are
    pooled already.

    Args:
        folder: The package.
        documents: Documents of each schema.
        lengths: How long documents and queries are, before pooling.
        schema: The one schema to look at; all of them when empty.
    """
    application = read_application(folder)
    read = (application.schema(schema),) if schema else application.schemas
    is_fed = not any(embedded_in_vespa(each) for each in read)
    if lengths.counted_after.is_active or not is_fed:
        return ()
    found = []
    for factor in sorted({*FACTORS, lengths.pooling.factor}):
        pooling = replace(lengths.pooling, factor=factor)
        pooled = replace(lengths, pooling=pooling)
        schemas = plan_application(folder, documents, pooled, schema).schemas
        if all(not operations for each in schemas for operations in _operations(each)):
            return ()
        found.append(_pooled(schemas, pooled))
    return tuple(found)


def _pooled(schemas: tuple[SchemaPlan, ...], lengths: Lengths) -> Pooled:
    fields = [field for each in schemas for field in each.fields]
    return Pooled(
        pooling=lengths.pooling,
        vectors=mean(lengths.longest),
        document_bytes=sum(each.bytes_a_document for each in fields),
        memory=sum(each.memory for each in schemas),
        operations=max(most for each in schemas for most in _operations(each)),
    )


def _operations(schema: SchemaPlan) -> Iterator[float]:
    """Yield the operations of each phase."""
    yield 0.0
    for profile in schema.profiles:
        for phase in profile.phases:
            yield phase.operations
